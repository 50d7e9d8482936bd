"""What SageMaker's registry should say of MLflow's versions, and what must change for that.

Input    the versions of a model with their aliases and tags; the packages of its group, oldest
         first; the workspace whose packages these are.
Output   Standing: the approval status of one version, and why. Changes, in the order to make them.

MLflow is the truth. Only the champion is Approved, so that whoever deploys the newest approved
package deploys what production serves; what was rolled back, or failed a gate or a retraining's
evaluation since, is Rejected; all others wait, and so does one of which a tag that should say when
something was decided does not. A package is known by what it says of itself:
version, digest and workspace. One without that is somebody else's and is left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.packages import (
    APPROVED,
    DIGEST,
    PENDING,
    REJECTED,
    VERSION,
    WORKSPACE,
    Package,
    Status,
)
from mlops_bikeshare.domain.windows import parse_time
from mlops_bikeshare.registry.versions import CHAMPION, ModelVersion

LONGEST_WHY = 1024
_CAME = ("promotion", "rollback")
_JUDGED = ("gate", "promotion", "rollback", "rolled_back")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a package's approval should be."""

    status: Status
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing to do: register a version (`arn` None), or set a package's status."""

    version: str
    arn: str | None
    was: str | None
    status: Status
    why: str


def standing(version: ModelVersion) -> Standing:
    """The approval that a version's alias, and the newest decision on it, ask for."""
    try:
        return _decided(version)
    except InputError as error:
        return _standing(PENDING, f"what was decided of it is not known: {error}", {}, None)


def _decided(version: ModelVersion) -> Standing:
    tags = version.tags
    if CHAMPION in version.aliases:
        # A deploy says so of the first champion; of a later one it speaks of staging.
        came = _newest(tags, _CAME) or _newest(tags, ("deploy",))
        return _standing(APPROVED, "champion", tags, came)
    last = _newest(tags, _JUDGED)
    if last is None:
        verdict = tags.get("retrain_verdict")
        if verdict == "REJECT":
            reasons = tags.get("retrain_reasons", "")
            return _standing(REJECTED, f"a retraining rejected it: {reasons}", tags, None)
        return _standing(PENDING, "no gate has judged it yet", tags, None)
    if last == "rolled_back":
        return _standing(REJECTED, "", tags, last)
    if last == "gate":
        verdict = tags.get("gate_verdict", "unknown")
        return _standing(REJECTED if verdict == "fail" else PENDING, "", tags, last)
    return _standing(PENDING, "in production before", tags, last)


def plan(
    versions: Sequence[ModelVersion], packages: Sequence[Package], *, workspace: str
) -> list[Change]:
    """What must change: approvals are taken away first and given last."""
    ours = [p for p in packages if p.facts.get(WORKSPACE) == workspace and VERSION in p.facts]
    first = {(p.facts[VERSION], p.facts.get(DIGEST)): p for p in reversed(ours)}
    changes, known = [], set()
    for version in versions:
        wanted = standing(version)
        package = first.get((version.version, version.digest))
        if package is not None:
            known.add(package.arn)
        if package is None or package.status != wanted.status:
            changes.append(_change(version.version, package, wanted))
    changes += [
        _change(package.facts[VERSION], package, _unknown(package, first))
        for package in ours
        if package.arn not in known and package.status != REJECTED
    ]
    return sorted(changes, key=_order)


def _unknown(package: Package, first: Mapping[tuple[str, str | None], Package]) -> Standing:
    """Why a package of ours stands for no version."""
    number, digest = package.facts[VERSION], package.facts.get(DIGEST)
    if first[number, digest] is not package:
        return Standing(REJECTED, f"version {number} was registered before this package")
    return Standing(REJECTED, f"MLflow has no version {number} with these files")


def _change(version: str, package: Package | None, wanted: Standing) -> Change:
    return Change(
        version=version,
        arn=package.arn if package else None,
        was=package.status if package else None,
        status=wanted.status,
        why=wanted.why,
    )


def _order(change: Change) -> int:
    """Nothing new is approved while what was is not withdrawn, whatever interrupts."""
    if change.was == APPROVED:
        return 0
    return 2 if change.status == APPROVED else 1


def _newest(tags: Mapping[str, str], words: Sequence[str]) -> str | None:
    """The word whose decision is the newest that tags tell of; at one moment, the last named."""
    told = [
        (parse_time(tags[f"{word}_at"], key=f"tag {word}_at"), i)
        for i, word in enumerate(words)
        if f"{word}_at" in tags
    ]
    return words[max(told)[1]] if told else None


def _standing(status: Status, head: str, tags: Mapping[str, str], word: str | None) -> Standing:
    """With who decided it, when and why, on one line."""
    said = [head] if head else []
    if word is not None:
        by, at, why = (tags.get(f"{word}_{key}", "unknown") for key in ("by", "at", "why"))
        said.append(f"{word.replace('_', ' ')} by {by} at {at}: {why}")
    return Standing(status, " ".join(", ".join(said).split())[:LONGEST_WHY])
