"""Which job an event asks for, and when it was meant to run.

Input    an event as a schedule of EventBridge sends it: `job` (or the environment's BIKESHARE_JOB),
         `city` (or BIKESHARE_CITY; unset: the default city), `time`, the scheduled time in
         ISO 8601 (unset: now).
Output   Asked.
Raises   InputError that names the key, and what may stand there.
Source   AWS, EventBridge user guide: events carry `time`; a schedule's input may be made of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.windows import parse_time

JOBS = ("ingest", "infer", "monitor", "drift", "compact")
VARIABLE = "BIKESHARE_JOB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to do for which city; `at` None: for now."""

    job: str
    city: str | None
    at: datetime | None


def asked(event: Mapping[str, Any], environ: Mapping[str, str]) -> Asked:
    """Read an event."""
    job = event.get("job") or environ.get(VARIABLE)
    if job not in JOBS:
        msg = f"job: expected one of {', '.join(JOBS)}, got {job!r}"
        raise InputError(f"{msg}; name it in the event or in {VARIABLE}")
    city, time = event.get("city", environ.get("BIKESHARE_CITY")), event.get("time")
    if not isinstance(city, str | None) or not isinstance(time, str | None):
        raise InputError(f"city and time: expected text, got {city!r} and {time!r}")
    return Asked(job=job, city=city, at=parse_time(time, key="time") if time else None)
