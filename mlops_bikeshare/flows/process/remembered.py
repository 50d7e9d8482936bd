"""What a flow keeps for its next run: a JSON object in the state of the workspace.

Output   `read`: what was kept last, empty where there is nothing or nothing that can be read: then
         it is logged, for what is forgotten is told again, which is better than never.
         `changing`: the same under a lock of the workspace, wherever its processes run; what is in
         the document at the end is kept, so that several cities lose nothing of each other.
Raises   OSError or LakeError when it is not taken, or another process keeps the lock; the document
         before stays.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import LakeError

log = logging.getLogger(__name__)
# Ten seconds: to tell a channel takes a few, to change a document none.
_TRIES, _PAUSE_S = 100, 0.1


def read(ws: Workspace, name: str) -> dict[str, dict[str, Any]]:
    """The newest document."""
    try:
        kept = ws.state.read(name)
        found: Any = {} if kept is None else json.loads(kept)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        log.error("%s of %s cannot be read; it is begun anew", name, ws.settings.workspace)
        return {}
    return found


@contextmanager
def changing(ws: Workspace, name: str) -> Iterator[dict[str, dict[str, Any]]]:
    """The newest document, to be changed; whoever comes meanwhile waits."""
    lock = f"{name.removesuffix('.json')}.lock"
    with waited_for(ws, lock) as free:
        if not free:
            raise LakeError(f"{name} is being changed by another process; run the same again")
        document = read(ws, name)
        yield document
        ws.state.check_alone(lock)
        write(ws, name, document)


@contextmanager
def waited_for(ws: Workspace, lock: str) -> Iterator[bool]:
    """A lock of the workspace; False if another process keeps it for long."""
    for _ in range(_TRIES):
        with ws.state.alone(lock) as free:
            if free:
                yield True
                return
        time.sleep(_PAUSE_S)
    yield False


def write(ws: Workspace, name: str, document: Mapping[str, Any]) -> None:
    """Replace it as a whole."""
    ws.state.replace(name, json.dumps(document, indent=1).encode())
