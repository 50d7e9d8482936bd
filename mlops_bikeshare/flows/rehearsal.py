"""What demo and drill share: a workspace of their own, made anew, and a simulated city in it.

Input    the settings of a rehearsal's workspace.
Output   the emptied workspace; the simulated city as a recording.
Raises   InputError while another rehearsal of the same name runs.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from mlops_bikeshare.backends import Workspace, check_may_simulate, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.flows import serve
from mlops_bikeshare.settings import Settings
from mlops_bikeshare.sources.recorded import Recording, open_recording
from mlops_bikeshare.sources.simulator.simulate import simulate


@contextmanager
def alone(settings: Settings, name: str) -> Iterator[None]:
    """One rehearsal of a name at a time: the next would empty the workspace of the first."""
    path = settings.workspaces / f".{name}.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            msg = f"another {name} runs in {path.parent / name}; wait until it ends, or stop it"
            raise InputError(msg) from None
        yield


def fresh(own: Settings, city: City) -> Workspace:
    """The workspace, emptied; a host left over from before is stopped."""
    check_may_simulate(own)  # before the last one goes
    if own.var.exists():
        serve.stop(open_workspace(own))
        shutil.rmtree(own.var)
    return open_workspace(own, simulated=True, owner=city.name)


def simulated(
    ws: Workspace, city: City, *, stations: int, days: int, seed: int, start: date
) -> Recording:
    """A simulated city, written to the workspace like any recording."""
    folder = ws.path / "recording"
    made = simulate(stations=stations, days=days, seed=seed, start=start, timezone=city.timezone)
    made.write(folder)
    return open_recording(folder)
