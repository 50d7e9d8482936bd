"""Quality from matured labels: one endpoint, one version, one window of decision times.

Input    a frame of predictions, a row per station, dt and horizon: `dt` datetime64[ms, UTC],
         `horizon_min`, and per target `p_<target>` float64, `label_<target>` (1 out, 0 not, NaN
         not known: censored), `count_<target>` int (bikes or docks at dt, -1 missing).
         A column `handled` may tell those that are censored because somebody went there. A column
         `source` may tell fallback rows, which are not the model's, from `model` rows.
Output   QualityReport; rows of `monitoring_quality`; MetricPoints. Model and persistence are
         scored on the same rows: those with a label, a count and a probability. Rows without a
         label are counted as censored, labelled ones without a probability as unanswered (the
         gate refuses a version that leaves rows out). None is never posted.
Raises   TableError naming missing columns; ModelError for a probability outside [0, 1].
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import TableError
from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.domain.reports import MetricPoint, QualityReport, TargetQuality
from mlops_bikeshare.domain.tables import MONITORING_QUALITY, arrow_schema
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation.estimate import expected_brier, expected_pr_auc
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.evaluation.scores import score, skill
from mlops_bikeshare.monitoring.metrics import metric, point

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# A new quality metric is one line here and one entry in the catalogue.
VALUES: Mapping[str, Callable[[TargetQuality], float | None]] = {
    "PR-AUC-24h": lambda q: q.model.pr_auc,
    "F1-24h": lambda q: q.model.f1,
    "Brier-24h": lambda q: q.model.brier,
    "ECE-24h": lambda q: q.model.ece,
    "Onset-PR-AUC-24h": lambda q: q.model.onset_pr_auc,
    "Brier-Skill-24h": lambda q: q.brier_skill,
    "Onset-Brier-Skill-24h": lambda q: q.onset_brier_skill,
    "QualitySamples-24h": lambda q: q.model.rows,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What a version's predictions of one target are held against."""

    persistence: Persistence
    threshold: float | None
    label: Label = USUAL


def judge(
    frame: "pd.DataFrame",
    yardsticks: Mapping[str, Yardstick],
    *,
    endpoint: str,
    city: str,
    model_version: str,
    window: Window,
    horizons_min: Iterable[int] = (PROMISE_MIN,),
    revision: int = 1,
    feed_down: int | None = None,
) -> QualityReport:
    """Score every target (the keys of `yardsticks`) at every horizon; `frame` is one version's."""
    _check(frame, yardsticks)
    wanted = ((frame["dt"] >= window.start) & (frame["dt"] < window.end)).to_numpy()
    if "source" in frame.columns:
        wanted = wanted & (frame["source"] == "model").to_numpy()
    frame = _only(frame, wanted)
    horizon = frame["horizon_min"].to_numpy()
    found = [
        _judge_target(part, target, horizon_min, yardstick)
        for horizon_min in horizons_min
        for part in (_only(frame, horizon == horizon_min),)
        for target, yardstick in yardsticks.items()
    ]
    return QualityReport(
        endpoint=endpoint,
        city=city,
        model_version=model_version,
        window=window,
        targets=tuple(found),
        revision=revision,
        feed_down=feed_down,
        handled=_handled(frame),
    )


def table(report: QualityReport) -> "pa.Table":
    """Rows of `monitoring_quality`, one per target and horizon."""
    import pyarrow as pa

    rows = [_row(report, q) for q in report.targets]
    return pa.Table.from_pylist(rows, schema=arrow_schema(MONITORING_QUALITY))


def points(
    report: QualityReport, *, at: datetime, horizon_min: int = PROMISE_MIN
) -> list[MetricPoint]:
    """The worse target under the plain names, each target with `ModelVersion` and `Target`."""
    of = {"EndpointName": report.endpoint, "City": report.city}
    judged = [q for q in report.targets if q.horizon_min == horizon_min]
    found = []
    for name, value_of in VALUES.items():
        values = [value_of(q) for q in judged]
        known = [value for value in values if value is not None]
        if known and len(known) == len(values):
            worst = min(known) if metric(name).worse == "lower" else max(known)
            found.append(point(name, worst, at=at, dimensions=of))
        for q, value in zip(judged, values, strict=True):
            if value is not None:
                detail = {**of, "ModelVersion": report.model_version, "Target": q.target}
                found.append(point(name, value, at=at, dimensions=detail))
    return found


def _check(frame: "pd.DataFrame", targets: Iterable[str]) -> None:
    wanted = ["dt", "horizon_min"]
    wanted += [f"{kind}_{target}" for target in targets for kind in ("p", "label", "count")]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise TableError(f"predictions joined to labels lack {missing}; got {list(frame.columns)}")


def _only(frame: "pd.DataFrame", wanted: NDArray[np.bool_]) -> "pd.DataFrame":
    """Some rows; the frame itself where all are wanted, for a copy costs as much as to score it."""
    return frame if wanted.all() else frame[wanted]


def _judge_target(
    rows: "pd.DataFrame", target: str, horizon_min: int, yardstick: Yardstick
) -> TargetQuality:
    y = rows[f"label_{target}"].to_numpy(dtype=np.float64)
    count = rows[f"count_{target}"].to_numpy()
    p = rows[f"p_{target}"].to_numpy(dtype=np.float64)
    known = ~np.isnan(y) & (count >= 0)
    judged = known & ~np.isnan(p)
    y, count, p = y[judged], count[judged], p[judged]
    out_now = yardstick.label.out(count)
    baseline = yardstick.persistence.predict(count, horizon_min=horizon_min)
    model = score(y, p, already_out=out_now, threshold=yardstick.threshold)
    reference = score(y, baseline, already_out=out_now, threshold=None)
    return TargetQuality(
        target=target,
        horizon_min=horizon_min,
        decision_times=rows["dt"][judged].nunique(),
        model=model,
        persistence=reference,
        brier_skill=skill(model.brier, reference.brier),
        onset_brier_skill=skill(model.onset_brier, reference.onset_brier),
        censored=int(np.count_nonzero(~known)),
        unanswered=int(np.count_nonzero(known & ~judged)),
        estimated_brier=expected_brier(p),
        estimated_pr_auc=expected_pr_auc(p),
    )


def _handled(frame: "pd.DataFrame") -> int | None:
    """Rows whose station somebody had handled; None where nobody looked."""
    return int(frame["handled"].sum()) if "handled" in frame.columns else None


def _row(report: QualityReport, q: TargetQuality) -> dict[str, Any]:
    return {
        "endpoint": report.endpoint,
        "model_version": report.model_version,
        "window_start": report.window.start,
        "window_end": report.window.end,
        "target": q.target,
        "horizon_min": q.horizon_min,
        "revision": report.revision,
        "feed_down": report.feed_down,
        "handled": report.handled,
        "decision_times": q.decision_times,
        "samples": q.model.rows,
        "censored": q.censored,
        "unanswered": q.unanswered,
        "onset_samples": q.model.onset_rows,
        "base_rate": q.model.base_rate,
        "pr_auc": q.model.pr_auc,
        "f1": q.model.f1,
        "brier": q.model.brier,
        "ece": q.model.ece,
        "onset_pr_auc": q.model.onset_pr_auc,
        "brier_skill": q.brier_skill,
        "onset_brier_skill": q.onset_brier_skill,
        "persistence_pr_auc": q.persistence.pr_auc,
        "persistence_brier": q.persistence.brier,
        "persistence_onset_pr_auc": q.persistence.onset_pr_auc,
        "estimated_brier": q.estimated_brier,
        "estimated_pr_auc": q.estimated_pr_auc,
    }
