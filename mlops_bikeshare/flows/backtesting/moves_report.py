"""The report on plans of moves: minutes saved per bike and per round, with intervals.

Input    `Scored`: one plan at one decision time; two methods, the same decision times.
Output   a dict of plain JSON values as documented in docs/moves.md; `table` for the terminal.
Method   a ratio of sums; its interval resamples days (blocks of six hours in a short test), the
         same draws for both methods, so that their difference is a paired one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.windows import DAY_S
from mlops_bikeshare.evaluation import resampled

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One plan at one decision time; `at_risk_min`: what the whole network went through."""

    method: str
    dt: int
    moves: int
    planned: int
    bikes: int
    km: float
    promised_min: float
    saved_min: float
    at_risk_min: float


def report_of(found: Sequence[Scored], *, seed: int) -> dict[str, Any]:
    """The figures of both methods and the first less the second."""
    by = {m: [s for s in found if s.method == m] for m in dict.fromkeys(s.method for s in found)}
    first = next(iter(by.values()))
    block, kind = resampled.blocks(np.array([scored.dt for scored in first], dtype=np.int64))
    weights = resampled.draws(int(block.max()) + 1, seed=seed) if kind else None
    drawn = {m: _ratios(of, block, weights) for m, of in by.items()}
    ours, theirs = (drawn[m] for m in by)
    return {
        "decision_times": len(first),
        "days": len({scored.dt // DAY_S for scored in first}),
        "interval_blocks": kind,
        "recorded_min_per_round": float(np.mean([scored.at_risk_min for scored in first])),
        "methods": {m: _told(of, drawn[m]) for m, of in by.items()},
        "difference": {
            name: _value(ours[name][0] - theirs[name][0], ours[name][1] - theirs[name][1])
            for name in ours
        },
    }


def _ratios(
    of: Sequence[Scored], block: NDArray[np.intp], weights: Floats | None
) -> dict[str, tuple[float, Floats]]:
    """Saved minutes per bike and per round: the value, and one of each resample."""
    saved = np.array([scored.saved_min for scored in of])
    found = {}
    for name, whole in (
        ("saved_per_bike", np.array([scored.bikes for scored in of], dtype=np.float64)),
        ("saved_per_round", np.ones(len(of))),
    ):
        value = saved.sum() / whole.sum() if whole.sum() else np.nan
        parts = [np.bincount(block, weights=values) for values in (saved, whole)]
        over, under = parts if weights is None else [weights @ part for part in parts]
        spread = np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)
        found[name] = (float(value), spread if weights is not None else np.array([np.nan]))
    return found


def _told(of: Sequence[Scored], drawn: Mapping[str, tuple[float, Floats]]) -> dict[str, Any]:
    planned = sum(scored.planned for scored in of)
    promised = sum(scored.promised_min for scored in of)
    return {
        **{name: _value(*told) for name, told in drawn.items()},
        "promised_per_bike": promised / planned if planned else 0.0,
        "bikes_per_round": float(np.mean([scored.bikes for scored in of])),
        "bikes_not_moved": planned - sum(scored.bikes for scored in of),
        "moves_per_round": float(np.mean([scored.moves for scored in of])),
        "km_per_round": float(np.mean([scored.km for scored in of])),
    }


def _value(value: float, spread: Floats) -> dict[str, Any]:
    """A value with its interval, unknown as null."""
    between = resampled.interval(spread)
    return {
        "value": None if np.isnan(value) else float(value),
        "interval": None if between is None else list(between),
    }


def table(report: Mapping[str, Any]) -> str:
    """What a person wants to see."""
    head = (
        f"{report['city']}, {report['test']}: {report['decision_times']} rounds of"
        f" {report['vans']} vans of {report['capacity']} bikes, there after {report['arrive_min']}"
        f" min; recorded {report['recorded_min_per_round']:,.0f} stockout minutes a round"
    )
    words = f"{'saved per bike':>26}{'promised':>10}{'saved a round':>26}{'bikes':>7}{'km':>7}"
    lines = [head, f"  {'':20}{words}"]
    for method, told in report["methods"].items():
        lines.append(
            f"  {method:20}{_between(told['saved_per_bike']):>26}"
            f"{told['promised_per_bike']:>10.1f}{_between(told['saved_per_round']):>26}"
            f"{told['bikes_per_round']:>7.1f}{told['km_per_round']:>7.1f}"
        )
    gain = report["difference"]
    lines.append(
        f"  {'difference':20}{_between(gain['saved_per_bike']):>26}{'':>10}"
        f"{_between(gain['saved_per_round']):>26}"
    )
    blocks = report["interval_blocks"] or "no"
    return "\n".join([*lines, f"95 % intervals from {blocks} blocks; minutes"])


def _between(told: Mapping[str, Any]) -> str:
    value = "unknown" if told["value"] is None else f"{told['value']:.1f}"
    low_high = told["interval"]
    return value if low_high is None else f"{value} ({low_high[0]:.1f} to {low_high[1]:.1f})"
