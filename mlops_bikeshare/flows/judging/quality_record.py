"""The record of quality: which windows are in `monitoring_quality`, under which revision.

Every window is one object per endpoint, version and revision, and stays. Whoever reads takes the
highest revision; the first one is what was posted as metrics.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import QualityReport
from mlops_bikeshare.domain.tables import INFERENCE, MONITORING_QUALITY
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import Window, stamp
from mlops_bikeshare.monitoring import quality

_NAME = re.compile(
    r"^(?P<endpoint>.+)_(?P<version>[^_]*)_(?P<end>\d{8}T\d{6}Z)_r(?P<revision>\d+)$"
)
_WINDOW = ["endpoint", "model_version", "window_end", "target", "horizon_min"]


@dataclass(frozen=True, slots=True)
class Kept:
    """One object of the table, by its name."""

    endpoint: str
    version: str
    end: datetime
    revision: int


def write(ws: Workspace, city: City, report: QualityReport) -> None:
    """Keep a window; one that is there stays as it is."""
    ws.lake.write(
        MONITORING_QUALITY, quality.table(report), city=city.name, name=object_name(report)
    )


def object_name(report: QualityReport) -> str:
    """Endpoint, version, end of the window and revision."""
    window = f"{report.endpoint}_{report.model_version}_{stamp(report.window.end)}"
    return f"{window}_r{report.revision}"


def kept(ws: Workspace, city: City, window: Window) -> list[Kept]:
    """What is there of the windows that end in `window`."""
    there = set(ws.lake.days(MONITORING_QUALITY, city=city.name))
    names = [
        name
        for day in window.days()
        if day in there
        for name in ws.lake.names(MONITORING_QUALITY, city=city.name, day=day)
    ]
    found = [_kept(match) for match in map(_NAME.match, names) if match]
    return [item for item in found if item.end in window]


def newest_end(ws: Workspace, city: City) -> datetime | None:
    """The end of the newest window that was judged."""
    days = ws.lake.days(MONITORING_QUALITY, city=city.name)
    found = kept(ws, city, Window.day(days[-1])) if days else []
    return max((item.end for item in found), default=None)


def first_batch(ws: Workspace, city: City) -> datetime | None:
    """The oldest decision time of any batch."""
    days = ws.lake.days(INFERENCE, city=city.name)
    if not days:
        return None
    rows = ws.lake.read(INFERENCE, city=city.name, window=Window.day(days[0]), columns=["dt"])
    first: datetime = rows["dt"].min().to_pydatetime()
    return first


def read(ws: Workspace, city: City, endpoint: str, ends: Window) -> pd.DataFrame:
    """All revisions of an endpoint's windows that end in `ends`, at the promised horizon."""
    rows = ws.lake.read(
        MONITORING_QUALITY,
        city=city.name,
        window=ends,
        name_prefix=f"{endpoint}_",
        where=("horizon_min", PROMISE_MIN),
    )
    of_endpoint: pd.DataFrame = rows[rows["endpoint"] == endpoint]
    return of_endpoint


def highest(rows: pd.DataFrame) -> pd.DataFrame:
    """The highest revision of each window."""
    ordered = rows.sort_values("revision", kind="stable")
    return ordered.drop_duplicates(_WINDOW, keep="last").reset_index(drop=True)


def first(rows: pd.DataFrame) -> pd.DataFrame:
    """The revision that was posted."""
    posted: pd.DataFrame = rows[rows["revision"] == 1].reset_index(drop=True)
    return posted


def _kept(match: "re.Match[str]") -> Kept:
    end = datetime.strptime(match["end"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return Kept(match["endpoint"], match["version"], end, int(match["revision"]))
