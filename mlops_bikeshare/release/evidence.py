"""What a verdict rests on: frozen facts, None or absent where nothing was said.

Times are aware UTC. The gate judges these; where they came from is none of its business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mlops_bikeshare.domain.reports import Comparison, SliceComparison
from mlops_bikeshare.domain.windows import CADENCE_S, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The newest value of a metric; `cadence_s` is how often it is posted.

    `conflict`: several values were posted for that time, and they differ.
    """

    value: float
    at: datetime
    cadence_s: int = CADENCE_S
    conflict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantHealth:
    """One production variant over the window; hours are the UTC hours' starts.

    `errors_5xx` is the window's sum, `errors_at` the hours that had errors.
    """

    name: str
    latency_p95_ms: Mapping[datetime, float]
    invocations: Mapping[datetime, float]
    errors_5xx: float | None
    errors_at: Sequence[datetime] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityOfRecord:
    """The window in the table `monitoring_quality` that the metrics speak of.

    `feed_down`: None where nobody looked. `unlike`: metrics that differ from what the table held
    when they were posted.
    """

    window_end: datetime
    revision: int
    feed_down: int | None
    unlike: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Rows asked in the window and rows that this version answered with numbers."""

    asked: int
    answered: int
    last_gap: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureProof:
    """Rows of features used online, and how many differ from those that history gives."""

    rows: int
    differing: int
    last_at: datetime | None = None
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvidence:
    """Everything a verdict rests on.

    `artefact_digest` is the registered version's, `deployed_digest` that of the archive that the
    endpoint serves, `model_city` the city that the deployed model says it is for. `latest` holds
    the endpoint's newest metrics by plain name. `beats` are the decision times whose batch ran.
    `targets` are those that need a comparison; `champion` and `persistence` compare this version
    with each on the same station-times, `slices` with the champion by neighbourhood.
    `drift_enough` tells whether drift could be judged at all.
    """

    endpoint: str
    city: str
    model_version: str
    artefact_digest: str
    deployed_digest: str | None
    model_city: str | None
    window: Window
    judged_at: datetime
    latest: Mapping[str, Reading]
    quality: QualityOfRecord | None
    variants: Sequence[VariantHealth]
    beats: Sequence[datetime]
    drift_enough: bool | None
    targets: Sequence[str]
    coverage: Coverage | None
    features: FeatureProof | None
    champion: Sequence[Comparison] = ()
    persistence: Sequence[Comparison] = ()
    slices: Sequence[SliceComparison] = ()
    pinned: Mapping[str, str | int | float] = field(default_factory=dict)
