"""Drift: the last day's features, answers and stations against what travels with the version.

Input    a frame of features (a row per station and decision time of the window, NaN where
         unknown); the probabilities of each target at the promised horizon; the stations seen; and
         the version's reference: {"psi": {feature: PsiReference as JSON}, "range": {city-wide
         scalar: [least, greatest] or null}, "predictions": {target: PsiReference as JSON},
         "stations": {station_id: [lat, lon] or null}}. Older versions lack the last two.
Output   DriftReport; rows of `monitoring_drift`; MetricPoints. Until the window is covered the
         report says `enough=False` and why, and there are no rows and no points.
Raises   ModelError naming features of the reference that the frame lacks.
Source   PSI: see evaluation/psi. Scalars that all stations share are checked against the
         training range instead, as their PSI over a day is large on any quiet day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.reports import DriftLevel, DriftReport, FeedDrift, MetricPoint
from mlops_bikeshare.domain.tables import MONITORING_DRIFT
from mlops_bikeshare.domain.windows import CADENCE_S, Window
from mlops_bikeshare.evaluation.psi import PsiReference
from mlops_bikeshare.monitoring import feed_drift
from mlops_bikeshare.monitoring.metrics import point

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRules:
    """When there is enough to judge, and what is told."""

    min_rows: int = 2000
    min_cover: float = 0.9
    warn: float = 0.20
    critical: float = 0.30
    moved_m: float = 50.0

    def level(self, psi: float) -> DriftLevel:
        """What a PSI is called."""
        return "critical" if psi >= self.critical else "warn" if psi >= self.warn else "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Shares of the reference's bins then and now; the last bin holds missing values."""

    name: str
    psi: float
    edges: tuple[float, ...]
    then: tuple[float, ...]
    now: tuple[float, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Seen:
    """What the window held: features and answers, each at how many decision times; stations."""

    features: "pd.DataFrame"
    decision_times: int
    predictions: Mapping[str, Array]
    predicted_times: int
    stations: "pd.DataFrame | None" = None


def judge(
    seen: Seen,
    reference: Mapping[str, Any],
    *,
    endpoint: str,
    city: str,
    model_version: str,
    window: Window,
    rules: DriftRules,
) -> DriftReport:
    """Compare what was seen with the reference."""
    _check(seen.features, reference)
    why = _too_little(seen, window, rules)
    psi, outside, predictions = ({}, {}, {}) if why else _compare(seen, reference, window, rules)
    drifting = [value > rules.warn for value in psi.values()]
    largest = max([*psi.values(), *predictions.values()], default=None)
    return DriftReport(
        endpoint=endpoint,
        city=city,
        model_version=model_version,
        window=window,
        rows=len(seen.features),
        enough=not why,
        psi=psi,
        psi_max=max(psi.values(), default=None),
        drift_share=sum(drifting) / len(drifting) if drifting else None,
        out_of_range=outside,
        predictions=predictions,
        feed=_feed(seen, reference, rules),
        level="not enough" if largest is None else rules.level(largest),
        why=why,
    )


def shifts(seen: Seen, reference: Mapping[str, Any], names: list[str]) -> list[Shift]:
    """How the values of some features, or the answers of targets, are spread then and now."""
    found = []
    for name in names:
        of_target = name in seen.predictions
        known = PsiReference.from_json(reference["predictions" if of_target else "psi"][name])
        values = seen.predictions[name] if of_target else seen.features[name].to_numpy()
        found.append(
            Shift(
                name=name,
                psi=known.psi(values),
                edges=known.edges,
                then=known.shares,
                now=tuple(known.shares_of(values).tolist()),
            )
        )
    return found


def table(report: DriftReport) -> "pd.DataFrame":
    """Rows of `monitoring_drift`, one per feature; none until there is enough."""
    import pandas as pd

    kinds = {
        "psi": report.psi,
        "range": report.out_of_range,
        "prediction": {f"p_{target}": value for target, value in report.predictions.items()},
        "feed": _counts(report.feed) if report.enough and report.feed else {},
    }
    measured = [(f, kind, v) for kind, values in kinds.items() for f, v in values.items()]
    frame = pd.DataFrame(measured, columns=["feature", "kind", "value"]).assign(
        endpoint=report.endpoint,
        model_version=report.model_version,
        window_start=report.window.start,
        window_end=report.window.end,
        rows=report.rows,
    )
    times = dict.fromkeys(("window_start", "window_end"), "datetime64[ms, UTC]")
    texts = dict.fromkeys(("endpoint", "model_version", "feature", "kind"), "str")
    dtypes = {"value": "float64", "rows": "int64", **times, **texts}
    return frame[MONITORING_DRIFT.names].astype(dtypes)


def points(report: DriftReport, *, at: datetime) -> list[MetricPoint]:
    """The largest PSI, the share of features that drift, stations; nothing until enough."""
    if not report.enough:
        return []
    of = {"EndpointName": report.endpoint, "City": report.city}
    values = {
        "PSI": report.psi_max,
        "DriftShare": report.drift_share,
        "PredictionPSI": max(report.predictions.values(), default=None),
        **({} if report.feed is None else _counts(report.feed)),
    }
    return [
        point(name, value, at=at, dimensions=of)
        for name, value in values.items()
        if value is not None
    ]


def _too_little(seen: Seen, window: Window, rules: DriftRules) -> str:
    """Why there is not enough to judge; empty when there is."""
    expected = window.duration.total_seconds() / CADENCE_S
    least_rows, least_times = max(1, rules.min_rows), rules.min_cover * expected
    if len(seen.features) < least_rows:
        return f"{len(seen.features):,} rows of at least {least_rows:,}"
    if seen.decision_times < least_times:
        return f"{seen.decision_times} of {expected:.0f} decision times, {least_times:.0f} needed"
    return ""


def _compare(
    seen: Seen, reference: Mapping[str, Any], window: Window, rules: DriftRules
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    psi = {
        name: PsiReference.from_json(document).psi(seen.features[name].to_numpy())
        for name, document in reference["psi"].items()
    }
    shares = {
        name: _share_outside(seen.features[name].to_numpy(), *bounds)
        for name, bounds in reference["range"].items()
        if bounds is not None
    }
    outside = {name: share for name, share in shares.items() if share is not None}
    # The small hours alone are unlike any whole day.
    covered = seen.predicted_times >= rules.min_cover * window.duration.total_seconds() / CADENCE_S
    known = reference.get("predictions", {}) if covered else {}
    answers = {
        target: PsiReference.from_json(known[target]).psi(values)
        for target, values in seen.predictions.items()
        if target in known and len(values) >= max(1, rules.min_rows)
    }
    return psi, outside, answers


def _feed(seen: Seen, reference: Mapping[str, Any], rules: DriftRules) -> FeedDrift | None:
    if seen.stations is None or "stations" not in reference:
        return None
    return feed_drift.compare(reference["stations"], seen.stations, moved_m=rules.moved_m)


def _counts(feed: FeedDrift) -> dict[str, float]:
    changes = {"Appeared": feed.appeared, "Vanished": feed.vanished, "Moved": feed.moved}
    return {f"Stations{name}": float(len(stations)) for name, stations in changes.items()}


def _share_outside(values: Array, least: float, greatest: float) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.mean((known < least) | (known > greatest))) if known.size else None


def _check(frame: "pd.DataFrame", reference: Mapping[str, Any]) -> None:
    wanted = [*reference["psi"], *reference["range"]]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        msg = f"the version's drift reference names features the lake does not have: {missing}"
        raise ModelError(f"{msg}; rebuild the features with this version's definition")
