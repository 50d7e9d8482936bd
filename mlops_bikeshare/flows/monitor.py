"""Monitor: quality of matured labels every ten minutes, drift every hour, for every endpoint.

Every judgement becomes rows of a table and points of the metric store; both are written once per
(endpoint, version, window), however often this runs. The plain `-24h` metrics speak of a full
window: until nine tenths of its decision times were predicted, only the table is written.
"""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import DriftReport, QualityReport, TargetQuality
from mlops_bikeshare.domain.tables import MONITORING_DRIFT, MONITORING_QUALITY
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import Window, floor_time, stamp
from mlops_bikeshare.domain.wording import figure
from mlops_bikeshare.flows import judged
from mlops_bikeshare.flows.features import OFFLINE, ONLINE, station_list
from mlops_bikeshare.flows.logged import Told, logged
from mlops_bikeshare.monitoring import drift, quality
from mlops_bikeshare.registry import artefact
from mlops_bikeshare.serving import endpoints

FULL = 0.9
DRIFT_EVERY_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """What was judged at one time."""

    at: datetime
    quality: tuple[QualityReport, ...]
    drift: tuple[DriftReport, ...]


def _told(seen: Monitored) -> Told:
    judged_ = {"quality_reports": len(seen.quality), "drift_reports": len(seen.drift)}
    return Told(read={"up_to": f"{seen.at:%F %H:%M}"}, wrote=judged_)


@logged("monitor", _told)
def monitor(ws: Workspace, city: City, *, at: datetime, hours: int = 24) -> Monitored:
    """Judge every endpoint of the city over the `hours` before `at`."""
    end = floor_time(at)
    window = Window.before(end, hours=hours)
    serving = _serving(ws, city)
    found_quality = _quality(ws, city, list(serving), window, end)
    found_drift: list[DriftReport] = []
    if end.timestamp() % DRIFT_EVERY_S == 0:
        features = _features(ws, city, window)
        found_drift = [_drift(ws, city, e, v, window, features) for e, v in serving.items()]
    return Monitored(at=end, quality=tuple(found_quality), drift=tuple(found_drift))


def summary(seen: Monitored) -> str:
    """What a person wants to know."""
    lines = [f"{seen.at:%F %H:%M} UTC"]
    for report in seen.quality:
        name = f"{report.endpoint} v{report.model_version}"
        lines += [f"{name} {_quality_text(q)}" for q in report.targets]
    lines += [f"{r.endpoint} PSI {figure(r.psi_max)} over {r.rows:,} rows" for r in seen.drift]
    return "\n".join(lines if len(lines) > 1 else [*lines, "nothing to judge yet"])


def _quality_text(q: TargetQuality) -> str:
    return (
        f"{q.target}: {q.model.rows:,} rows, PR-AUC {figure(q.model.pr_auc)},"
        f" onset {figure(q.model.onset_pr_auc)}, onset Brier skill {figure(q.onset_brier_skill)}"
    )


def _serving(ws: Workspace, city: City) -> dict[str, str]:
    """Endpoint → version it serves now."""
    names = [ws.settings.endpoint(stage, city.name) for stage in ("staging", "prod")]
    states = [endpoints.find(ws.clients, name) for name in names]
    return {s.name: s.variants[0].version or "" for s in states if s is not None}


def _quality(
    ws: Workspace, city: City, names: list[str], window: Window, at: datetime
) -> list[QualityReport]:
    known = judged.matured(window, at)
    if known is None:
        return []
    said = {name: judged.predictions(ws, city, name, known) for name in names}
    if all(rows.empty for rows in said.values()):
        return []
    stations = sorted(station_list(ws, city)["station_id"])
    happened = judged.outcomes(ws, city, stations, known)
    expected = len(list(known.steps()))
    found = []
    for name, every in said.items():
        rows = every[every["source"] == "model"]  # stand-ins say nothing about a version
        table = judged.joined(rows, happened)
        newest = rows["model_version"].iloc[rows["dt"].argmax()] if len(rows) else None
        for version, part in table.groupby("model_version"):
            report = _judge(ws, city, name, str(version), part, window)
            full = version == newest and part["dt"].nunique() >= FULL * expected
            covered = full and known.duration >= window.duration * FULL
            _keep_quality(ws, city, report, at, plain=covered)
            found.append(report)
    return found


def _judge(
    ws: Workspace, city: City, endpoint: str, version: str, rows: pd.DataFrame, window: Window
) -> QualityReport:
    return quality.judge(
        rows,
        judged.yardsticks(ws, city, version),
        endpoint=endpoint,
        city=city.name,
        model_version=version,
        window=window,
    )


def _keep_quality(
    ws: Workspace, city: City, report: QualityReport, at: datetime, *, plain: bool
) -> None:
    name = f"{report.endpoint}_{report.model_version}_{stamp(at)}"
    ws.lake.write(MONITORING_QUALITY, quality.table(report), city=city.name, name=name)
    points = quality.points(report, at=at, horizon_min=PROMISE_MIN)
    if not plain:
        points = [point for point in points if "ModelVersion" in point.dimensions]
    ws.metrics.put(points, once=f"quality {city.name} {name}")


def _features(ws: Workspace, city: City, window: Window) -> pd.DataFrame:
    """What was asked in `window`, and before there were batches, what would have been."""
    online = ws.lake.read(ONLINE, city=city.name, window=window)
    offline = ws.lake.read(OFFLINE, city=city.name, window=window)
    rest = offline[~offline["dt"].isin(online["dt"].unique())]
    return pd.concat([rest, online], ignore_index=True) if len(rest) else online


def _drift(
    ws: Workspace, city: City, endpoint: str, version: str, window: Window, features: pd.DataFrame
) -> DriftReport:
    report = drift.judge(
        features,
        artefact.read_reference(judged.artifacts(ws, city, version)),
        endpoint=endpoint,
        city=city.name,
        model_version=version,
        window=window,
        decision_times=features["dt"].nunique(),
        min_cover=FULL,
    )
    if report.enough:
        name = f"{endpoint}_{version}_{stamp(window.end)}"
        ws.lake.write(MONITORING_DRIFT, drift.table(report), city=city.name, name=name)
        points = drift.points(report, at=window.end)
        ws.metrics.put(points, once=f"drift {city.name} {name}")
    return report
