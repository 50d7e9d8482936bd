"""Drift: the last day's features against the reference that travels with the version.

Input    a frame of features (a row per station and decision time of the window, NaN where
         unknown) and the version's reference: {"psi": {feature: PsiReference as JSON},
         "range": {city-wide scalar: [least, greatest] or null}}.
Output   DriftReport; rows of `monitoring_drift`; MetricPoints. Until the window is covered the
         report says `enough=False`, and there are no rows and no points.
Raises   ModelError naming features of the reference that the frame lacks.
Source   PSI: see evaluation/psi. Scalars that all stations share are checked against the
         training range instead, as their PSI over a day is large on any quiet day.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.reports import DriftReport, MetricPoint
from mlops_bikeshare.domain.tables import MONITORING_DRIFT
from mlops_bikeshare.domain.windows import CADENCE_S, Window
from mlops_bikeshare.evaluation.psi import PsiReference
from mlops_bikeshare.monitoring.metrics import point

if TYPE_CHECKING:
    import pandas as pd

DRIFTS_ABOVE = 0.20


def judge(
    frame: "pd.DataFrame",
    reference: Mapping[str, Any],
    *,
    endpoint: str,
    city: str,
    model_version: str,
    window: Window,
    decision_times: int,
    min_rows: int = 2000,
    min_cover: float = 0.9,
) -> DriftReport:
    """Compare `frame` with the reference, given how many decision times of the window it holds."""
    _check(frame, reference)
    expected = window.duration.total_seconds() / CADENCE_S
    enough = len(frame) >= max(1, min_rows) and decision_times >= min_cover * expected
    psi, outside = _compare(frame, reference) if enough else ({}, {})
    drifting = [value > DRIFTS_ABOVE for value in psi.values()]
    return DriftReport(
        endpoint=endpoint,
        city=city,
        model_version=model_version,
        window=window,
        rows=len(frame),
        enough=enough,
        psi=psi,
        psi_max=max(psi.values(), default=None),
        drift_share=sum(drifting) / len(drifting) if drifting else None,
        out_of_range=outside,
    )


def table(report: DriftReport) -> "pd.DataFrame":
    """Rows of `monitoring_drift`, one per feature; none until there is enough."""
    import pandas as pd

    kinds = {"psi": report.psi, "range": report.out_of_range}
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
    """The largest PSI and the share of features above 0.20; nothing until there is enough."""
    of = {"EndpointName": report.endpoint, "City": report.city}
    values = {"PSI": report.psi_max, "DriftShare": report.drift_share}
    return [
        point(name, value, at=at, dimensions=of)
        for name, value in values.items()
        if value is not None
    ]


def _compare(
    frame: "pd.DataFrame", reference: Mapping[str, Any]
) -> tuple[dict[str, float], dict[str, float]]:
    psi = {
        name: PsiReference.from_json(document).psi(frame[name].to_numpy())
        for name, document in reference["psi"].items()
    }
    shares = {
        name: _share_outside(frame[name].to_numpy(), *bounds)
        for name, bounds in reference["range"].items()
        if bounds is not None
    }
    return psi, {name: share for name, share in shares.items() if share is not None}


def _share_outside(values: NDArray[Any], least: float, greatest: float) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.mean((known < least) | (known > greatest))) if known.size else None


def _check(frame: "pd.DataFrame", reference: Mapping[str, Any]) -> None:
    wanted = [*reference["psi"], *reference["range"]]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        msg = f"the version's drift reference names features the lake does not have: {missing}"
        raise ModelError(f"{msg}; rebuild the features with this version's definition")
