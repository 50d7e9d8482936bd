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
DriftLevel = Literal["not enough", "ok", "warn", "critical"]


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
    """Model and persistence on the same rows of one target at one horizon.

    Not among the rows: `censored`, whose label or count is not known, and `unanswered`, which have
    a label but no probability. `estimated_…`: what the probabilities of the rows promised.
    """

    target: str
    horizon_min: int
    decision_times: int
    model: Scores
    persistence: Scores
    brier_skill: float | None
    onset_brier_skill: float | None
    censored: int = 0
    unanswered: int = 0
    estimated_brier: float | None = None
    estimated_pr_auc: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """Matured quality of one endpoint over a window of decision times.

    `revision`: 1 when first judged, higher once labels came late. `feed_down`: decision times whose
    label fell into an outage of the feed; `handled`: rows censored because somebody had handled
    their station; None when that is not known.
    """

    endpoint: str
    city: str
    model_version: str
    window: Window
    targets: tuple[TargetQuality, ...]
    revision: int = 1
    feed_down: int | None = None
    handled: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedDrift:
    """Stations of the window against those that the version was trained on, by id, sorted.

    `moved`: station and the metres between then and now.
    """

    known: int
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]
    moved: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """PSI per station-varying feature and range checks of city-wide scalars.

    `psi` maps feature to PSI; `out_of_range` maps a scalar to its share of rows outside the
    training range; `predictions` maps target to the PSI of its probabilities. `enough` is False
    until the window is covered, and `why` says what is missing; then `psi_max` is None. `feed` is
    None for a version that does not carry its stations.
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
    predictions: Mapping[str, float] = field(default_factory=dict)
    feed: FeedDrift | None = None
    level: DriftLevel = "not enough"
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A model minus another on the same station-times: Brier difference with its interval.

    Positive means the model is worse. `low` and `high` bound the 95 % interval.
    """

    target: str
    rows: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceComparison:
    """The neighbourhood in which a model does worst against another, on the same station-times.

    The interval holds for all `cells` at once. `thin`: cells with too few rows to judge. Where no
    cell has enough, `cell` is empty and the numbers are None.
    """

    target: str
    cells: int
    thin: int
    cell: str = ""
    rows: int = 0
    difference: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCheck:
    """One line of a verdict. `value` is None when there was nothing to judge.

    `flips`: what would make it pass; `next_at`: when that can first be seen, None for "at once".
    `waived`: who forgave the failure, until when, and why.
    """

    name: str
    value: float | str | None
    relation: Relation
    threshold: float | str
    verdict: Verdict
    detail: str = ""
    flips: str = ""
    next_at: datetime | None = None
    waived: str = ""

    @property
    def passed(self) -> bool:
        """Whether this line lets the candidate through."""
        return self.verdict == "pass" or bool(self.waived)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """What the gate saw and decided; `initial` marks a first deploy without a champion.

    `pinned`: the evidence that may change later, such as the revision of the quality judged.
    """

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
    pinned: Mapping[str, str | int | float] = field(default_factory=dict)

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
