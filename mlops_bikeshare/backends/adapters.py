"""Adapters by the profile of the settings; each is imported when it is asked for.

Input    settings.
Output   stores, metric stores, channels, clients of SageMaker.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.settings import Settings

if TYPE_CHECKING:
    from mlops_bikeshare.lake.query import Query
    from mlops_bikeshare.lake.s3 import S3Store
    from mlops_bikeshare.lake.store import Store
    from mlops_bikeshare.monitoring.notify import Bounded, Channel
    from mlops_bikeshare.serving.session import Clients


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How AWS is reached where not as boto3 finds its own: `profile` of ~/.aws, results of SQL."""

    profile: str | None = None
    athena_output: str | None = None


def store(settings: Settings) -> "Store":
    """Where the lake's objects lie."""
    if settings.profile == "aws":
        return s3_store(settings)
    from mlops_bikeshare.lake.local import LocalStore

    return LocalStore(settings.var / "lake")


def s3_store(settings: Settings, **patience: Any) -> "S3Store":
    """The workspace's folder of the bucket; `patience`: see lake/s3.py, `client`."""
    from mlops_bikeshare.lake import s3

    asked = s3.client(settings.region, **patience)
    return s3.S3Store(asked, bucket=settings.lake.bucket, folder=settings.workspace)


def address(settings: Settings) -> str:
    """Where the lake lies on S3."""
    return f"s3://{settings.lake.bucket}/{settings.workspace}"


def query(settings: Settings, access: Access) -> "Query":
    """SQL over the tables."""
    if settings.profile == "aws":
        from mlops_bikeshare.lake import athena

        connection = athena.connect(
            settings.region,
            database=settings.lake.database,
            workgroup=settings.lake.workgroup,
            results=access.athena_output or f"{address(settings)}/athena_results/",
            profile=access.profile,
        )
        return athena.AthenaQuery(connection)
    from mlops_bikeshare.lake.duckdb import DuckDbQuery

    return DuckDbQuery(settings.var / "lake")


def channels(settings: Settings) -> "list[Bounded]":
    """Who is told: the log, every address of apprise, a topic of SNS."""
    from mlops_bikeshare.monitoring import notify

    known = settings.notify
    found: list[notify.Channel] = [notify.LogChannel()]
    if known.urls:
        found += map(_apprise, known.urls.split())
    if known.sns_topic:
        found.append(_sns(settings, known.sns_topic))
    return [notify.Bounded(channel, timeout_s=known.timeout_s) for channel in found]


@cache
def clients(url: str, region: str, token: str | None) -> "Clients":
    """Those of an endpoint host, made once in a process."""
    from mlops_bikeshare.serving.session import Clients

    return Clients(url, region, token)


def _sns(settings: Settings, topic: str) -> "Channel":
    from mlops_bikeshare.monitoring import notify

    if settings.profile != "aws":
        msg = "notify.sns_topic is for --profile aws: a rehearsal tells nobody elsewhere"
        return notify.Unusable("sns", f"{msg}; name addresses in notify.urls")
    from mlops_bikeshare.monitoring import notify_sns

    return notify_sns.SnsChannel(notify_sns.client(settings.region), topic)


def _apprise(url: str) -> "Channel":
    """An address of apprise; one that it does not understand fails, but not the others."""
    from mlops_bikeshare.monitoring.notify import Unusable
    from mlops_bikeshare.monitoring.notify_apprise import AppriseChannel, scheme

    try:
        return AppriseChannel(url)
    except SettingsError as error:
        return Unusable(scheme(url), str(error))
