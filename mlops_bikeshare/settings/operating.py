"""Settings of operations: who is told, who may ask, and what runs when."""

from dataclasses import dataclass
from typing import Annotated, Literal

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
class AuditSettings:
    """Where the audit is kept beside the workspace."""

    mirror: Annotated[
        str | None,
        "PostgreSQL that keeps a copy (postgresql://user@host/database); better kept in the "
        "environment, it may hold a password",
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Where the operations API listens, and to whom."""

    host: Annotated[str, "address it listens on; other than loopback only with a token"] = (
        "127.0.0.1"
    )
    port: Annotated[int, "its port; 0 takes a free one", Between(0, 65_535)] = 8282
    token: Annotated[
        str | None, "what every request must carry; better kept in the environment, it is a secret"
    ] = None
    feed: Annotated[
        Literal["token", "public"], "who may read the predictions feed: as the rest, or everybody"
    ] = "token"
    most_waiting: Annotated[
        int, "most jobs that wait; more are refused until one is done", Between(1, 1000)
    ] = 20


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
