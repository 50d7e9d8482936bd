"""What a fault did, and whether all came as it should: one `Finding` per fault.

Every fault knows what should happen, in words, and the questions that say whether it did: each
question is a sentence with yes or no. A fault held when all are yes. Times are of the simulated
clock: `detected_min` from the fault to the alarm, `restored_min` from its end to the first batch
that the model answered in full.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.flows.drilling.production import Production


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault: when it was, what should happen, and what did."""

    fault: str
    start: datetime
    end: datetime
    expected: str
    happened: Mapping[str, bool]
    detected_min: float | None = None
    restored_min: float | None = None

    @property
    def held(self) -> bool:
        """Whether all that should happen did."""
        return all(self.happened.values())


Fault = Callable[[Production, datetime], Finding]


def within(at: datetime | None, since: datetime, minutes: float) -> bool:
    """Whether it came after `since`, and so soon."""
    return at is not None and timedelta(0) <= at - since <= timedelta(minutes=minutes)


def refused(act: Callable[[], object], kind: type[BikeshareError]) -> bool:
    """Whether it ended with this error."""
    return why_not(act, kind) is not None


def why_not(act: Callable[[], object], kind: type[BikeshareError]) -> str | None:
    """What it said when it ended with this error; None: it did not."""
    try:
        act()
    except kind as error:
        return str(error)
    return None


def minutes_from(since: datetime, at: datetime | None) -> float | None:
    """Minutes from one time to another; None: it never came."""
    return None if at is None else (at - since).total_seconds() / 60


def drilled(p: Production, found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Every alarm that fired under a fault: when, and how long after the fault's end it was quiet.

    An alarm that stood before a fault began is none of its own; of several faults it is the last
    one's that had begun.
    """
    rows = []
    for one, after in zip(found, [*found[1:], None], strict=True):
        until = after.start if after else p.ws.now
        before = next((up for at, up in reversed(p.stood) if at < one.start), frozenset())
        new = {n for at, up in p.stood if one.start <= at < until for n in up} - before
        for name in sorted(new):
            fired, quiet = p.fired(name, one.start), p.quiet_after(name, one.start)
            rows.append(
                {
                    "alarm": name,
                    "fault": one.fault,
                    "detected_min": minutes_from(one.start, fired),
                    "quiet_min": minutes_from(one.end, quiet),
                }
            )
    return rows
