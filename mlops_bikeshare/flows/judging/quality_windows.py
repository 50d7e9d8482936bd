"""Quality of every window that is owed: new ones, missed ones, and those with late labels.

A window ends at each decision time and looks back 24 h. Windows are judged in order, oldest first,
with the labels that had matured at their end, so that catching up gives what being on time would
have given. Every hour those judged before are looked at again: where the labels of the rows they
hold are others now, they are judged again, as a new revision.

Metrics are posted before the table is written: killed between them, the next run finds no window
in the table, judges it again, and the store knows that its points were posted. A revision changes
the table alone: a metric store has no past that can be rewritten.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import QualityReport
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import CADENCE_S, Window, to_seconds
from mlops_bikeshare.features.grid import Grid
from mlops_bikeshare.flows.features import station_list
from mlops_bikeshare.flows.judging import handled, judged, quality_record
from mlops_bikeshare.monitoring import quality

FULL = 0.9
# To look back costs as much as to judge; a label that comes late is no hurry.
REVISE_EVERY_S = 3600
STEP = timedelta(seconds=CADENCE_S)
# CloudWatch takes nothing older; what comes later than that is in the table alone.
POSTABLE = timedelta(days=13)


Counts = tuple[int, int]
Before = Mapping[tuple[str, datetime], tuple[int, tuple[Counts, ...]]]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Predictions of one endpoint with their labels, by time, and who answered each.

    `who`: place in `versions` of the version that a model's row is of, -1 where that is not known.
    """

    endpoint: str
    table: pd.DataFrame
    at_s: NDArray[np.int64]
    versions: tuple[str, ...]
    who: NDArray[np.intp]

    def between(self, window: Window) -> slice:
        """Rows whose dt lies in `window`."""
        low, high = np.searchsorted(self.at_s, [to_seconds(window.start), to_seconds(window.end)])
        return slice(int(low), int(high))

    def newest(self, part: slice) -> int:
        """The version that answered most of the newest batch of which that is known, else -1."""
        who, at_s = self.who[part], self.at_s[part]
        known = np.flatnonzero(who >= 0)
        if not known.size:
            return -1
        return int(np.bincount(who[(who >= 0) & (at_s == at_s[known[-1]])]).argmax())

    def of(self, version: int, part: slice) -> NDArray[np.intp]:
        """The places of a version's rows among those of `part`."""
        mine: NDArray[np.intp] = part.start + np.flatnonzero(self.who[part] == version)
        return mine


def judge_owed(
    ws: Workspace, city: City, *, end: datetime, hours: int, since: datetime | None = None
) -> list[QualityReport]:
    """Judge and keep every owed window that ends by `end`, and look back for late labels."""
    new = list(_owed(ws, city, end))
    again = max(timedelta(0), timedelta(hours=ws.settings.monitoring.revise_h))
    oldest = since or (new[0] if new else end) - again
    on_the_hour = any(at.timestamp() % REVISE_EVERY_S == 0 for at in (*new, end))
    late = _judged_ends(ws, city, oldest, end) if since or on_the_hour else set()
    ends = sorted({*new, *late})
    batches = set(ws.lake.days(INFERENCE, city=city.name)) if ends else set()
    found: list[QualityReport] = []
    for _, part in groupby(ends, key=lambda at: at.date()):
        found += _judge(ws, city, list(part), hours=hours, batches=batches)
    return found


def _owed(ws: Workspace, city: City, end: datetime) -> Iterator[datetime]:
    """Ends of the windows that were not judged yet, oldest first."""
    newest = quality_record.newest_end(ws, city)
    start = newest or quality_record.first_batch(ws, city)
    if start is None:
        return
    at = start + STEP
    while at <= end:
        yield at
        at += STEP


def _judged_ends(ws: Workspace, city: City, oldest: datetime, end: datetime) -> set[datetime]:
    if oldest > end:
        return set()
    there = quality_record.kept(ws, city, Window(oldest, end + timedelta(seconds=1)))
    return {item.end for item in there}


def _judge(
    ws: Workspace, city: City, ends: list[datetime], *, hours: int, batches: Set[date]
) -> list[QualityReport]:
    """Windows that end within one day; memory holds that day and the one before it.

    `batches`: the days that have any. A city that rests for a winter owes windows without end,
    which cost nothing.
    """
    span = Window(Window.before(ends[0], hours=hours).start, ends[-1])
    known = judged.matured(span, ends[-1])
    if known is None or batches.isdisjoint(known.days()):
        return []
    names = [ws.settings.endpoint(stage, city.name) for stage in ("staging", "prod")]
    said = {name: judged.predictions(ws, city, name, known) for name in names}
    said = {name: rows for name, rows in said.items() if len(rows)}
    if not said:
        return []
    stations = sorted(station_list(ws, city)["station_id"])
    happened = judged.outcomes(ws, city, stations, known)
    kept = quality_record.kept(ws, city, Window(ends[0], ends[-1] + timedelta(seconds=1)))
    there = {(item.endpoint, item.version, item.end) for item in kept}
    found = []
    for name, predicted in said.items():
        labelled = handled.censored(ws, city, judged.joined(ws, city, predicted, happened))
        rows = _rows(name, labelled)
        before = _counted(ws, city, name, ends) if there else {}
        for at in ends:
            window = Window.before(at, hours=hours)
            for report, plain in _window(ws, city, rows, window, happened, before):
                _keep(ws, city, report, plain=plain)
                found.append(report)
    return found


