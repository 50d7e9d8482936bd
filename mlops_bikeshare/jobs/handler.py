"""The handler of AWS Lambda: `mlops_bikeshare.jobs.handler.handler`.

Input    an event (see `job`), Lambda's context.
Output   see `work.Done`.
Raises   BikeshareError, after one line in the log; Lambda then sends the event again.

Settings come from bikeshare.toml in the image (BIKESHARE_HOME) and the function's environment; the
workspace is opened by the first event and kept for the next ones. A flow is imported when its job
comes: the image starts the same for all of them.
"""

import logging
import os
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.jobs.job import asked
from mlops_bikeshare.jobs.work import work
from mlops_bikeshare.settings import load

log = logging.getLogger(__name__)


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's
    """Do what one event asks for."""
    logging.getLogger().setLevel(logging.INFO)
    try:
        return work(_workspace(), asked(event, os.environ), pause=time.sleep)
    except BikeshareError as error:
        log.error("%s: %s", type(error).__name__, error)
        raise


@cache
def _workspace() -> Workspace:
    return open_workspace(load(Path.cwd(), os.environ, {}))
