"""Drift of every full hour that is owed, and its reports.

Each hour leaves a JSON report at `monitoring/drift_reports/date=…/` in the lake, also when there is
"not enough"; that is how an outage is noticed afterwards. An HTML page with pictures is made of the
window of each UTC day, whenever the level rises, and when asked for; it goes to the same place and,
with the JSON, into the MLflow run of the version that is judged. Table and metrics are written once
per endpoint, version and window; metrics first, as in quality_windows.py.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.domain.reports import DriftReport, to_json
from mlops_bikeshare.domain.tables import MONITORING_DRIFT
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import Window, floor_time, stamp
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.features import OFFLINE, ONLINE, station_list
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.flows.judging.quality_windows import FULL, POSTABLE
from mlops_bikeshare.flows.pages import drift_page
from mlops_bikeshare.monitoring import drift
from mlops_bikeshare.monitoring.drift import DriftRules, Seen
from mlops_bikeshare.registry import artefact, versions
from mlops_bikeshare.serving import endpoints

log = logging.getLogger(__name__)
HOUR_S, DAY_S = 3600, 86_400
REPORTS = "monitoring/drift_reports"
_NAME = re.compile(r"^(?P<endpoint>.+)_(?P<version>[^_]*)_(?P<end>\d{8}T\d{6}Z)$")
_LEVELS = ("not enough", "ok", "warn", "critical")
# Longer than the longest outage worth a report of every hour; older hours stay without.
MOST_HOURS = 24 * 14


@dataclass(frozen=True, slots=True)
class _Told:
    """A report that was written, by its name."""

    endpoint: str
    version: str
    end: datetime
    key: str


@dataclass(frozen=True, eq=False)
class _Compared:
    """A report, and what it was made of."""

    report: DriftReport
    seen: Seen
    reference: Mapping[str, Any]


def judge_owed(
    ws: Workspace, city: City, *, end: datetime, hours: int, page: bool = False
) -> list[DriftReport]:
    """Judge every full hour up to `end` that has no report; `page`: a page of `end`'s anyway."""
    last = floor_time(end, step_s=HOUR_S)
    found = []
    for stage in ("staging", "prod"):
        name = ws.settings.endpoint(stage, city.name)
        told = _told(ws, name, last)
        newest = told[-1].end if told else last - timedelta(hours=1)
        owed = max(newest, last - timedelta(hours=MOST_HOURS))
        while owed < last:
            owed += timedelta(hours=1)
            report = _judge(ws, city, name, Window.before(owed, hours=hours), at=end, page=page)
            found += [report] if report else []
        if page and newest == last and told:
            window = Window.before(last, hours=hours)
            compared = _compared(ws, city, name, told[-1].version, window)
            if compared.report.enough:
                _write_page(ws, city, compared)
            found.append(compared.report)
    return found


def rules_of(ws: Workspace) -> DriftRules:
    """The settings, as drift has them."""
    known = ws.settings.monitoring
    return DriftRules(
        min_rows=known.drift_rows,
        min_cover=FULL,
        warn=known.psi_warn,
        critical=known.psi_critical,
        moved_m=known.moved_m,
    )


def newest_report(ws: Workspace, endpoint: str, before: datetime) -> Mapping[str, Any] | None:
    """The newest report of an endpoint up to `before`, as JSON; None if there is none."""
    told = _told(ws, endpoint, before)
    return json.loads(ws.lake.store.read(told[-1].key)) if told else None


def _told(ws: Workspace, endpoint: str, until: datetime) -> list[_Told]:
    """Reports of the newest two days that have any, oldest first."""
    days = [d for d in ws.lake.store.folders(REPORTS) if d <= f"date={until:%F}"]
    keys = [key for day in days[-2:] for key in ws.lake.store.keys(f"{REPORTS}/{day}")]
    matched = [(key, _NAME.match(Path(key).stem)) for key in keys if key.endswith(".json")]
    found = [_Told(m["endpoint"], m["version"], _time(m["end"]), key) for key, m in matched if m]
    mine = [item for item in found if item.endpoint == endpoint and item.end <= until]
    return sorted(mine, key=lambda item: item.end)


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _judge(
    ws: Workspace, city: City, endpoint: str, window: Window, *, at: datetime, page: bool
) -> DriftReport | None:
    """One hour; None for an endpoint that served nothing then."""
    version = _version(ws, city, endpoint, window, at=at)
    if not version:
        return None
    compared = _compared(ws, city, endpoint, version, window)
    report = compared.report
    before = newest_report(ws, endpoint, window.end - timedelta(hours=1))
    rose = before is not None and _LEVELS.index(report.level) > max(
        1, _LEVELS.index(before["level"])
    )
    if rose:
        log.warning("drift of %s version %s is %s", endpoint, version, report.level)
    _keep(ws, city, report)
    # The day's page is that of its last hour; a clock that stops before midnight asks for it.
    if report.enough and (page or rose or window.end.timestamp() % DAY_S == 0):
        _write_page(ws, city, compared)
    return report


