"""Compact: the objects of each table and day that is over become one; what is old enough goes.

Input    a workspace, a city, days (default: all before today, UTC).
Output   how many objects became how many, and how many days of polls were removed.
Raises   LakeError.

A day that is one object already costs one listing. Killed anywhere, the next run goes on (see
`lake.compaction`). `lake.keep_raw_days` removes polls as read, online features and quarantine of
older days; slots, features, profiles, predictions and what was judged and decided stay. The local
store forgets metrics after `monitoring.keep_metrics_days`: what was judged is in tables, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain import tables
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import Table
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows.features import ONLINE
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.lake.compaction import compact_day
from mlops_bikeshare.lake.lake import folder_of
from mlops_bikeshare.lake.quarantine import FOLDER as DOCUMENTS

# Offline features and profiles are one object a day from the start.
TABLES: tuple[Table, ...] = (
    tables.STATION_INFORMATION_RAW,
    tables.STATION_STATUS_RAW,
    tables.WEATHER_HOURLY_RAW,
    tables.QUARANTINED_ROWS,
    tables.STATION_INFORMATION,
    tables.STATION_STATUS,
    ONLINE,
    tables.INFERENCE,
    tables.MONITORING_QUALITY,
    tables.MONITORING_DRIFT,
    tables.MONITORING_AUDIT,
    tables.STATION_FEEDBACK,
    tables.WHATIF_REQUESTS,
)
# Drift pages show a week, CloudWatch's alarms look back so long at most, retraining four days.
LOOKS_BACK = timedelta(days=8)
PASSING: tuple[Table, ...] = (tables.STATION_STATUS_RAW, tables.QUARANTINED_ROWS, ONLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a run did: `days` of tables merged from `objects`; `removed` days of tables.

    `forgotten`: values of metrics.
    """

    city: str
    days: int
    objects: int
    deleted: int
    removed: int
    forgotten: int


def summary(done: Compacted) -> str:
    """One line."""
    merged = f"{done.objects:,} objects became {done.days:,}, one per table and day"
    removed = f"; {done.removed:,} old days of tables removed" if done.removed else ""
    removed += f"; {done.forgotten:,} old values of metrics forgotten" if done.forgotten else ""
    return f"{done.city}: {merged}; {done.deleted:,} deleted{removed}"


def _told(done: Compacted) -> Told:
    return Told(
        read={"objects": done.objects},
        wrote={
            "days": done.days,
            "deleted": done.deleted,
            "removed": done.removed,
            "forgotten": done.forgotten,
        },
    )


@logged("compact", _told)
def compact(
    ws: Workspace, city: City, *, window: Window | None = None, track: Track = silent
) -> Compacted:
    """Merge the days of `window` that are over, and remove what is older than the settings keep."""
    removed = _remove_old(ws, city)
    wanted = [(table, day) for table in TABLES for day in _days(ws, city, table, window)]
    done = [
        merged
        for table, day in track(wanted, label=f"compact {city.name}", total=len(wanted))
        if (merged := compact_day(ws.lake, table, city=city.name, day=day))
    ]
    return Compacted(
        city=city.name,
        days=sum(merged.objects > 0 for merged in done),
        objects=sum(merged.objects for merged in done),
        deleted=sum(merged.deleted for merged in done),
        removed=removed,
        forgotten=_forget(ws),
    )


def recent(ws: Workspace, *, days: int = 7) -> Window:
    """The last days before today: what a daily run looks at."""
    today = datetime.combine(_today(ws), datetime.min.time(), UTC)
    return Window(today - timedelta(days=days), today)


def _days(ws: Workspace, city: City, table: Table, window: Window | None) -> Sequence[date]:
    inside = set(window.days()) if window else None
    days = ws.lake.days(table, city=city.name)
    return [day for day in days if day < _today(ws) and (inside is None or day in inside)]


def _today(ws: Workspace) -> date:
    return ws.now.astimezone(UTC).date()


def _remove_old(ws: Workspace, city: City) -> int:
    keep = ws.settings.lake.keep_raw_days
    if keep is None:
        return 0
    first = _today(ws) - timedelta(days=keep)
    folders = [
        folder_of(table, city.name, day)
        for table in PASSING
        for day in ws.lake.days(table, city=city.name)
        if day < first
    ]
    names = ws.lake.store.folders(f"{DOCUMENTS}/city={city.name}")
    folders += [f"{DOCUMENTS}/city={city.name}/{n}" for n in names if n < f"date={first}"]
    return sum(_remove(ws, folder) for folder in folders)


def _forget(ws: Workspace) -> int:
    """Of all cities of the workspace; a gate that looks back further keeps them as long."""
    needed = timedelta(hours=ws.settings.gate.window_h) + LOOKS_BACK
    kept = max(timedelta(days=ws.settings.monitoring.keep_metrics_days), needed)
    return ws.metrics.forget(ws.now - kept)


def _remove(ws: Workspace, folder: str) -> bool:
    """Whether there was anything; parts go before the merged object that hides them."""
    keys = ws.lake.store.keys(folder)
    for key in keys:
        ws.lake.store.delete(key)
    return bool(keys)
