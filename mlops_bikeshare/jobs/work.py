"""One job, once: what a delivery of an event does.

Input    a workspace, what was asked, how to wait.
Output   Done, as plain JSON values: `outcome` is `done`, `busy` (another delivery of the job is at
         work: a schedule may send an event twice) or `late` (its decision time is over).
Raises   BikeshareError: the job failed and may be sent again; whatever it wrote is not written
         twice.

An event may come a little before its own time by this machine's clock, which is never exactly
right: up to `SKEW_S` it is waited for, beyond that the clock is not to be trusted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError, SourceError
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.domain.windows import CADENCE_S, floor_time
from mlops_bikeshare.jobs.job import Asked

SKEW_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of an event."""

    job: str
    city: str
    at: datetime
    outcome: str
    told: Any = None


def work(ws: Workspace, asked: Asked, *, pause: Callable[[float], object]) -> dict[str, Any]:
    """Do it, unless another delivery does."""
    city = ws.settings.city(asked.city)
    at = asked.at or ws.now
    _wait_for(at, ws.now, pause)
    with ws.state.alone(f"jobs/{asked.job}-{city.name}") as free:
        if not free:
            outcome, told = "busy", None
        else:
            outcome, told = _DOES[asked.job](ws, city, at)
    done = Done(job=asked.job, city=city.name, at=at, outcome=outcome, told=told)
    found: dict[str, Any] = to_json(done)
    return found


def _wait_for(at: datetime, now: datetime, pause: Callable[[float], object]) -> None:
    early_s = (at - now).total_seconds()
    if early_s > SKEW_S:
        msg = f"the event is of {at:%F %H:%M:%S} UTC, but this machine's clock says"
        raise InputError(f"{msg} {now:%F %H:%M:%S}: one of them is wrong; nothing was done")
    if early_s > 0:
        pause(early_s)


def _ingest(ws: Workspace, city: City, at: datetime) -> tuple[str, Any]:  # noqa: ARG001 - one shape
    from mlops_bikeshare.flows import live_feed

    polled = live_feed.poll(ws, city)
    if polled.failure is not None:
        raise SourceError(f"poll of {city.name} failed: {polled.failure}")
    return "done", polled


def _infer(ws: Workspace, city: City, at: datetime) -> tuple[str, Any]:
    from mlops_bikeshare.flows import infer

    if floor_time(at) < floor_time(ws.now):
        return "late", f"{floor_time(at):%F %H:%M} is over; no batch is made for the past"
    batches = infer.infer(ws, city, at=at)
    failed = [batch for batch in batches if batch.failure is not None]
    if failed:
        raise EndpointError("; ".join(infer.summary(batch) for batch in failed))
    return "done", batches


def _monitor(ws: Workspace, city: City, at: datetime) -> tuple[str, Any]:
    from mlops_bikeshare.flows import monitor

    return "done", monitor.summary(monitor.monitor(ws, city, at=_known(at, ws), drift=False))


def _drift(ws: Workspace, city: City, at: datetime) -> tuple[str, Any]:
    from mlops_bikeshare.flows import monitor

    return "done", monitor.summary(monitor.drift_only(ws, city, at=_known(at, ws)))


def _compact(ws: Workspace, city: City, at: datetime) -> tuple[str, Any]:  # noqa: ARG001 - one shape
    from mlops_bikeshare.flows import compact, features

    features.build(ws, city)
    return "done", compact.summary(compact.compact(ws, city, window=compact.recent(ws)))


def _known(at: datetime, ws: Workspace) -> datetime:
    """An event that comes late is about what is known by now."""
    return ws.now if ws.now - at > timedelta(seconds=CADENCE_S) else at


_DOES: Mapping[str, Callable[[Workspace, City, datetime], tuple[str, Any]]] = {
    "ingest": _ingest,
    "infer": _infer,
    "monitor": _monitor,
    "drift": _drift,
    "compact": _compact,
}