def _compared(ws: Workspace, city: City, endpoint: str, version: str, window: Window) -> _Compared:
    seen = _seen(ws, city, endpoint, version, window)
    reference = artefact.read_reference(judged.artifacts(ws, city, version))
    report = drift.judge(
        seen,
        reference,
        endpoint=endpoint,
        city=city.name,
        model_version=version,
        window=window,
        rules=rules_of(ws),
    )
    return _Compared(report, seen, reference)


def _version(
    ws: Workspace, city: City, endpoint: str, window: Window, *, at: datetime
) -> str | None:
    """The version that serves now, or for an hour in the past the last one that answered."""
    if at - window.end < timedelta(seconds=HOUR_S):
        try:
            state = endpoints.find(ws.clients, endpoint)
            return state.variants[0].version if state else None
        except EndpointError as error:
            log.warning("the endpoints cannot be asked what they serve: %s", error)
    return judged.newest_version(judged.predictions(ws, city, endpoint, window))


def _seen(ws: Workspace, city: City, endpoint: str, version: str, window: Window) -> Seen:
    """What was asked in `window`, and before there were batches, what would have been."""
    online = ws.lake.read(ONLINE, city=city.name, window=window)
    offline = ws.lake.read(OFFLINE, city=city.name, window=window)
    rest = offline[~offline["dt"].isin(online["dt"].unique())]
    features = pd.concat([rest, online], ignore_index=True) if len(rest) else online
    said = judged.answered(judged.predictions(ws, city, endpoint, window), version)
    listed = station_list(ws, city)
    return Seen(
        features=features,
        decision_times=features["dt"].nunique(),
        predictions={t.name: said[t.probability].dropna().to_numpy() for t in TARGETS},
        predicted_times=said["dt"].nunique(),
        stations=listed[listed["station_id"].isin(features["station_id"].unique())],
    )


def _keep(ws: Workspace, city: City, report: DriftReport) -> None:
    name = _name(report)
    if report.enough:
        if ws.now - report.window.end <= POSTABLE:
            points = drift.points(report, at=report.window.end)
            ws.metrics.put(points, once=f"drift {city.name} {name}")
        ws.lake.write(MONITORING_DRIFT, drift.table(report), city=city.name, name=name)
    text = json.dumps(to_json(report), indent=1, allow_nan=False)
    ws.lake.store.create(f"{_folder(report)}/{name}.json", text.encode())


def _write_page(ws: Workspace, city: City, compared: _Compared) -> None:
    """To the lake, and into the version's run."""
    report = compared.report
    worst = sorted(report.psi, key=lambda name: -report.psi[name])[: drift_page.SPREADS]
    shifts = drift.shifts(compared.seen, compared.reference, [*worst, *report.predictions])
    text = drift_page.page(report, shifts, rules_of(ws), history=_history(ws, report))
    name = _name(report)
    ws.lake.store.create(f"{_folder(report)}/{name}.html", text.encode())
    tracking.connect(ws)
    run_id = versions.find(city.registered_model, report.model_version).run_id
    document = json.dumps(to_json(report), indent=1, allow_nan=False)
    tracking.log_texts(run_id, {f"{name}.html": text, f"{name}.json": document}, folder="drift")
    hour = int(report.window.end.timestamp()) // HOUR_S
    measured = {"drift/PSI": report.psi_max, "drift/DriftShare": report.drift_share}
    steps = [(name, value, hour) for name, value in measured.items() if value is not None]
    tracking.log_steps(run_id, steps)


def _history(ws: Workspace, report: DriftReport) -> Sequence[tuple[datetime, float]]:
    """The largest PSI of each hour of the last week."""
    window = Window.before(report.window.end, hours=24 * 7)
    return ws.metrics.series(
        "Bikeshare/Model",
        "PSI",
        {"EndpointName": report.endpoint, "City": report.city},
        window=Window(window.start, window.end + timedelta(minutes=1)),
        statistic="Maximum",
        period_s=HOUR_S,
    )


def _name(report: DriftReport) -> str:
    return f"{report.endpoint}_{report.model_version}_{stamp(report.window.end)}"


def _folder(report: DriftReport) -> str:
    """The window's own day: that of midnight is the day that has just ended."""
    day = (report.window.end - timedelta(seconds=1)).date()
    return f"{REPORTS}/date={day.isoformat()}"
