"""Frozen evidence that stages hand each other: scores, metric points, drift, verdicts.

Probabilities and shares are fractions in [0, 1]. A value that could not be computed is None,
never 0. Times are aware UTC datetimes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from mlops_bikeshare.domain.windows import Window

Verdict = Literal["pass", "fail", "unknown"]
Relation = Literal[">=", "<=", "<", "=="]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPoint:
    """One datum for CloudWatch or its local twin; dimensions as CloudWatch names them."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    at: datetime
    value: float
    unit: str = "None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How good one set of probabilities is against labels; None where undefined.

    Onset: the rows whose station is not already out at dt. `ece`: 10 equal-width bins.
    `f1` is at `threshold`.
    """

    rows: int
    base_rate: float | None
    pr_auc: float | None
    brier: float | None
    ece: float | None
    log_loss: float | None
    f1: float | None
    threshold: float | None
    onset_rows: int
    onset_base_rate: float | None
    onset_pr_auc: float | None
    onset_brier: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetQuality:
    """Model and persistence on the same rows of one target at one horizon."""

    target: str
    horizon_min: int
    decision_times: int
    model: Scores
    persistence: Scores
    brier_skill: float | None
    onset_brier_skill: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """Matured quality of one endpoint over a window of decision times."""

    endpoint: str
    city: str
    model_version: str
    window: Window
    targets: tuple[TargetQuality, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """PSI per station-varying feature and range checks of city-wide scalars.

    `psi` maps feature to PSI; `out_of_range` maps a scalar to its share of rows outside the
    training range. `enough` is False until the window is covered; then `psi_max` is None.
    """

    endpoint: str
    city: str
    model_version: str
    window: Window
    rows: int
    enough: bool
    psi: Mapping[str, float]
    psi_max: float | None
    drift_share: float | None
    out_of_range: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Challenger minus champion on the same station-times: Brier difference with its interval.

    Positive means the challenger is worse. `low` and `high` bound the 95 % interval.
    """

    target: str
    rows: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCheck:
    """One line of a verdict. `value` is None when there was nothing to judge."""

    name: str
    value: float | str | None
    relation: Relation
    threshold: float | str
    verdict: Verdict
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether this line lets the candidate through."""
        return self.verdict == "pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """What the gate saw and decided; `initial` marks a first deploy without a champion."""

    verdict: Verdict
    city: str
    endpoint: str
    model_version: str
    artefact_digest: str
    window: Window
    judged_at: datetime
    checks: tuple[GateCheck, ...]
    initial: bool = False
    waivers: tuple[Mapping[str, str], ...] = field(default=())

    @property
    def failed(self) -> list[GateCheck]:
        """The lines that stand in the way."""
        return [check for check in self.checks if not check.passed]


def to_json(value: Any) -> Any:
    """Reports as plain JSON values: times ISO, windows `A..B`, NaN as null, `passed` added."""
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_json(item) for item in value]
    return _object(value) if hasattr(value, "__dataclass_fields__") else _scalar(value)


def _object(value: Any) -> Any:
    if isinstance(value, Window):
        return str(value)
    fields = {name: to_json(getattr(value, name)) for name in value.__dataclass_fields__}
    return {**fields, "passed": value.passed} if isinstance(value, GateCheck) else fields


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and math.isnan(value) else value
