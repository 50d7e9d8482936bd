"""What the audit says of a version, as tags of the version in MLflow.

Input    a version, and an entry of the audit that is about it.
Output   tags `<word>_at`, `_by`, `_why`, `_audit` (the entry's digest) and `_endpoint`, and those
         facts of the entry that are asked for; the newest entry of a word stands.
Raises   ModelError for a version that is not there.
"""

from collections.abc import Mapping
from typing import Any

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.registry import versions

_LONGEST = 500


def tag(
    city: City, version: str, entry: Mapping[str, Any], *, word: str, facts: tuple[str, ...] = ()
) -> None:
    """Say it of a version."""
    versions.find(city.registered_model, version)
    said = {"at": entry["at"], "by": entry["who"], "why": entry["why"], "audit": entry["digest"]}
    said |= {name: entry["facts"].get(name) for name in ("endpoint", *facts)}
    tags = {f"{word}_{k}": str(v)[:_LONGEST] for k, v in said.items() if v is not None}
    versions.set_tags(city.registered_model, version, tags)
