"""A release in a process of its own that ends by SIGKILL at a chosen point.

A point lies before and after every line that is put on disk, and every call that changes an
endpoint or the registry.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows import deploy, promote, tracking
from mlops_bikeshare.lake import local_state
from mlops_bikeshare.registry import versions
from mlops_bikeshare.release import guard
from mlops_bikeshare.serving import configs, endpoints
from mlops_bikeshare.serving import deploy as serving
from mlops_bikeshare.settings import load

PRELOADED = ["mlflow", "mlflow.sagemaker", "mlflow.pyfunc", "boto3", "tests.e2e.killing"]
POINTS: tuple[tuple[Any, str], ...] = (
    (local_state.LocalLog, "append"),
    (serving, "deploy"),
    (configs, "create"),
    (endpoints, "restore_config"),
    (endpoints, "set_weights"),
    (endpoints, "wait_in_service"),
    (versions, "move_alias"),
)
COMMANDS: dict[str, Callable[[Workspace, City], object]] = {
    "initial": lambda ws, city: deploy.deploy(ws, city, version="1", initial=True),
    "deploy": lambda ws, city: deploy.deploy(ws, city, version="2"),
    "promote": promote.promote,
    "canary": promote.canary,
    "rollback": lambda ws, city: promote.rollback(ws, city, reason="test"),
}


def opened(home: Path) -> Workspace:
    settings = load(home, {"BIKESHARE_HOME": str(home)}, {"serving.port": 0})
    ws = open_workspace(settings.with_workspace("release"))
    tracking.connect(ws)
    return ws


def run(home: Path, city: str, command: str, kill_at: int, counted: Path) -> None:
    """Run a command and die at point `kill_at`; else note how many points there were."""
    seen = 0

    def point() -> None:
        nonlocal seen
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1

    for module, name in POINTS:
        setattr(module, name, _between(point, getattr(module, name)))
    proven()
    ws = opened(home)
    COMMANDS[command](ws, ws.settings.city(city))
    counted.write_text(str(seen))


def proven() -> None:
    """Let every share of a canary count as proven: the way is tested here, not the guard."""
    guard.judge_hold = lambda *_, **__: guard.Held(decision="go", checks=())


def _between(point: Callable[[], None], act: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        point()
        result = act(*args, **kwargs)
        point()
        return result

    return wrapped
