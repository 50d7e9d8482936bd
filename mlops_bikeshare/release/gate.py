"""The gate: may this version go to production.

Input    GateEvidence: what the metric store, the endpoint and the lake had to say, None or absent
         where they said nothing; GateSettings: the thresholds.
Output   GateReport. A check is `unknown` where its evidence is missing, stale or too thin, never
         `pass`. One `fail` fails the gate; else one `unknown` leaves it unknown.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mlops_bikeshare.domain.reports import Comparison, GateCheck, GateReport, Relation, Verdict
from mlops_bikeshare.domain.windows import CADENCE_S, Window, floor_time
from mlops_bikeshare.settings import GateSettings

HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The newest value of a metric; `cadence_s` is how often it is posted."""

    value: float
    at: datetime
    cadence_s: int = CADENCE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantHealth:
    """One production variant over the window; hours are the UTC hours' starts."""

    name: str
    latency_p95_ms: Mapping[datetime, float]
    invocations: Mapping[datetime, float]
    errors_5xx: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvidence:
    """Everything a verdict rests on.

    `artefact_digest` is the registered version's, `deployed_digest` that of the archive that the
    endpoint serves. `latest` holds the endpoint's newest metrics by plain name. `targets` are
    those that need a comparison with the champion; `drift_enough` tells whether drift could be
    judged at all.
    """

    endpoint: str
    city: str
    model_version: str
    artefact_digest: str
    deployed_digest: str | None
    window: Window
    judged_at: datetime
    latest: Mapping[str, Reading]
    variants: Sequence[VariantHealth]
    heartbeats: float | None
    drift_enough: bool | None
    targets: Sequence[str]
    comparisons: Sequence[Comparison] = ()


def judge(evidence: GateEvidence, rules: GateSettings, *, initial: bool = False) -> GateReport:
    """The verdict; `initial` leaves out the champion, for there is none yet."""
    checks = [
        *_quality(evidence, rules),
        *_service(evidence, rules),
        _drift(evidence, rules),
        _digest(evidence),
    ]
    if not initial:
        targets = evidence.targets or ("to the champion",)
        checks += [_non_inferior(evidence, rules, target) for target in targets]
    return GateReport(
        verdict=overall(checks),
        city=evidence.city,
        endpoint=evidence.endpoint,
        model_version=evidence.model_version,
        artefact_digest=evidence.artefact_digest,
        window=evidence.window,
        judged_at=evidence.judged_at,
        checks=tuple(checks),
        initial=initial,
    )


def overall(checks: Sequence[GateCheck]) -> Verdict:
    """Fail if one fails, else unknown if one is (or there is none), else pass."""
    verdicts = {check.verdict for check in checks}
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts == {"pass"} else "unknown"


def report_from_json(document: Mapping[str, Any]) -> GateReport:
    """A report as `domain.reports.to_json` wrote it."""
    checks = [{k: v for k, v in check.items() if k != "passed"} for check in document["checks"]]
    return GateReport(
        **{
            **document,
            "window": Window.parse(document["window"], key="window"),
            "judged_at": datetime.fromisoformat(document["judged_at"]),
            "checks": tuple(GateCheck(**check) for check in checks),
            "waivers": tuple(document["waivers"]),
        }
    )


_HOLDS: Mapping[Relation, Callable[[Any, Any], bool]] = {
    ">=": lambda value, threshold: value >= threshold,
    "<=": lambda value, threshold: value <= threshold,
    "<": lambda value, threshold: value < threshold,
    "==": lambda value, threshold: value == threshold,
}