def _rows(endpoint: str, table: pd.DataFrame) -> _Rows:
    ordered = table.sort_values("dt", kind="stable").reset_index(drop=True)
    at_s = ordered["dt"].dt.as_unit("s").astype("int64").to_numpy()
    # A version that only stand-ins name said nothing that could be judged.
    said = ordered["model_version"].where((ordered["source"] == "model").to_numpy())
    who, versions = pd.factorize(said, sort=True)
    return _Rows(endpoint, ordered, at_s, tuple(map(str, versions)), who)


def _window(
    ws: Workspace,
    city: City,
    rows: _Rows,
    window: Window,
    happened: Grid,
    before: Before,
) -> Iterator[tuple[QualityReport, bool]]:
    """Each version's report that is new or changed, and whether it speaks for the endpoint."""
    known = judged.matured(window, window.end)
    if known is None:
        return
    inside = rows.between(known)
    newest, expected = rows.newest(inside), len(list(known.steps()))
    for code, version in enumerate(rows.versions):
        mine = rows.of(code, inside)
        revision, counts = before.get((version, window.end), (0, ()))
        if not mine.size or (revision and counts == _labelled(rows, mine)):
            continue
        report = quality.judge(
            rows.table.iloc[mine],
            judged.yardsticks(ws, city, version),
            endpoint=rows.endpoint,
            city=city.name,
            model_version=version,
            window=window,
            revision=revision + 1,
            feed_down=_feed_down(happened, _seen(rows, inside, known)),
        )
        full = code == newest and np.unique(rows.at_s[mine]).size >= FULL * expected
        yield report, full and known.duration >= window.duration * FULL


def _seen(rows: _Rows, inside: slice, known: Window) -> Window:
    """From the first batch on."""
    first: datetime = rows.table["dt"].iloc[inside.start].to_pydatetime()
    return Window(first, known.end)


def _keep(ws: Workspace, city: City, report: QualityReport, *, plain: bool) -> None:
    """Post the first revision, then write the window."""
    at = report.window.end
    if report.revision == 1 and ws.now - at <= POSTABLE:
        points = quality.points(report, at=at, horizon_min=PROMISE_MIN)
        if not plain:
            points = [point for point in points if "ModelVersion" in point.dimensions]
        key = quality_record.object_name(replace(report, revision=1))
        ws.metrics.put(points, once=f"quality {city.name} {key}")
    quality_record.write(ws, city, report)


def _counted(ws: Workspace, city: City, endpoint: str, ends: list[datetime]) -> Before:
    """Highest revision of each version's window, with labelled rows and those out per target."""
    window = Window(ends[0], ends[-1] + timedelta(seconds=1))
    rows = quality_record.highest(quality_record.read(ws, city, endpoint, window))
    found: dict[tuple[str, datetime], tuple[int, tuple[Counts, ...]]] = {}
    for _, part in rows.groupby(["model_version", "window_end"]):
        version, at = part["model_version"].iloc[0], part["window_end"].iloc[0]
        of = dict(zip(part["target"], map(_outs, part["samples"], part["base_rate"]), strict=True))
        counts = tuple(of.get(target.name, (0, 0)) for target in TARGETS)
        found[str(version), at.to_pydatetime()] = (int(part["revision"].max()), counts)
    return found


def _outs(samples: int, base_rate: float) -> Counts:
    return int(samples), 0 if np.isnan(base_rate) else round(base_rate * samples)


def _labelled(rows: _Rows, mine: NDArray[np.intp]) -> tuple[Counts, ...]:
    """Rows that count and rows that went out, per target, as `quality.judge` will count them."""
    found = []
    for target in TARGETS:
        y, p, count = (
            rows.table[f"{kind}_{target.name}"].to_numpy()[mine] for kind in ("label", "p", "count")
        )
        counts = ~np.isnan(y) & ~np.isnan(p) & (count >= 0)
        found.append((int(counts.sum()), int(y[counts].sum())))
    return tuple(found)


def _feed_down(happened: Grid, known: Window) -> int:
    """Decision times whose label no station has: the feed was down, or was not read."""
    labels = [to_seconds(at) + PROMISE_MIN * 60 for at in known.steps()]
    up = np.any(happened.bikes >= 0, axis=1)
    return int(np.count_nonzero(~up[happened.index_of(np.array(labels, dtype=np.int64))]))


def of_end(reports: Iterable[QualityReport], end: datetime) -> list[QualityReport]:
    """Those of the window that ends at `end`."""
    return [report for report in reports if report.window.end == end]
