"""The gate's judgement of a full day of evidence."""

from collections.abc import Iterator
from functools import partial

from mlops_bikeshare.domain.reports import Comparison, SliceComparison
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.release.evidence import (
    Coverage,
    FeatureProof,
    GateEvidence,
    QualityOfRecord,
    Reading,
    VariantHealth,
)
from mlops_bikeshare.release.gate import judge
from mlops_bikeshare.settings import GateSettings
from tests.bench.bed import END, Bed
from tests.bench.measure import Row, compare

LIMIT_MS = 10.0
NAMES = ("PR-AUC-24h", "F1-24h", "Onset-Brier-Skill-24h", "PSI")


def judged(bed: Bed) -> Iterator[Row]:
    work = partial(judge, _evidence(), GateSettings())
    (cost,) = compare(work, repeats=11 if bed.quick else 101)
    yield Row(
        name="release.gate_judge",
        ours=cost.wall_s * 1000,
        peer=LIMIT_MS,
        unit="ms",
        against="limit (ours), evidence already read",
    )


def _evidence() -> GateEvidence:
    window = Window.before(END)
    hours = list(window.steps(step_s=3600))
    latest = {name: Reading(value=0.1, at=END) for name in NAMES}
    variant = VariantHealth(
        name="AllTraffic",
        latency_p95_ms=dict.fromkeys(hours, 80.0),
        invocations=dict.fromkeys(hours, 12.0),
        errors_5xx=0.0,
    )
    return GateEvidence(
        endpoint="bikeshare-staging",
        city="boston",
        model_version="1",
        artefact_digest="d" * 64,
        deployed_digest="d" * 64,
        window=window,
        judged_at=END,
        latest={**latest, "QualitySamples-24h": Reading(value=50_000, at=END)},
        variants=(variant,),
        beats=list(window.steps()),
        model_city="boston",
        quality=QualityOfRecord(window_end=END, revision=1, feed_down=0),
        coverage=Coverage(asked=59_616, answered=59_616),
        features=FeatureProof(rows=59_616, differing=0),
        drift_enough=True,
        targets=tuple(target.name for target in TARGETS),
        champion=_better(),
        persistence=_better(),
        slices=tuple(
            SliceComparison(target=t.name, cells=60, thin=5, difference=0.001, low=-0.1, high=0.1)
            for t in TARGETS
        ),
    )


def _better() -> tuple[Comparison, ...]:
    return tuple(
        Comparison(target=t.name, rows=50_000, difference=-0.001, low=-0.002, high=-0.0001)
        for t in TARGETS
    )
