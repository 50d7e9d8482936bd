"""The guard of production: may a canary go on, must a version be rolled back.

Input    Vitals: what was measured since the last move (a canary's step, a promotion); absent is
         None or an empty mapping. GuardSettings.
Output   GateChecks. `judge_hold`: go when all pass, back when one fails, else hold. `triggered`:
         the checks that fail; what is missing or was measured before the move triggers nothing
         (an alarm says so: missing data is no reason to swap a model that may be well).
Raises   Refused when the clock stands before the move.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.domain.reports import GateCheck, Relation
from mlops_bikeshare.release.evidence import Reading, VariantHealth
from mlops_bikeshare.settings import GuardSettings

Decision = Literal["go", "hold", "back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The worse target's scores on rows that one version answered since the move."""

    samples: int
    pr_auc: float | None
    f1: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How production has been in (since, now]; `success_rate` is the least of any batch."""

    since: datetime
    now: datetime
    variants: Sequence[VariantHealth]
    batches: int = 0
    success_rate: float | None = None
    sampled: Sampled | None = None
    latest: Mapping[str, Reading] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a canary's step has shown so far."""

    decision: Decision
    checks: tuple[GateCheck, ...]

    @property
    def open(self) -> list[GateCheck]:
        """The lines that do not let it go on."""
        return [check for check in self.checks if not check.passed]


def judge_hold(vitals: Vitals, rules: GuardSettings, *, batches: int, share_pct: int) -> Held:
    """Whether a canary that holds a share of the traffic may take the next."""
    if vitals.now < vitals.since:
        msg = (
            f"the clock says {vitals.now:%F %H:%M}, but this step began at {vitals.since:%F %H:%M}"
        )
        raise Refused(f"{msg}; set the clock right, then go on")
    uncounted = [v.name for v in vitals.variants if v.errors_5xx is None]
    untimed = [v.name for v in vitals.variants if not v.latency_p95_ms]
    errors, slowest = _errors(vitals), _slowest(vitals)
    checks = [
        _service_check(vitals, "Invocation5XXErrors", errors, rules.errors_5xx, silent=uncounted),
        _service_check(vitals, "ModelLatency p95", slowest, rules.latency_p95_ms, silent=untimed),
        _check("BatchSuccessRate", vitals.success_rate, ">=", rules.success_rate),
        _batches(vitals.batches, batches),
        *_quality(vitals.sampled, rules, needed=share_pct == 100),  # noqa: PLR2004 - all of it
    ]
    verdicts = {check.verdict for check in checks}
    decision: Decision = "go" if verdicts == {"pass"} else "hold"
    return Held(decision="back" if "fail" in verdicts else decision, checks=tuple(checks))


def triggered(vitals: Vitals, rules: GuardSettings) -> list[GateCheck]:
    """The reasons to roll production back now; none when all is well or not known."""
    latest = vitals.latest or {}
    fresh = {n: r.value for n, r in latest.items() if vitals.since < r.at <= vitals.now}
    checks = [
        _check("Invocation5XXErrors", _errors(vitals), "<=", rules.errors_5xx),
        _check("ModelLatency p95", _slowest(vitals), "<=", rules.latency_p95_ms),
        _check("PR-AUC-24h", fresh.get("PR-AUC-24h"), ">=", rules.pr_auc_24h),
        _check("F1-24h", fresh.get("F1-24h"), ">=", rules.f1_24h),
    ]
    return [check for check in checks if check.verdict == "fail"]


def said(checks: Sequence[GateCheck]) -> str:
    """Checks in one line."""
    return ", ".join(
        f"{c.name} {'unknown' if c.value is None else c.value} (needed {c.relation} {c.threshold})"
        for c in checks
    )


def _errors(vitals: Vitals) -> float | None:
    known = [v.errors_5xx for v in vitals.variants if v.errors_5xx is not None]
    return sum(known) if known else None


def _slowest(vitals: Vitals) -> float | None:
    return max((ms for v in vitals.variants for ms in v.latency_p95_ms.values()), default=None)


def _service_check(
    vitals: Vitals, name: str, value: float | None, limit: float, *, silent: Sequence[str]
) -> GateCheck:
    """A value that holds counts only once every variant has been asked, and measured."""
    idle = [v.name for v in vitals.variants if not sum(v.invocations.values())]
    found = _check(name, value, "<=", limit)
    if found.verdict != "pass" or (vitals.variants and not idle and not silent):
        return found
    why = f"no requests to {', '.join(idle) or 'any variant'} yet"
    if silent and not idle:
        why = f"nothing was measured of {', '.join(silent)}"
    return _unknown(name, "<=", limit, why)


def _batches(seen: int, needed: int) -> GateCheck:
    check = _check("batches held", float(seen), ">=", needed)
    if check.passed:
        return check
    return _unknown(check.name, ">=", needed, f"{seen} of {needed}")


def _quality(sampled: Sampled | None, rules: GuardSettings, *, needed: bool) -> list[GateCheck]:
    """Judged as soon as labels are enough; before all traffic is handed over they must be."""
    bars = {"PR-AUC": rules.pr_auc_24h, "F1": rules.f1_24h}
    samples = sampled.samples if sampled else 0
    if sampled is None or samples < rules.min_samples:
        why = f"{samples} of {rules.min_samples} labelled rows"
        return [_unknown(name, ">=", bar, why) for name, bar in bars.items()] if needed else []
    values = {"PR-AUC": sampled.pr_auc, "F1": sampled.f1}
    return [
        _check(name, values[name], ">=", bar)
        for name, bar in bars.items()
        if needed or values[name] is not None
    ]


def _check(name: str, value: float | None, relation: Relation, threshold: float) -> GateCheck:
    if value is None:
        return _unknown(name, relation, threshold, "nothing was measured")
    holds = value <= threshold if relation == "<=" else value >= threshold
    return GateCheck(
        name=name,
        value=value,
        relation=relation,
        threshold=threshold,
        verdict="pass" if holds else "fail",  # NaN holds nothing
    )


def _unknown(name: str, relation: Relation, threshold: float, why: str) -> GateCheck:
    return GateCheck(
        name=name, value=None, relation=relation, threshold=threshold, verdict="unknown", detail=why
    )
