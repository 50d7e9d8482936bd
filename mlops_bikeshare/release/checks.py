"""The gate's absolute checks: quality, service, drift, features, and what is deployed.

Input    GateEvidence and GateSettings.
Output   GateChecks in the order of the catalogue; see lines.py for what makes one unknown.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from mlops_bikeshare.domain.reports import GateCheck, Relation
from mlops_bikeshare.domain.windows import CADENCE_S, floor_time
from mlops_bikeshare.domain.wording import plain
from mlops_bikeshare.release.evidence import GateEvidence, QualityOfRecord, VariantHealth
from mlops_bikeshare.release.lines import decide, left_behind, next_tick, unknown
from mlops_bikeshare.settings import GateSettings

HOUR_S = 3600
_SHOWN = 3


def all_of(evidence: GateEvidence, rules: GateSettings) -> list[GateCheck]:
    """Every check that needs no other model to compare with."""
    latency = [_latency(evidence, rules, variant) for variant in evidence.variants]
    return [
        _window(evidence, rules),
        _latest(evidence, rules, "PR-AUC-24h", ">=", rules.pr_auc_24h),
        _latest(evidence, rules, "F1-24h", ">=", rules.f1_24h),
        _latest(evidence, rules, "Onset-Brier-Skill-24h", ">=", rules.onset_brier_skill),
        _samples(_latest(evidence, rules, "QualitySamples-24h", ">=", rules.min_samples)),
        _of_record(evidence),
        *(latency or [_no_variant(rules)]),
        _errors(evidence, rules),
        _heartbeats(evidence, rules),
        _coverage(evidence, rules),
        _drift(evidence, rules),
        _features(evidence),
        _digest(evidence),
        _city(evidence),
    ]


def _window(evidence: GateEvidence, rules: GateSettings) -> GateCheck:
    """A look at fewer hours is for people; it never opens the way to production."""
    hours = evidence.window.duration.total_seconds() / HOUR_S
    flips = f"judge {rules.window_h} h: run `bikeshare gate` without --window"
    return decide("window", hours, ">=", rules.window_h, str(evidence.window), flips=flips)


def _latest(
    evidence: GateEvidence, rules: GateSettings, name: str, relation: Relation, threshold: float
) -> GateCheck:
    """A line on the newest value of a metric; a stale or contested one is no value."""
    reading = evidence.latest.get(name)
    if reading is None:
        why = f"no value within the last {rules.window_h} h"
        return _not_said(evidence, name, relation, threshold, why)
    age = evidence.judged_at - reading.at
    allowed = timedelta(seconds=max(rules.stale_min * 60, 2 * reading.cadence_s))
    seen = f"{plain(reading.value)} of {reading.at:%F %H:%M}"
    if not timedelta(0) <= age <= allowed:
        why = f"{seen} is stale: expected at most {allowed} before {evidence.judged_at:%F %H:%M}"
        return _not_said(evidence, name, relation, threshold, why)
    if reading.conflict:
        why = f"{name} was posted more than once for {reading.at:%F %H:%M}, with different values"
        return _not_said(evidence, name, relation, threshold, why)
    return decide(
        name,
        reading.value,
        relation,
        threshold,
        seen,
        flips=f"a value {relation} {threshold:g}, {abs(threshold - reading.value):.3g} from here",
        next_at=reading.at + timedelta(seconds=reading.cadence_s),
    )


def _not_said(
    evidence: GateEvidence, name: str, relation: Relation, threshold: float, why: str
) -> GateCheck:
    """`bikeshare monitor` posts metrics at decision times."""
    flips = "a value of a full window: `bikeshare monitor` posts one once 22 of 24 h were predicted"
    at = next_tick(evidence.judged_at)
    return unknown(name, relation, threshold, why, flips=flips, next_at=at)


def _samples(check: GateCheck) -> GateCheck:
    """Too few samples say nothing about the version: unknown, not fail."""
    if check.verdict != "fail":
        return check
    why = f"{check.value:g} labelled rows are too few to judge"
    return replace(check, value=None, verdict="unknown", detail=why)


def _of_record(evidence: GateEvidence) -> GateCheck:
    """The metrics speak of a window of the table, and say what the table said."""
    name, record = "quality of record", evidence.quality
    at = next_tick(evidence.judged_at)
    if record is None:
        why = "the table monitoring_quality has no window of the time of the metrics"
        flips = "`bikeshare monitor` writes windows and metrics together"
        return unknown(name, "<=", 0, why, flips=flips, next_at=at)
    seen = f"window to {record.window_end:%F %H:%M}, revision {record.revision}{_down(record)}"
    unlike = f"; not the table's: {', '.join(record.unlike)}" if record.unlike else ""
    flips = "find out who else posts under this endpoint's name"
    return decide(name, len(record.unlike), "<=", 0, seen + unlike, flips=flips, next_at=at)


def _down(record: QualityOfRecord) -> str:
    if record.feed_down is None:
        return ", nobody looked whether the feed was down"
    return f", feed down for {record.feed_down} decision times" if record.feed_down else ""


def _no_variant(rules: GateSettings) -> GateCheck:
    why = "the endpoint has no production variant"
    return unknown("ModelLatency p95", "<=", rules.latency_p95_ms, why, flips="deploy a version")


def _latency(evidence: GateEvidence, rules: GateSettings, variant: VariantHealth) -> GateCheck:
    """Every hour's p95; an hour without requests, or without latency, cannot be judged."""
    hours = sorted({floor_time(at, step_s=HOUR_S) for at in evidence.window.steps()})
    measured = {hour: variant.latency_p95_ms.get(hour) for hour in hours}
    silent = [h for h in hours if measured[h] is None or not variant.invocations.get(h)]
    known = {hour: p95 for hour, p95 in measured.items() if p95 is not None}
    worst = max(known, key=lambda hour: known[hour], default=None)
    limit = rules.latency_p95_ms
    wrong = sorted({*silent, *(hour for hour, p95 in known.items() if not p95 <= limit)})
    return decide(
        f"ModelLatency p95 {variant.name}",
        None if worst is None else known[worst],
        "<=",
        limit,
        f"the slowest of {len(hours)} hours is {worst:%F %H:%M}" if worst else "",
        gap=f"{len(silent)} of {len(hours)} hours have no requests or no latency"
        if silent
        else None,
        flips=f"all hours measured and at most {limit:g} ms; not so {_named(wrong)}",
        next_at=left_behind(wrong[-1], evidence.window, step_s=HOUR_S) if wrong else None,
    )


