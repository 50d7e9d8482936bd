"""Settings of operations: who is told, and what runs when."""

from dataclasses import dataclass
from typing import Annotated

from mlops_bikeshare.domain.bounds import CLOCK_TIME, Between, Spelt


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """Who is told of alarms and of releases; the log always is."""

    urls: Annotated[
        str | None,
        "addresses of apprise (slack://, discord://, mailto://, json:// ...), parted by spaces; "
        "better kept in the environment, they are secrets",
    ] = None
    sns_topic: Annotated[str | None, "ARN of an SNS topic (profile aws)"] = None
    timeout_s: Annotated[
        float, "seconds that a channel may take, in each flow", Between(0.1, 60)
    ] = 5.0
    quiet_from: Annotated[
        str | None, "from then on, city time, only what is critical is told", CLOCK_TIME
    ] = None
    quiet_to: Annotated[str | None, "until then, city time", CLOCK_TIME] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """When cron or systemd runs what, where `bikeshare live` does not run all of it."""

    ingest_min: Annotated[int, "minutes between polls of the feed", Between(1, 5)] = 5
    infer_min: Annotated[int, "minutes between batches", Between(10, 60)] = 10
    monitor_min: Annotated[int, "minutes between judgements of quality", Between(10, 60)] = 10
    drift_min: Annotated[int, "minutes between judgements of drift", Between(10, 60)] = 60
    retrain_day: Annotated[
        str,
        "day of the retrain check, city time",
        Spelt(r"Mon|Tue|Wed|Thu|Fri|Sat|Sun", "such as Sun"),
    ] = "Sun"
    retrain_at: Annotated[str, "its time of day, city time", CLOCK_TIME] = "00:00"
