"""What a person wants to see of a cold start."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mlops_bikeshare.domain.wording import figure

_figure = partial(figure, digits=4)
_SCORES = {
    "pr_auc": "PR-AUC",
    "onset_pr_auc": "onset PR-AUC",
    "brier": "Brier",
    "ece": "ECE",
    "log_loss": "log loss",
}
_METHODS = {
    "model": "pooled model",
    "persistence": "pooled persistence",
    "own_persistence": "own persistence",
}


def table(report: Mapping[str, Any]) -> str:
    """A few lines per target."""
    taught = ", ".join(f"{e['city']} ({e['rows']:,} rows)" for e in report["learned_from"])
    lines = [f"{report['city']}, {report['test']}, never seen; learned from {taught}"]
    for target, told in report["targets"].items():
        rates = f"base {_figure(told['base_rate'])}, onset base {_figure(told['onset_base_rate'])}"
        lines += [
            f"{target} at {report['horizon_min']} min: {told['rows']:,} rows, {rates}",
            f"  {'':18}" + "".join(f"{word:>14}" for word in _SCORES.values()),
            *(_method_line(word, told[method]) for method, word in _METHODS.items()),
            _skill_line(told),
            *(_gain_line(told["difference"][m], _METHODS[m]) for m in list(_METHODS)[1:]),
        ]
    effort = (f"{n} {report[f'{n}_seconds']:.0f} s" for n in ("feature", "train", "score"))
    blocks = {told["interval_blocks"] for told in report["targets"].values()}
    kinds = ", ".join(sorted(kind or "none: too short" for kind in blocks))
    return "\n".join([*lines, f"intervals resample blocks: {kinds}", ", ".join(effort)])


def _method_line(word: str, scored: Mapping[str, Any]) -> str:
    return f"  {word:18}" + "".join(f"{_figure(scored[name]):>14}" for name in _SCORES)


def _skill_line(told: Mapping[str, Any]) -> str:
    between = _between(told["interval"]["brier_skill"])
    return f"  Brier skill over pooled persistence {_figure(told['brier_skill'])} {between}"


def _gain_line(difference: Mapping[str, Any], word: str) -> str:
    onset, brier = difference["onset_pr_auc"], difference["brier"]
    return (
        f"  over {word}: onset PR-AUC {_figure(onset['value'])} {_between(onset['interval'])},"
        f" Brier {_figure(brier['value'])} {_between(brier['interval'], digits=4)}"
    )


def _between(interval: Sequence[float] | None, *, digits: int = 3) -> str:
    if interval is None:
        return "[no interval]"
    low, high = interval
    return f"[{low:.{digits}f}, {high:.{digits}f}]"
