"""Opens a workspace with the kind of clock that it has; decides who may simulate time.

Raises   SettingsError where the other kind of clock is asked for.
"""

from mlops_bikeshare.backends import adapters
from mlops_bikeshare.backends.workspace import STATE_FILE, Workspace
from mlops_bikeshare.domain.clock import Clock, RealClock, SimulatedClock
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.windows import parse_time
from mlops_bikeshare.settings import Settings


def open_workspace(
    settings: Settings, *, simulated: bool | None = None, owner: str | None = None
) -> Workspace:
    """Open or create the workspace; `simulated` None takes the kind it has (new ones: real).

    `owner`: the city that a new workspace belongs to, its default city from then on.
    """
    if simulated:
        check_may_simulate(settings)
    found = Workspace(settings, RealClock(), adapters.store(settings))
    state = found.remembered()
    kind = state.get("clock")
    if kind is None:
        kind = "simulated" if simulated else "real"
    elif simulated is not None and (kind == "simulated") != simulated and _is_empty(settings):
        kind, state = "simulated" if simulated else "real", {}
    elif simulated is not None and (kind == "simulated") != simulated:
        wanted = "simulated" if simulated else "real"
        msg = f"workspace {settings.workspace!r} runs on a {kind} clock, this needs a {wanted} one"
        raise SettingsError(f"{msg}; choose another with --workspace NAME")
    if kind == "real":
        clock: Clock = RealClock()
    else:
        clock = SimulatedClock(parse_time(state.get("now", "1970-01-01"), key=STATE_FILE))
    if not state and (settings.profile == "local" or simulated or owner):
        state = {"clock": kind} | ({"owner": owner} if owner else {})
        found.remember(state)
    own = settings.with_workspace(settings.workspace, default_city=state.get("owner"))
    return Workspace(own, clock, found.store)


def check_may_simulate(settings: Settings) -> None:
    """SettingsError where simulated time would reach a real account."""
    if settings.profile == "aws" and settings.rehearse_aws == "no":
        msg = "profile aws runs on the real clock: replays, the demo and drills are for"
        raise SettingsError(f"{msg} --profile local, where the same code runs")


def exists(settings: Settings) -> bool:
    """Whether the workspace was ever opened; one on AWS may be looked at in any case."""
    return settings.profile == "aws" or (settings.var / STATE_FILE).is_file()


def _is_empty(settings: Settings) -> bool:
    """A command that found nothing to work on has not settled the kind of clock."""
    return settings.profile == "local" and not (settings.var / "lake").exists()
