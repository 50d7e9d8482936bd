"""Candidate and champion on the two sets that decide about a retraining, by what would be deployed.

Input    versions of the registry, and the stored features and labels of a window.
Output   onset PR-AUC at the promised horizon per target, the gain of one version over another with
         its 95 % interval (paired, whole days drawn); None where it is not defined.
Raises   InputError for a window without features; ModelError for a version of other features.

Versions answer by their own artefacts, as an endpoint would. At most `MOST_ROWS` (station, dt) of a
window are asked, chosen by a hash of both, so that two versions are always asked the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window, to_seconds
from mlops_bikeshare.evaluation.resampled import blocks, draws, interval, resample
from mlops_bikeshare.evaluation.scores import score
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.flows.process.progress import Track
from mlops_bikeshare.flows.runs import training_table
from mlops_bikeshare.registry.scorer import Scorer
from mlops_bikeshare.release.double_evaluation import Recent
from mlops_bikeshare.training.sample import sample_once
from mlops_bikeshare.training.table import TrainingTable

MOST_ROWS = 100_000
METRIC = "onset PR-AUC"
Answers = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows of a window: features, decision times, and per target labels and who is out."""

    frame: pd.DataFrame
    dt: NDArray[np.int64]
    y: Mapping[str, NDArray[np.float32]]
    already_out: Mapping[str, NDArray[np.bool_]]


def rows_of(ws: Workspace, city: City, window: Window, *, seed: int, track: Track) -> Asked:
    """The rows that every version is asked about."""
    chosen = partial(_chosen, window=window, seed=seed)
    table = training_table.load_window(ws, city, window, chosen, track)
    every = np.arange(len(table.dt))
    ahead = np.full(len(every), PROMISE_MIN, dtype=np.int16)
    return Asked(
        pd.DataFrame(table.features, columns=list(table.names)),
        table.dt,
        {t.name: table.labels(t.name, every, ahead) for t in TARGETS},
        {t.name: _out(table, t.name, city) for t in TARGETS},
    )


def answers(ws: Workspace, city: City, version: str, asked: Asked) -> Answers:
    """What a version says of the rows, per target, at the promised horizon."""
    scorer = Scorer.load(str(judged.artifacts(ws, city, version)))
    try:
        said = scorer.predict(asked.frame)
    except ValueError as error:
        msg = f"version {version} cannot answer today's features: {error}"
        raise ModelError(f"{msg}; it cannot be compared, train from the start") from None
    return {t.name: said[f"{t.probability}_{PROMISE_MIN}"].to_numpy() for t in TARGETS}


def onset_pr_auc(asked: Asked, said: Answers) -> dict[str, float | None]:
    """The figure of each target; None where the rows have no onset."""
    found: dict[str, float | None] = {}
    for target, p in said.items():
        known = ~np.isnan(asked.y[target])
        out = asked.already_out[target][known]
        scored = score(asked.y[target][known], p[known], already_out=out, threshold=None)
        found[target] = scored.onset_pr_auc
    return found


def gains(
    asked: Asked,
    candidate: Answers,
    champion: Answers,
    *,
    seed: int,
) -> list[Recent]:
    """The candidate minus the champion, per target."""
    ours, theirs = onset_pr_auc(asked, candidate), onset_pr_auc(asked, champion)
    found = []
    for target in candidate:
        both = (ours[target], theirs[target])
        gain = None if None in both else float(np.subtract(*both))  # type: ignore[arg-type]
        between = _interval(asked, target, candidate[target], champion[target], seed=seed)
        low, high = between or (None, None)
        found.append(Recent(target=target, gain=gain, low=low, high=high))
    return found


def _interval(
    asked: Asked,
    target: str,
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    *,
    seed: int,
) -> tuple[float, float] | None:
    block, kind = blocks(asked.dt)
    if kind is None:
        return None
    weights = draws(int(block.max()) + 1, seed=seed)
    drawn = [
        resample(
            asked.y[target],
            p,
            already_out=asked.already_out[target],
            block=block,
            weights=weights,
            threshold=None,
        )["onset_pr_auc"]
        for p in (ours, theirs)
    ]
    return interval(drawn[0] - drawn[1])


def _chosen(
    stations: list[str],
    station: NDArray[np.int64],
    dt: NDArray[np.int64],
    *,
    window: Window,
    seed: int,
) -> NDArray[np.bool_]:
    among = (dt >= to_seconds(window.start)) & (dt < to_seconds(window.end))
    sample = sample_once(stations, station, dt, among=among, max_rows=MOST_ROWS, seed=seed)
    mask = np.zeros(len(dt), dtype=np.bool_)
    mask[sample.rows] = True
    return mask


def _out(table: TrainingTable, target: str, city: City) -> NDArray[np.bool_]:
    counts = table.counts[target]
    out: NDArray[np.bool_] = (counts >= 0) & city.label.out(counts)
    return out
