"""The gate's comparisons: this version against persistence, and against the champion.

Input    GateEvidence whose comparisons are of the same station-times; GateSettings.
Output   GateChecks. The mean must not be worse at the upper end of its interval; a neighbourhood,
         of which there are many, must not be worse beyond its own: at the lower end.
"""

from collections.abc import Sequence

from mlops_bikeshare.domain.reports import Comparison, GateCheck
from mlops_bikeshare.release.evidence import GateEvidence
from mlops_bikeshare.release.lines import decide, next_tick, unknown
from mlops_bikeshare.settings import GateSettings

_MORE = "a better version, or more labelled rows for a narrower interval"


def persistence(evidence: GateEvidence, rules: GateSettings) -> list[GateCheck]:
    """A model that is no better than the share of out stations is not worth serving."""
    return [
        _mean(
            f"beats persistence {target}",
            _of(evidence.persistence, target),
            evidence,
            rules,
            most=rules.persistence_delta,
            missing="not compared with persistence: no labelled rows",
        )
        for target in evidence.targets or ("",)
    ]


def champion(evidence: GateEvidence, rules: GateSettings) -> list[GateCheck]:
    """Not inferior by more than the margin."""
    return [
        _mean(
            f"non-inferior {target}",
            _of(evidence.champion, target),
            evidence,
            rules,
            most=rules.non_inferiority_delta,
            missing="not compared with a champion on the same rows (first deploy: --initial)",
        )
        for target in evidence.targets or ("to the champion",)
    ]


def neighbourhoods(evidence: GateEvidence, rules: GateSettings) -> list[GateCheck]:
    """No neighbourhood pays for the mean."""
    return [_worst(evidence, rules, target) for target in evidence.targets or ("",)]


def _of(found: Sequence[Comparison], target: str) -> Comparison | None:
    return next((comparison for comparison in found if comparison.target == target), None)


def _mean(
    name: str,
    found: Comparison | None,
    evidence: GateEvidence,
    rules: GateSettings,
    *,
    most: float,
    missing: str,
) -> GateCheck:
    """The high end of the interval of the Brier difference must stay within the margin."""
    at = next_tick(evidence.judged_at)
    if found is None:
        flips = "batches of both on the same decision times, with labels"
        return unknown(name, "<=", most, missing, flips=flips, next_at=at)
    if found.rows < rules.min_samples:
        why = f"{found.rows} compared rows are too few to judge"
        flips = f"{rules.min_samples - found.rows:,} more labelled rows"
        return unknown(name, "<=", most, why, flips=flips, next_at=at)
    detail = (
        f"Brier difference {found.difference:+.5f} [{found.low:+.5f}, {found.high:+.5f}]"
        f" on {found.rows} rows"
    )
    return decide(name, found.high, "<=", most, detail, flips=_MORE, next_at=at)


def _worst(evidence: GateEvidence, rules: GateSettings, target: str) -> GateCheck:
    name, at = f"worst neighbourhood {target}".rstrip(), next_tick(evidence.judged_at)
    found = next((part for part in evidence.slices if part.target == target), None)
    if found is None or found.low is None or found.difference is None or found.high is None:
        thin = f" ({found.thin} cells have fewer)" if found else ""
        why = f"no cell of {rules.slice_km:g} km has {rules.slice_samples} compared rows{thin}"
        flips = "more labelled rows, or larger cells (gate.slice_km)"
        return unknown(name, "<=", rules.slice_delta, why, flips=flips, next_at=at)
    detail = (
        f"Brier difference {found.difference:+.5f} [{found.low:+.5f}, {found.high:+.5f}] around"
        f" {found.cell}, {found.rows} rows; {found.cells} cells, {found.thin} more are too thin"
    )
    flips = f"a version that is no worse around {found.cell}"
    return decide(name, found.low, "<=", rules.slice_delta, detail, flips=flips, next_at=at)