def _decide(
    name: str,
    value: float | str | None,
    relation: Relation,
    threshold: float | str,
    detail: str,
    *,
    gap: str | None = None,
) -> GateCheck:
    """One line; `gap` says why a value that holds cannot be believed, but one that fails can."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return _unknown(name, relation, threshold, gap or detail)
    holds = _HOLDS[relation](value, threshold)
    verdict: Verdict = "fail" if not holds else "unknown" if gap else "pass"
    return GateCheck(
        name=name,
        value=value,
        relation=relation,
        threshold=threshold,
        verdict=verdict,
        detail="; ".join(part for part in (detail, gap) if part),
    )


def _unknown(name: str, relation: Relation, threshold: float | str, why: str) -> GateCheck:
    return GateCheck(
        name=name, value=None, relation=relation, threshold=threshold, verdict="unknown", detail=why
    )


def _latest(
    evidence: GateEvidence, rules: GateSettings, name: str, relation: Relation, threshold: float
) -> GateCheck:
    """A line on the newest value of a metric; a stale one is no value."""
    reading = evidence.latest.get(name)
    if reading is None:
        return _unknown(name, relation, threshold, f"no value within the last {rules.window_h} h")
    age = evidence.judged_at - reading.at
    allowed = timedelta(seconds=max(rules.stale_min * 60, 2 * reading.cadence_s))
    seen = f"{reading.value:.4g} of {reading.at:%F %H:%M}"
    if not timedelta(0) <= age <= allowed:
        why = f"{seen} is stale: expected at most {allowed} before {evidence.judged_at:%F %H:%M}"
        return _unknown(name, relation, threshold, why)
    return _decide(name, reading.value, relation, threshold, seen)


def _quality(evidence: GateEvidence, rules: GateSettings) -> list[GateCheck]:
    return [
        _latest(evidence, rules, "PR-AUC-24h", ">=", rules.pr_auc_24h),
        _latest(evidence, rules, "F1-24h", ">=", rules.f1_24h),
        _latest(evidence, rules, "Onset-Brier-Skill-24h", ">=", rules.onset_brier_skill),
        _samples(_latest(evidence, rules, "QualitySamples-24h", ">=", rules.min_samples)),
    ]


def _samples(check: GateCheck) -> GateCheck:
    """Too few samples say nothing about the version: unknown, not fail."""
    if check.verdict != "fail":
        return check
    why = f"{check.value:g} labelled rows are too few to judge"
    return _unknown(check.name, check.relation, check.threshold, why)


def _service(evidence: GateEvidence, rules: GateSettings) -> list[GateCheck]:
    window = evidence.window
    needed = rules.heartbeats
    if needed is None:
        needed = int(window.duration.total_seconds()) // CADENCE_S
    latency = [_latency(evidence, rules, variant) for variant in evidence.variants]
    none = "the endpoint has no production variant"
    limit = rules.latency_p95_ms
    return [
        *(latency or [_unknown("ModelLatency p95", "<=", limit, none)]),
        _errors(evidence, rules),
        _decide(
            "PredictionHeartbeat",
            evidence.heartbeats,
            ">=",
            needed,
            f"batches in {window}" if evidence.heartbeats is not None else f"none in {window}",
        ),
    ]


def _latency(evidence: GateEvidence, rules: GateSettings, variant: VariantHealth) -> GateCheck:
    """Every hour's p95; an hour without requests, or without latency, cannot be judged."""
    window = evidence.window
    hours = sorted({floor_time(at, step_s=HOUR_S) for at in window.steps()})
    measured = {hour: variant.latency_p95_ms.get(hour) for hour in hours}
    silent = [h for h in hours if measured[h] is None or not variant.invocations.get(h)]
    known = {hour: p95 for hour, p95 in measured.items() if p95 is not None}
    worst = max(known, key=lambda hour: known[hour], default=None)
    seen = f"the slowest of {len(hours)} hours is {worst:%F %H:%M}" if worst else ""
    gap = f"{len(silent)} of {len(hours)} hours have no requests or no latency" if silent else None
    value = None if worst is None else known[worst]
    name = f"ModelLatency p95 {variant.name}"
    return _decide(name, value, "<=", rules.latency_p95_ms, seen, gap=gap)


def _errors(evidence: GateEvidence, rules: GateSettings) -> GateCheck:
    """The sum over all variants; without requests a sum of 0 says nothing."""
    known = [v.errors_5xx for v in evidence.variants if v.errors_5xx is not None]
    idle = [v.name for v in evidence.variants if v.errors_5xx is None or not _requests(v)]
    detail = f"in {sum(_requests(v) for v in evidence.variants):g} requests"
    gap = f"no requests or no error count recorded for {', '.join(idle)}" if idle else None
    value = float(sum(known)) if known else None
    return _decide("Invocation5XXErrors", value, "<=", rules.errors_5xx, detail, gap=gap)


def _requests(variant: VariantHealth) -> float:
    return sum(variant.invocations.values())


def _drift(evidence: GateEvidence, rules: GateSettings) -> GateCheck:
    if not evidence.drift_enough:
        return _unknown("PSI", "<", rules.psi, "not enough: 24 h of features are not covered")
    return _latest(evidence, rules, "PSI", "<", rules.psi)


def _digest(evidence: GateEvidence) -> GateCheck:
    name, digest, deployed = "artefact digest", evidence.artefact_digest, evidence.deployed_digest
    if not digest or not deployed:
        missing = "the registered version" if not digest else "the endpoint's archive"
        return _unknown(name, "==", digest, f"{missing} has no digest")
    same = "this version's artefact" if deployed == digest else "another artefact"
    return _decide(name, deployed, "==", digest, f"the endpoint serves {same}")


def _non_inferior(evidence: GateEvidence, rules: GateSettings, target: str) -> GateCheck:
    """The high end of the interval of the Brier difference must stay within the margin."""
    name, delta = f"non-inferior {target}", rules.non_inferiority_delta
    found = next((c for c in evidence.comparisons if c.target == target), None)
    if found is None:
        why = "not compared with a champion on the same rows (first deploy: --initial)"
        return _unknown(name, "<=", delta, why)
    if found.rows < rules.min_samples:
        return _unknown(name, "<=", delta, f"{found.rows} compared rows are too few to judge")
    detail = (
        f"Brier difference {found.difference:+.5f} [{found.low:+.5f}, {found.high:+.5f}]"
        f" on {found.rows} rows"
    )
    return _decide(name, found.high, "<=", delta, detail)
