"""Settings of the sources and the lake: how feeds and weather are asked, where data lies."""

from dataclasses import dataclass
from typing import Annotated, Literal

from mlops_bikeshare.domain.bounds import Between, Spelt


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeSettings:
    """Where the lake lies on AWS, and how long it keeps what."""

    bucket: Annotated[str, "bucket of the lake; keys begin with the workspace"] = "bikeshare-lake"
    database: Annotated[str, "database of Glue and Athena"] = "mlops_bikeshare"
    workgroup: Annotated[str, "workgroup of Athena"] = "primary"
    first_date: Annotated[
        str,
        "UTC date before which Athena looks for nothing",
        Spelt(r"\d{4}-\d\d-\d\d", "like 2021-01-31"),
    ] = "2021-01-01"
    keep_raw_days: Annotated[
        int | None,
        "days of polls as read, of online features and of quarantine that `compact` leaves; "
        "unset: all",
        Between(2),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """How live feeds are asked."""

    poll_s: Annotated[int, "seconds between polls", Between(60, 300)] = 300
    timeout_s: Annotated[
        float, "seconds without a byte after which an attempt is given up", Between(0.1, 60)
    ] = 10.0
    attempts: Annotated[int, "attempts per document and poll", Between(1, 10)] = 3
    first_pause_s: Annotated[
        float, "seconds before the second attempt; a random part is added", Between(0, 60)
    ] = 0.5
    body_limit_mb: Annotated[
        float, "largest document taken, megabytes after decompression", Between(0.1, 1000)
    ] = 32.0
    contact: Annotated[
        str | None,
        "address or page of yours, told to operators in the User-Agent; unset: none",
        Spelt(r"[ -~]+", "of printable ASCII characters, which is what a header takes"),
    ] = None
    language: Annotated[str | None, "language of names; unset: the feed's first"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeatherSettings:
    """Where live cities get their weather from; recordings bring their own."""

    provider: Annotated[
        Literal["none", "meteostat"], "meteostat: read once an hour beside the polls"
    ] = "none"
    url: Annotated[str, "where Meteostat's files lie"] = "https://data.meteostat.net"
    radius_km: Annotated[
        float, "how far from the city a weather station may be, kilometres", Between(1, 500)
    ] = 50.0
    stations: Annotated[int, "weather stations to interpolate between, at most", Between(1, 20)] = 4
    body_limit_mb: Annotated[
        float, "largest file taken, the list of stations among them, megabytes", Between(0.1, 1000)
    ] = 128.0
