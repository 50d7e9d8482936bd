"""What the objects of a partition mean: parts, and merged objects that stand for parts.

A merged object `whole-<number>.parquet` names in its footer every part whose rows it holds. That
list, not the deletion of the parts, is what counts: from the moment a merged object is there, the
parts that it names are not read, whether they were deleted already, are still being deleted, or
were written again; nor is an earlier merged object whose parts it holds. Names of parts sort before
"whole-", so that a listing (see `store.Store.keys`) shows the parts, or the merged object, never
neither.

Input    names of the objects of one partition, without folder and `.parquet`; `held`: merged
         object → the parts that it holds, for all merged objects of the partition.
Output   `visible`: the names to read, parts first. `hidden`: the others.
"""

from collections.abc import Iterable, Mapping

from mlops_bikeshare.domain.errors import LakeError

MERGED = "whole-"
SUFFIX = ".parquet"


def merged_name(number: int) -> str:
    """The name of the n-th merged object of a partition."""
    return f"{MERGED}{number:06d}"


def number_of(name: str) -> int:
    """Which merged object it is; 0 for a part."""
    return int(name.removeprefix(MERGED)) if is_merged(name) else 0


def is_merged(name: str) -> bool:
    """Whether the object stands for others."""
    return name.startswith(MERGED)


def check_part(name: str) -> str:
    """The name; LakeError if it could be taken for a merged object, or sorts after one."""
    if name >= MERGED:
        raise LakeError(f"object name {name!r}: names must sort before {MERGED!r}")
    return name


def name_of(key: str) -> str:
    """The name of an object, from its key."""
    return key.rpartition("/")[2].removesuffix(SUFFIX)


def merges(names: Iterable[str]) -> list[str]:
    """The merged objects, oldest first."""
    return sorted(filter(is_merged, names))


def hidden(names: Iterable[str], held: Mapping[str, Iterable[str]]) -> list[str]:
    """The names not to read: parts that were merged, merged objects that were merged again."""
    parts = {name: frozenset(inside) for name, inside in held.items()}
    merged = frozenset().union(*parts.values())
    replaced = {old for old in parts for new in parts if new > old and parts[old] <= parts[new]}
    return sorted(name for name in names if name in merged or name in replaced)


def visible(names: Iterable[str], held: Mapping[str, Iterable[str]]) -> list[str]:
    """The names to read."""
    listed = set(names)
    return sorted(listed.difference(hidden(listed, held)))
