"""What a flow keeps for its next run: a JSON object in the state of the workspace.

Output   `read`: what was kept last, empty where there is nothing or nothing that can be read: then
         it is logged, for what is forgotten is told again, which is better than never.
         `changing`: the same under a lock of this machine; what is in the document at the end is
         kept, so that processes of several cities lose nothing of each other.
Raises   OSError or LakeError when it is not taken; the document before stays.
"""

import fcntl
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlops_bikeshare.backends import Workspace

log = logging.getLogger(__name__)


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
    ws.path.mkdir(parents=True, exist_ok=True)  # on AWS nothing else may lie here
    with (ws.path / name).with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        document = read(ws, name)
        yield document
        write(ws, name, document)


def write(ws: Workspace, name: str, document: Mapping[str, Any]) -> None:
    """Replace it as a whole."""
    ws.state.replace(name, json.dumps(document, indent=1).encode())