def _errors(evidence: GateEvidence, rules: GateSettings) -> GateCheck:
    """The sum over all variants; without requests a sum of 0 says nothing."""
    known = [v.errors_5xx for v in evidence.variants if v.errors_5xx is not None]
    idle = [v.name for v in evidence.variants if v.errors_5xx is None or not _requests(v)]
    hours = sorted({hour for v in evidence.variants for hour in v.errors_at})
    last = hours[-1] if hours else None
    return decide(
        "Invocation5XXErrors",
        float(sum(known)) if known else None,
        "<=",
        rules.errors_5xx,
        f"in {sum(_requests(v) for v in evidence.variants):g} requests",
        gap=f"no requests or no error count recorded for {', '.join(idle)}" if idle else None,
        flips=f"no more errors, and those of {_named(hours)} out of the window"
        if hours
        else "requests to every variant, with their errors counted",
        next_at=left_behind(last, evidence.window, step_s=HOUR_S)
        if last
        else next_tick(evidence.judged_at),
    )


def _requests(variant: VariantHealth) -> float:
    return sum(variant.invocations.values())


def _heartbeats(evidence: GateEvidence, rules: GateSettings) -> GateCheck:
    """A decision time counts once, however often its beat was posted."""
    window = evidence.window
    needed = rules.heartbeats
    if needed is None:
        needed = int(window.duration.total_seconds()) // CADENCE_S
    beats = {floor_time(at) for at in evidence.beats if at in window}
    missed = [at for at in window.steps() if at not in beats]
    return decide(
        "PredictionHeartbeat",
        float(len(beats)) if beats else None,
        ">=",
        needed,
        f"batches in {window}" if beats else f"none in {window}",
        flips=f"a batch at every decision time; there is none {_named(missed)}",
        next_at=left_behind(missed[-1], window) if missed else None,
    )


