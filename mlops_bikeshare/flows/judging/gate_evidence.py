"""What the gate judges by: read from the metric store, the endpoint, the registry and the lake.

Output   GateEvidence as of the workspace's clock. What is not there is None or left out, never a
         default; nothing later than the clock is looked at, so a clock that runs ahead posts
         values that nobody sees until their time has come.
Raises   EndpointError when the endpoint does not exist; ModelError when its version is unknown.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import CADENCE_S, DAY_S, Window
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.features import ONLINE
from mlops_bikeshare.flows.judging import gate_rows, golden, judged, proven, quality_record
from mlops_bikeshare.flows.judging.drift_windows import HOUR_S
from mlops_bikeshare.monitoring.metrics import (
    ENDPOINT,
    MINUTE_S,
    MODEL,
    Statistic,
    is_percentile,
    metric,
)
from mlops_bikeshare.registry import versions
from mlops_bikeshare.release.evidence import (
    Coverage,
    GateEvidence,
    QualityOfRecord,
    Reading,
    VariantHealth,
)
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState

# The table's column behind each metric that the gate reads.
QUALITY: Mapping[str, str] = {
    "PR-AUC-24h": "pr_auc",
    "F1-24h": "f1",
    "Onset-Brier-Skill-24h": "onset_brier_skill",
    "QualitySamples-24h": "samples",
}


def evidence(ws: Workspace, city: City, endpoint: str, *, hours: int) -> GateEvidence:
    """Everything the verdict on an endpoint rests on, as of now."""
    tracking.connect(ws)
    state = endpoints.describe(ws.clients, endpoint)
    version = versions.find(city.registered_model, state.variants[0].version or "")
    window = Window.before(ws.now, hours=hours)
    of = {"EndpointName": endpoint, "City": city.name}
    latest = {name: reading(ws, name, of) for name in QUALITY}
    record, values = of_record(ws, city, endpoint, version.version, latest)
    latest |= {name: _replaced(latest[name], value) for name, value in values.items()}
    latest["PSI"] = _worst_psi(ws, of, window)
    compared = gate_rows.compared(ws, city, endpoint, version.version, window)
    return GateEvidence(
        endpoint=endpoint,
        city=city.name,
        model_version=version.version,
        artefact_digest=version.digest,
        deployed_digest=golden.deployed_digest(ws, state),
        # What it learned from, by the registry; else what it was deployed for.
        model_city=version.tags.get(versions.CITY_TAG) or state.variants[0].tags.get("city"),
        window=window,
        judged_at=ws.now,
        latest={name: found for name, found in latest.items() if found is not None},
        quality=record,
        variants=[_health(ws, state, v.name, window) for v in state.variants if v.weight > 0],
        beats=beats(ws, of, window),
        drift_enough=latest["PSI"] is not None,
        targets=[target.name for target in TARGETS],
        coverage=coverage(ws, city, endpoint, version.version, window),
        features=proven.prove(ws, city, window),
        champion=compared.champion,
        persistence=compared.persistence,
        slices=compared.slices,
        pinned={**_pinned(record), **compared.pinned},
    )


def _pinned(record: QualityOfRecord | None) -> dict[str, str | int | float]:
    if record is None:
        return {}
    end = record.window_end.isoformat()
    return {"quality_window_end": end, "quality_revision": record.revision}


def of_record(
    ws: Workspace,
    city: City,
    endpoint: str,
    version: str,
    latest: Mapping[str, Reading | None],
) -> tuple[QualityOfRecord | None, dict[str, float]]:
    """The table's window at the time of the metrics, and its values at the highest revision."""
    times = {found.at for found in latest.values() if found is not None}
    if len(times) != 1:
        return None, {}
    (at,) = times
    window = Window(at, at + timedelta(seconds=1))
    rows = quality_record.read(ws, city, endpoint, window)
    rows = rows[rows["model_version"] == version]
    if rows.empty:
        return None, {}
    posted, now = _worse(quality_record.first(rows)), _worse(quality_record.highest(rows))
    unlike = [
        name
        for name, found in latest.items()
        if found is not None and not np.isclose(posted.get(name, np.nan), found.value)
    ]
    down = float(quality_record.highest(rows)["feed_down"].iloc[0])
    record = QualityOfRecord(
        window_end=at,
        revision=int(rows["revision"].max()),
        feed_down=None if np.isnan(down) else int(down),
        unlike=tuple(unlike),
    )
    return record, now


