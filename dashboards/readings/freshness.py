"""Data Freshness: how old each table is, how old the feed was, gaps and quarantine.

Output   Freshness, from one query and the metric store; or Empty. A table without rows has no time.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from dashboards.readings.choosing import Choice, Empty
from dashboards.readings.clients import Clients, literal, located
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain import tables
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import SLOT_S, Window, floor_time
from mlops_bikeshare.monitoring.metrics import MetricStore

if TYPE_CHECKING:
    import pandas as pd

DAY_H = 24
# A feed's age of hours ago says nothing about the feed now: three polls.
_FEED_S = 3 * SLOT_S
# Table → minutes after which it should have something new; None: it changes when it changes.
CADENCE_MIN: dict[str, int | None] = {
    "station_status_raw": 5,
    "station_status": 5,
    "inference": 10,
    "monitoring_quality": 10,
    "monitoring_drift": 60,
    "weather_hourly_raw": 60,
    "station_information_raw": None,
}
_TABLES = {
    table.name: table
    for table in (
        tables.STATION_STATUS_RAW,
        tables.STATION_STATUS,
        tables.INFERENCE,
        tables.MONITORING_QUALITY,
        tables.MONITORING_DRIFT,
        tables.WEATHER_HOURLY_RAW,
        tables.STATION_INFORMATION_RAW,
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """`newest`: table, at, delay_min, cadence_min; `slots`: slot, stations of the last day.

    `gaps`: since, until, minutes; `quarantine`: what, rows, at. `missing_min` of the last day None:
    nothing was ever polled; feed figures None: not measured, the age not lately.
    """

    city: City
    now: datetime
    newest: "pd.DataFrame"
    slots: "pd.DataFrame"
    gaps: "pd.DataFrame"
    missing_min: float | None
    quarantine: "pd.DataFrame"
    feed_age_s: float | None
    poll_failures: int | None


def read(choice: Choice, clients: Clients) -> Freshness | Empty:
    """Everything as of the workspace's clock."""
    found = located(choice)
    if isinstance(found, Empty):
        return found
    ws, city = found
    rows = clients.query.run(_statement(city, ws.now))
    slots = rows[rows["kind"] == "slot"].rename(columns={"at": "slot", "amount": "stations"})
    slots = slots[["slot", "stations"]].sort_values("slot").reset_index(drop=True)
    bad = rows[rows["kind"] == "quarantine"].rename(columns={"name": "what", "amount": "rows"})
    polled_before = bool(rows.loc[rows["kind"] == "before", "at"].notna().any())
    gaps = _gaps(slots, ws.now, polled_before=polled_before)
    return Freshness(
        city=city,
        now=ws.now,
        newest=_newest(rows[rows["kind"] == "newest"], ws),
        slots=slots,
        gaps=gaps,
        missing_min=float(gaps["minutes"].sum()) if polled_before or len(slots) else None,
        quarantine=bad[["what", "rows", "at"]].sort_values("rows", ascending=False),
        feed_age_s=_latest(choice, clients.metrics, city, ws),
        poll_failures=_failures(choice, clients.metrics, city, ws),
    )


def _statement(city: City, now: datetime) -> str:
    """The newest time of every table, polls of the last day and before, rows put aside."""
    of_city = f"city = {literal(city.name)}"
    since = now - timedelta(hours=DAY_H)
    recent = f"date >= DATE '{since:%Y-%m-%d}'"
    start = f"TIMESTAMP '{since:%Y-%m-%d %H:%M:%S}'"
    parts = [
        f"SELECT 'newest' AS kind, '{name}' AS name, MAX({table.partition_by}) AS at,"
        f" COUNT(*) AS amount FROM {name} WHERE {of_city}"
        f" AND date = (SELECT MAX(date) FROM {name} WHERE {of_city})"
        for name, table in _TABLES.items()
    ]
    parts.append(
        f"SELECT 'slot', '', slot, COUNT(*) FROM station_status WHERE {of_city} AND {recent}"
        f" AND slot > {start} GROUP BY slot"
    )
    parts.append(
        f"SELECT 'before', '', MAX(slot), COUNT(*) FROM station_status WHERE {of_city}"
        f" AND date = (SELECT MAX(date) FROM station_status WHERE {of_city}"
        f" AND date <= DATE '{since:%Y-%m-%d}') AND slot <= {start}"
    )
    parts.append(
        "SELECT 'quarantine', CONCAT(feed, ': ', reason), MAX(fetched_at), COUNT(*)"
        f" FROM quarantined_rows WHERE {of_city} AND {recent} AND fetched_at > {start}"
        " GROUP BY feed, reason"
    )
    return " UNION ALL ".join(parts)


def _newest(rows: "pd.DataFrame", ws: Workspace) -> "pd.DataFrame":
    import pandas as pd

    delay = (pd.Timestamp(ws.now) - rows["at"]).dt.total_seconds() / 60
    cadence = rows["name"].map(CADENCE_MIN).astype("float64")
    found = pd.DataFrame(
        {"table": rows["name"], "at": rows["at"], "delay_min": delay, "cadence_min": cadence}
    )
    return found.reset_index(drop=True)


def _gaps(slots: "pd.DataFrame", now: datetime, *, polled_before: bool) -> "pd.DataFrame":
    """Stretches of the last day in which no poll landed; a new lake's day begins with its first."""
    import pandas as pd

    columns = ["since", "until", "minutes"]
    # The slot that ends now may still get its poll.
    end = pd.Timestamp(floor_time(now, step_s=SLOT_S))
    start = [end - pd.Timedelta(hours=DAY_H)] if polled_before else []
    times = [*start, *slots["slot"], end]
    step = pd.Timedelta(seconds=SLOT_S)
    rows = [
        (before, after - step, (after - before - step).total_seconds() / 60)
        for before, after in pairwise(times)
        if after - before > step
    ]
    return pd.DataFrame(rows, columns=columns).astype({"minutes": "float64"})


def _latest(choice: Choice, store: MetricStore | None, city: City, ws: Workspace) -> float | None:
    if store is None:
        return None
    found = store.latest(
        choice.namespace, "FeedAge_s", {"City": city.name}, before=ws.now, within_s=_FEED_S
    )
    return found[1] if found else None


def _failures(choice: Choice, store: MetricStore | None, city: City, ws: Workspace) -> int | None:
    if store is None:
        return None
    window = Window(ws.now - timedelta(hours=DAY_H), ws.now + timedelta(minutes=1))
    found = store.series(
        choice.namespace,
        "PollFailures",
        {"City": city.name},
        window=window,
        statistic="Sum",
        period_s=3600,
    )
    return int(sum(value for _, value in found)) if found else None
