"""What a training's test says of its candidate: intervals, dispatch budgets, alarms, slices.

Input    a Candidate with its test rows, the split that they come from.
Output   per target a dict of plain JSON values (`figures`, `dispatch`, `alarms`, `slices`); empty
         when the split kept no test. `steps` are the same as metrics of an MLflow run.
Raises   what the lake raises when it does not answer.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import SLOT_S, Window
from mlops_bikeshare.evaluation.alarms import alarms_at
from mlops_bikeshare.evaluation.dispatch import COVERED_SLOTS
from mlops_bikeshare.evaluation.resampled import blocks, draws, interval, resample
from mlops_bikeshare.features.outcomes import Outcomes
from mlops_bikeshare.flows.features import station_list
from mlops_bikeshare.flows.judging.labels import truth
from mlops_bikeshare.flows.judging.sliced import dispatch, sliced
from mlops_bikeshare.flows.tracking import Stepped
from mlops_bikeshare.training.candidate import Candidate
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan
from mlops_bikeshare.training.tested import Held

METHODS = ("model", "persistence")
_SHOWN = ("pr_auc", "onset_pr_auc", "brier", "ece")
_COUNTED = ("precision", "recall", "best_recall", "lead_min", "minutes_covered")


def evidence(
    ws: Workspace, city: City, split: Split, candidate: Candidate, plan: Plan
) -> dict[str, Any]:
    """The evidence of every target."""
    if split.test is None:
        return {}
    stations = station_list(ws, city).sort_values("station_id", ignore_index=True)
    beyond = timedelta(seconds=SLOT_S * (COVERED_SLOTS + 1))
    window = Window(split.test.start, split.test.end + beyond)
    grid = truth(ws, city, stations=stations["station_id"].tolist(), window=window)
    outcomes, seed = Outcomes.of(grid, label=city.label), plan.params.seed
    found = {}
    for target, held in candidate.held.items():
        known = ~np.isnan(held.y) & ~held.already_out
        alarms = alarms_at(
            held.y[known],
            held.model[known],
            threshold=candidate.calibrations[target].alarm_threshold,
            cost_ratio=plan.cost_ratio,
        )
        found[target] = {
            "figures": _figures(candidate, target, held, seed=seed),
            "dispatch": dispatch(held, outcomes, target, methods=METHODS),
            "alarms": {"cost_ratio": plan.cost_ratio, **to_json(alarms)},
            "slices": sliced(held, stations, city, seed=seed),
        }
    return found


def steps(found: Mapping[str, Any]) -> list[Stepped]:
    """Budgets with K as step, and what alarms are worth at the promised horizon."""
    metrics: list[Stepped] = []
    for target, told in found.items():
        for method, budgets in told["dispatch"].items():
            prefix = "" if method == "model" else f"{method}_"
            metrics += [
                (f"{prefix}dispatch_{name}_{target}", b[name], b["stations_per_hour"])
                for b in budgets
                for name in _COUNTED
                if b[name] is not None
            ]
        metrics += [
            (f"alarm_{name}_{target}", told["alarms"][name], PROMISE_MIN)
            for name in ("precision", "recall", "cost_saved")
            if told["alarms"][name] is not None
        ]
        metrics += [
            (f"worst_{dimension}_skill_{target}", part["skill"], PROMISE_MIN)
            for dimension, part in told["slices"]["worst"].items()
        ]
    return metrics


def _figures(candidate: Candidate, target: str, held: Held, *, seed: int) -> dict[str, Any]:
    """Scores at the promised horizon, each with its interval."""
    q = next(q for q in candidate.quality if (q.target, q.horizon_min) == (target, PROMISE_MIN))
    between = _intervals(held, seed=seed)
    told = {name: (getattr(q.model, name), getattr(q.persistence, name)) for name in _SHOWN}
    shown: dict[str, Any] = {
        name: {"model": ours, "persistence": theirs, "interval": between.get(name)}
        for name, (ours, theirs) in told.items()
    }
    shown["brier_skill"] = {
        "model": q.brier_skill,
        "persistence": 0.0,
        "interval": between.get("brier_skill"),
    }
    head = {"rows": q.model.rows, "onset_rows": q.model.onset_rows}
    rates = {"base_rate": q.model.base_rate, "onset_base_rate": q.model.onset_base_rate}
    return {**head, **rates, "scores": to_json(shown)}


def _intervals(held: Held, *, seed: int) -> dict[str, tuple[float, float] | None]:
    known = ~np.isnan(held.y) & np.isfinite(held.persistence)
    if not known.any():
        return {}
    block, kind = blocks(held.dt[known])
    if kind is None:
        return {}
    weights = draws(int(block.max()) + 1, seed=seed)
    ours, theirs = (
        resample(
            held.y[known],
            p[known],
            already_out=held.already_out[known],
            block=block,
            weights=weights,
            threshold=None,
        )
        for p in (held.model, held.persistence)
    )
    reference = np.where(theirs["brier"] > 0, theirs["brier"], np.nan)
    skill = interval(1 - ours["brier"] / reference)
    return {**{name: interval(ours[name]) for name in _SHOWN}, "brier_skill": skill}
