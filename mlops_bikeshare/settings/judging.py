"""Settings of whatever judges a version: monitoring, the gate, the guard of production."""

from dataclasses import dataclass
from typing import Annotated

from mlops_bikeshare.domain.bounds import Between


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringSettings:
    """When labels may come late, and when drift is told."""

    revise_h: Annotated[
        int,
        "hours of windows that are judged again when labels came late",
        Between(0, 168),
    ] = 3
    drift_rows: Annotated[int, 'rows below which drift says "not enough"', Between(1)] = 2000
    psi_warn: Annotated[float, "PSI from which a feature drifts", Between(0)] = 0.20
    psi_critical: Annotated[float, "PSI from which drift is critical", Between(0)] = 0.30
    moved_m: Annotated[float, "metres from which a station counts as moved", Between(1)] = 50.0
    keep_metrics_days: Annotated[
        int,
        "days that metrics are kept locally; never fewer than gate, alarms and retraining need",
        Between(30, 3650),
    ] = 90
    champion_margin: Annotated[
        float,
        "how far PR-AUC and F1 may lie below what they were when the champion was judged",
        Between(0, 1),
    ] = 0.10


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What a candidate must show; shares are fractions, delta is a Brier difference."""

    window_h: Annotated[int, "hours that a verdict looks at", Between(1)] = 24
    pr_auc_24h: Annotated[float, "least PR-AUC at 30 min, the worse target", Between(0, 1)] = 0.70
    f1_24h: Annotated[
        float,
        "least F1 at the version's threshold, 30 min, the worse target",
        Between(0, 1),
    ] = 0.55
    latency_p95_ms: Annotated[
        float,
        "most of every hour's 95th percentile of latency, milliseconds",
        Between(0),
    ] = 200.0
    errors_5xx: Annotated[int, "most server errors in the window", Between(0)] = 0
    heartbeats: Annotated[
        int | None, "least batches in the window; unset: window / 10 min", Between(1)
    ] = None
    psi: Annotated[float, "PSI must stay below this; can be waived", Between(0)] = 0.20
    onset_brier_skill: Annotated[
        float,
        "least 1 - Brier / Brier of persistence on onset rows, the worse target",
        Between(-1, 1),
    ] = 0.02
    non_inferiority_delta: Annotated[
        float,
        "how much worse than the champion the Brier score may be",
        Between(0, 1),
    ] = 0.002
    min_samples: Annotated[int, "least labelled rows for a verdict", Between(1)] = 2000
    slice_delta: Annotated[
        float,
        "how much worse than the champion a neighbourhood may surely be, Brier score",
        Between(0, 1),
    ] = 0.0002
    persistence_delta: Annotated[
        float,
        "how much worse than persistence the Brier score may be, upper end of its interval",
        Between(0, 1),
    ] = 0.0
    slice_km: Annotated[
        float,
        "side of a neighbourhood's grid cell, where the feed has no regions, kilometres",
        Between(0.1, 100),
    ] = 1.0
    slice_samples: Annotated[int, "least labelled rows to judge a neighbourhood by", Between(1)] = (
        400
    )
    coverage: Annotated[
        float, "least share of the rows asked that the model answered", Between(0, 1)
    ] = 0.99
    waiver_max_h: Annotated[int, "longest that a waiver may hold, hours", Between(1, 168)] = 72
    fresh_min: Annotated[int, "minutes that a pass may be used for a promotion", Between(1)] = 60
    stale_min: Annotated[
        int, "minutes after which a metric counts as missing: two cadences", Between(1)
    ] = 20

    @property
    def of_its_own_test(self) -> dict[str, float]:
        """Score → the least that each target of a version must reach in its test at training."""
        return {
            "pr_auc": self.pr_auc_24h,
            "f1": self.f1_24h,
            "onset_brier_skill": self.onset_brier_skill,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """What production must keep: a canary that breaks it is taken back, a version rolled back."""

    errors_5xx: Annotated[int, "most server errors since the last move", Between(0)] = 0
    latency_p95_ms: Annotated[
        float, "most of every hour's 95th percentile of latency, milliseconds", Between(0)
    ] = 300.0
    success_rate: Annotated[
        float, "least share of rows answered, of every batch", Between(0, 1)
    ] = 1.0
    pr_auc_24h: Annotated[float, "least PR-AUC at 30 min, the worse target", Between(0, 1)] = 0.70
    f1_24h: Annotated[float, "least F1 at 30 min, the worse target", Between(0, 1)] = 0.55
    hold_batches: Annotated[
        int, "batches that a canary holds at 10 %, 50 % and 100 % each", Between(1)
    ] = 6
    min_samples: Annotated[
        int, "least labelled rows before a canary's quality is judged", Between(1)
    ] = 2000