def _worse(rows: pd.DataFrame) -> dict[str, float]:
    """The worse of the targets by metric; NaN where one is not known."""
    found = {}
    for name, column in QUALITY.items():
        values = rows[column].to_numpy(dtype=np.float64)
        lower = metric(name).worse == "lower"
        found[name] = float(values.min() if lower else values.max()) if len(values) else np.nan
    return found


def _replaced(found: Reading | None, value: float) -> Reading | None:
    return None if found is None else replace(found, value=value)


def reading(
    ws: Workspace, name: str, of: Mapping[str, str], *, cadence_s: int = CADENCE_S
) -> Reading | None:
    """The newest value that is not of the future, and whether another contests it."""
    found = ws.metrics.latest(MODEL, name, of, before=ws.now, within_s=DAY_S)
    if found is None:
        return None
    at, value = found
    minute = Window(at, at + timedelta(seconds=MINUTE_S))
    least, most = (
        _series(ws, MODEL, name, of, minute, statistic, period_s=MINUTE_S).get(at)
        for statistic in ("Minimum", "Maximum")
    )
    return Reading(value=value, at=at, cadence_s=cadence_s, conflict=least != most)


def _worst_psi(ws: Workspace, of: Mapping[str, str], window: Window) -> Reading | None:
    """The largest PSI of the window, as fresh as the newest one."""
    newest = reading(ws, "PSI", of, cadence_s=HOUR_S)
    hours = _series(ws, MODEL, "PSI", of, window, "Maximum")
    if newest is None:
        return None
    worst = max([newest.value, *hours.values()])
    return Reading(value=worst, at=newest.at, cadence_s=HOUR_S)


def _health(ws: Workspace, state: EndpointState, variant: str, window: Window) -> VariantHealth:
    """A variant in the window; an error since its end counts too, a verdict is of now."""
    of = {"EndpointName": state.name, "VariantName": variant}
    latency = _series(ws, ENDPOINT, "ModelLatency", of, window, "p95")
    until_now = Window(window.start, max(window.end, ws.now + timedelta(seconds=1)))
    errors = _series(ws, ENDPOINT, "Invocation5XXErrors", of, until_now, "Sum")
    return VariantHealth(
        name=variant,
        latency_p95_ms={hour: us / 1000 for hour, us in latency.items()},
        invocations=_series(ws, ENDPOINT, "Invocations", of, window, "Sum"),
        errors_5xx=sum(errors.values()) if errors else None,
        errors_at=[hour for hour, count in errors.items() if count],
    )


def beats(ws: Workspace, of: Mapping[str, str], window: Window) -> list[datetime]:
    """Decision times with a heartbeat; one that was posted twice is one."""
    name = "PredictionHeartbeat"
    found = _series(ws, MODEL, name, of, window, "Maximum", period_s=CADENCE_S)
    return [at for at, value in found.items() if value >= 1]


def coverage(
    ws: Workspace, city: City, endpoint: str, version: str, window: Window
) -> Coverage | None:
    """Rows of features that were made, and those that this version answered with numbers."""
    key = ["station_id", "dt"]
    asked = ws.lake.read(ONLINE, city=city.name, window=window, columns=key)
    if asked.empty:
        return None
    said = judged.answered(judged.predictions(ws, city, endpoint, window), version)
    answered = said.dropna(subset=[target.probability for target in TARGETS])[key]
    both = asked.merge(answered, on=key, how="left", indicator=True)
    gaps = both.loc[both["_merge"] != "both", "dt"]
    return Coverage(
        asked=len(both),
        answered=len(both) - len(gaps),
        last_gap=gaps.max().to_pydatetime() if len(gaps) else None,
    )


def _series(
    ws: Workspace,
    namespace: str,
    name: str,
    of: Mapping[str, str],
    window: Window,
    statistic: Statistic,
    *,
    period_s: int = HOUR_S,
) -> dict[datetime, float]:
    whole = window.widened(step_s=period_s) if is_percentile(statistic) else window
    found = ws.metrics.series(
        namespace, name, of, window=whole, statistic=statistic, period_s=period_s
    )
    return dict(found)
