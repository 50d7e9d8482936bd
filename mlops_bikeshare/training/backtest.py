"""A candidate and the baselines on the same rows, with intervals: the figures of a backtest.

Input    a Candidate, its baselines per target, and chunks of rows in any number: so the test never
         has to be in memory at once, only its answers (some 25 bytes a row and target).
Output   `Answers` per target, whose `report` is a dict of plain JSON values (see docs).
Raises   InputError when a target has no row to judge, ModelError where the model has no answer.

A row without a label, or without a count now, is left out for every method alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import GridError, InputError
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.domain.windows import DAY_S
from mlops_bikeshare.evaluation.blend import Blend
from mlops_bikeshare.evaluation.climatology import Climatology
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.evaluation.resampled import SCORES, blocks, draws, interval, resample
from mlops_bikeshare.evaluation.scores import best_f1_threshold, score, skill
from mlops_bikeshare.training.candidate import Candidate
from mlops_bikeshare.training.sample import Sample

MODEL, PERSISTENCE, CLIMATOLOGY, BLEND = "model", "persistence", "climatology", "blend"
BASELINES = (PERSISTENCE, CLIMATOLOGY, BLEND)
METHODS = (MODEL, *BASELINES)

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Rows to answer; `cell` is the climatology's of dt + horizon_min, counts are -1 if missing."""

    features: NDArray[np.float32]
    station: NDArray[np.integer]
    dt: NDArray[np.int64]
    horizon_min: NDArray[np.int16]
    cell: NDArray[np.integer]
    counts: Mapping[str, NDArray[np.integer]]
    labels: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """What one target's model has to beat; `thresholds` maps horizon to method to threshold."""

    persistence: Persistence
    climatology: Climatology
    blends: Mapping[int, Blend]
    thresholds: Mapping[int, Mapping[str, float | None]]

    @classmethod
    def fit(
        cls, persistence: Persistence, climatology: Climatology, slices: Mapping[int, "Slice"]
    ) -> "Baselines":
        """Blend and thresholds of each horizon, from its calibration slice."""
        bare = cls(persistence=persistence, climatology=climatology, blends={}, thresholds={})
        blends, thresholds = {}, {}
        for h, part in slices.items():
            parts = bare.parts(part.counts, part.station, part.cell, horizon_min=h)
            known = np.isfinite(part.y) & np.isfinite(parts[0])
            y, parts = part.y[known], [p[known] for p in parts]
            blends[h] = Blend.fit(y, parts)
            said = (*parts, blends[h].apply(parts))
            # Answers are kept as float32, so a threshold must be one too.
            best = (best_f1_threshold(y, p.astype(np.float32)) for p in said)
            thresholds[h] = dict(zip(BASELINES, best, strict=True))
        return cls(
            persistence=persistence, climatology=climatology, blends=blends, thresholds=thresholds
        )

    def parts(
        self, counts: Array, station: Array, cell: Array, *, horizon_min: int
    ) -> list[NDArray[np.float64]]:
        """Persistence and climatology at one horizon."""
        now = self.persistence.predict(counts, horizon_min=horizon_min)
        return [now, self.climatology.predict(station, cell)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Calibration rows of one target at one horizon."""

    y: NDArray[np.float32]
    counts: NDArray[np.integer]
    station: NDArray[np.integer]
    cell: NDArray[np.integer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What model and persistence said of one target's judged rows, and what happened."""

    horizon_min: NDArray[np.int16]
    dt: NDArray[np.int64]
    station: NDArray[np.integer]
    already_out: NDArray[np.bool_]
    y: NDArray[np.float32]
    model: NDArray[np.float32]
    persistence: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Parts, one after the other."""
        names = [f.name for f in fields(cls)]
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})

    def only(self, chosen: NDArray[np.bool_]) -> Self:
        """The chosen rows."""
        return type(self)(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers(Judged):
    """The same with the other baselines of a backtest."""

    climatology: NDArray[np.float32]
    blend: NDArray[np.float32]


def answer(
    chunk: Chunk,
    candidate: Candidate,
    baselines: Mapping[str, Baselines],
    *,
    label: Label,
    threads: int,
) -> dict[str, Answers]:
    """The answers of every method to the rows of a chunk that can be judged, per target."""
    asked = Sample(np.arange(len(chunk.dt)), chunk.horizon_min).matrix(chunk.features)
    answers = {}
    for target, base in baselines.items():
        judged = np.isfinite(chunk.labels[target]) & (chunk.counts[target] >= 0)
        raw = np.empty(0)
        if judged.any():
            raw = candidate.boosters[target].predict(asked[judged], threads=threads)
        answers[target] = _answers(
            chunk, target, judged, raw, candidate=candidate, base=base, label=label
        )
    return answers


def thresholds_at(
    candidate: Candidate, baselines: Mapping[str, Baselines], *, target: str, horizon_min: int
) -> dict[str, float | None]:
    """The threshold of each method's F1, all chosen on the calibration slice."""
    ours = float(np.float32(candidate.calibrations[target].threshold))
    return {MODEL: ours, **baselines[target].thresholds[horizon_min]}


def report(
    answers: Judged,
    thresholds: Mapping[str, float | None],
    *,
    seed: int,
    baselines: Sequence[str] = BASELINES,
) -> dict[str, Any]:
    """Scores of every method with 95 % intervals, and the model's paired differences."""
    block, kind = blocks(answers.dt)
    weights = draws(int(block.max()) + 1, seed=seed) if kind else None
    methods = {m: _scored(answers, m, thresholds.get(m)) for m in (MODEL, *baselines)}
    first = methods[MODEL]
    result: dict[str, Any] = {
        "rows": first["rows"],
        "onset_rows": first["onset_rows"],
        "days": len(np.unique(answers.dt // DAY_S)),
        "base_rate": first["base_rate"],
        "onset_base_rate": first["onset_base_rate"],
        "brier_skill": skill(first["brier"], methods[PERSISTENCE]["brier"]),
        "interval_blocks": kind,
    }
    spread = {
        m: _spread(answers, m, thresholds.get(m), block, weights) for m in (MODEL, *baselines)
    }
    result["interval"] = {"brier_skill": _skill_interval(spread)}
    for method, scored in methods.items():
        between = {s: interval(v) for s, v in spread[method].items()}
        result[method] = {**_shown(scored), "interval": to_json(between)}
    result["difference"] = {m: _difference(methods, spread, m) for m in baselines}
    return result


def scores(answers: Answers, thresholds: Mapping[str, float | None]) -> dict[str, Any]:
    """Scores without intervals, for the other horizons."""
    methods = {m: _scored(answers, m, thresholds.get(m)) for m in METHODS}
    first = methods[MODEL]
    head = {name: first[name] for name in ("rows", "base_rate", "onset_base_rate")}
    head["brier_skill"] = skill(first["brier"], methods[PERSISTENCE]["brier"])
    return {**head, **{m: _shown(scored) for m, scored in methods.items()}}


def check_rows(target: str, answers: Judged, *, what: str) -> None:
    """InputError when a target has nothing to be judged by."""
    if not len(answers.y):
        msg = f"{target}: no row of {what} has a label and a count; give a longer range, or one"
        raise InputError(f"{msg} in which stations reported")


def fit_baselines(
    target: str, persistence: Persistence, climatology: Climatology, slices: Mapping[int, Slice]
) -> Baselines:
    """The baselines of one target; InputError when its calibration rows have one class."""
    try:
        return Baselines.fit(persistence, climatology, slices)
    except GridError as error:
        msg = f"{target}: {error}; give a longer calibration range, or one with stockouts"
        raise InputError(msg) from error


def _answers(
    chunk: Chunk,
    target: str,
    judged: NDArray[np.bool_],
    raw: NDArray[np.float64],
    *,
    candidate: Candidate,
    base: Baselines,
    label: Label,
) -> Answers:
    horizon_min, counts = chunk.horizon_min[judged], chunk.counts[target][judged]
    station, cell = chunk.station[judged], chunk.cell[judged]
    said = np.empty((len(BASELINES), len(raw)))
    for h in np.unique(horizon_min).tolist():
        at = horizon_min == h
        parts = base.parts(counts[at], station[at], cell[at], horizon_min=h)
        said[:, at] = [*parts, base.blends[h].apply(parts)]
    model = candidate.calibrations[target].apply(raw, horizon_min)
    narrow = [values.astype(np.float32) for values in (model, *said)]
    return Answers(
        horizon_min=horizon_min,
        dt=chunk.dt[judged],
        station=station,
        already_out=label.out(counts),
        y=chunk.labels[target][judged],
        **dict(zip(METHODS, narrow, strict=True)),
    )


def _scored(answers: Judged, method: str, threshold: float | None) -> dict[str, Any]:
    p = getattr(answers, method)
    found: dict[str, Any] = to_json(
        score(answers.y, p, already_out=answers.already_out, threshold=threshold)
    )
    return found


def _shown(scored: Mapping[str, Any]) -> dict[str, Any]:
    return {name: scored[name] for name in (*SCORES, "threshold")}


def _spread(
    answers: Judged, method: str, threshold: float | None, block: Array, weights: Array | None
) -> dict[str, NDArray[np.float64]]:
    if weights is None:
        return {name: np.full(1, np.nan) for name in SCORES}
    return resample(
        answers.y,
        getattr(answers, method),
        already_out=answers.already_out,
        block=block,
        weights=weights,
        threshold=threshold,
    )


def _skill_interval(spread: Mapping[str, Mapping[str, Array]]) -> Any:
    reference = spread[PERSISTENCE]["brier"]
    ratio = spread[MODEL]["brier"] / np.where(reference > 0, reference, np.nan)
    return to_json(interval(1 - ratio))


def _difference(
    methods: Mapping[str, Mapping[str, Any]], spread: Mapping[str, Mapping[str, Array]], other: str
) -> dict[str, Any]:
    """Model minus another method, on the same draws."""
    found: dict[str, Any] = {}
    for name in SCORES:
        ours, theirs = methods[MODEL][name], methods[other][name]
        between = interval(spread[MODEL][name] - spread[other][name])
        found[name] = {
            "value": None if ours is None or theirs is None else ours - theirs,
            "interval": to_json(between),
        }
    return found
