"""What a flow keeps for its next run: a JSON object in the state of the workspace.

Output   `read`: what was kept last, empty where there is nothing or nothing that can be read: then
         it is logged, for what is forgotten is told again, which is better than never.
Raises   OSError or LakeError when it is not taken; the document before stays.
"""

import json
import logging
from collections.abc import Mapping
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


def write(ws: Workspace, name: str, document: Mapping[str, Any]) -> None:
    """Replace it as a whole."""
    ws.state.replace(name, json.dumps(document, indent=1).encode())