def _coverage(evidence: GateEvidence, rules: GateSettings) -> GateCheck:
    """A model that leaves rows out, or answers NaN, is not judged on them: so it must not."""
    name, found, least = "prediction coverage", evidence.coverage, rules.coverage
    flips = f"numbers for {least:.0%} of the rows asked"
    if found is None or not found.asked:
        why = "no row was asked in the window"
        return unknown(name, ">=", least, why, flips=flips, next_at=next_tick(evidence.judged_at))
    return decide(
        name,
        found.answered / found.asked,
        ">=",
        least,
        f"{found.answered:,} of {found.asked:,} rows",
        flips=flips,
        next_at=left_behind(found.last_gap, evidence.window) if found.last_gap else None,
    )


def _drift(evidence: GateEvidence, rules: GateSettings) -> GateCheck:
    if not evidence.drift_enough:
        why = "not enough: 24 h of features are not covered"
        flips = "24 h of features, judged every full hour by `bikeshare monitor`"
        at = next_tick(evidence.judged_at, step_s=HOUR_S)
        return unknown("PSI", "<", rules.psi, why, flips=flips, next_at=at)
    return _latest(evidence, rules, "PSI", "<", rules.psi)


def _features(evidence: GateEvidence) -> GateCheck:
    """What the model was asked must be what history gives, bit for bit."""
    name, proof = "online features as offline", evidence.features
    flips = "online features that history gives again, bit for bit: `bikeshare verify-features`"
    if proof is None or not proof.rows:
        at = next_tick(evidence.judged_at)
        why = "no online features of the window"
        return unknown(name, "<=", 0, why, flips=flips, next_at=at)
    examples = f"; {'; '.join(proof.examples[:_SHOWN])}" if proof.examples else ""
    return decide(
        name,
        proof.differing,
        "<=",
        0,
        f"of {proof.rows:,} rows{examples}",
        flips=flips,
        next_at=left_behind(proof.last_at, evidence.window) if proof.last_at else None,
    )


def _digest(evidence: GateEvidence) -> GateCheck:
    name, digest, deployed = "artefact digest", evidence.artefact_digest, evidence.deployed_digest
    flips = f"deploy version {evidence.model_version} again: `bikeshare deploy`"
    if not digest or not deployed:
        missing = "the registered version" if not digest else "the endpoint's archive"
        return unknown(name, "==", digest, f"{missing} has no digest", flips=flips)
    same = "this version's artefact" if deployed == digest else "another artefact"
    return decide(name, deployed, "==", digest, f"the endpoint serves {same}", flips=flips)


def _city(evidence: GateEvidence) -> GateCheck:
    seen = f"the deployed model is for {evidence.model_city}" if evidence.model_city else ""
    flips = f"deploy a model of {evidence.city}"
    detail = seen or "the deployed model does not say what city it is for"
    return decide("model city", evidence.model_city, "==", evidence.city, detail, flips=flips)


def _named(times: Sequence[datetime]) -> str:
    """A few times for people, the last ones."""
    more = f"{len(times) - _SHOWN} others and " if len(times) > _SHOWN else ""
    return f"at {more}{', '.join(f'{at:%m-%d %H:%M}' for at in times[-_SHOWN:])}"
