"""Whether a training or a retraining came to its end, as a metric that alarms watch.

Output   `TrainingFailures` or `RetrainFailures`: 1 when the block raises, else 0. What somebody was
         refused, or asked for wrongly (InputError), is no failure: that person sees it. It is one
         where nobody asked, as at the weekly retraining. A store that cannot be written is logged.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, InputError, Refused
from mlops_bikeshare.monitoring.heartbeat import Run, run_points

log = logging.getLogger(__name__)


@contextmanager
def posted(ws: Workspace, city: City, kind: Run, *, asked: bool = True) -> Iterator[None]:
    """Post how the block ended; `asked`: somebody did, and sees what is refused."""
    try:
        yield
    except Exception as error:
        if asked and isinstance(error, InputError | Refused):
            raise
        _post(ws, city, kind, failed=True)
        raise
    _post(ws, city, kind, failed=False)


def _post(ws: Workspace, city: City, kind: Run, *, failed: bool) -> None:
    try:
        ws.metrics.put(run_points(kind, city=city.name, at=ws.now, failed=failed))
    except BikeshareError as error:
        log.error("how the %s of %s ended was not kept: %s", kind, city.name, error)
