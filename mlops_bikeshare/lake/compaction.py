"""Compaction: the objects of a table, city and UTC date become one.

Input    a lake, a table, a city, a date that is over.
Output   `Merged`: how many objects became one, how many were deleted; None if one was all there is.
Raises   LakeError.
Method   docs/decisions/0031-compaction.md. (1) Read what is visible. (2) Create the next merged
         object, which names in its footer everything that it holds: this is the commit, one
         create-once put. (3) Delete what a merged object *that is there* names. Killed anywhere,
         the next run goes on: before (2) nothing has happened; after it, step 3 is what is left.
         Of two at once one creates the object; the other finds it and deletes by its list alone.
"""

from dataclasses import dataclass
from datetime import date

from mlops_bikeshare.domain.tables import Table
from mlops_bikeshare.lake.lake import Lake, folder_of, key_of
from mlops_bikeshare.lake.parquet import held_by, merge, naming
from mlops_bikeshare.lake.partition import (
    hidden,
    is_merged,
    merged_name,
    merges,
    name_of,
    number_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What one date's compaction did."""

    objects: int
    deleted: int


def compact_day(lake: Lake, table: Table, *, city: str, day: date) -> Merged | None:
    """Leave one object in the partition, with every row once."""
    return lake.looked(lambda: _compact(lake, table, city, day))


def _compact(lake: Lake, table: Table, city: str, day: date) -> Merged | None:
    if len(_names(lake, table, city, day)) <= 1:
        return None
    merged = _merge(lake, table, city, day)
    return Merged(objects=merged, deleted=_clean(lake, table, city, day))


def _merge(lake: Lake, table: Table, city: str, day: date) -> int:
    """Create the next merged object, if more than one is visible."""
    keys = lake.keys(table, city=city, day=day)
    if len(keys) <= 1:
        return 0
    parts = [(name_of(key), lake.store.read(key)) for key in keys]
    held = list(dict.fromkeys(name for part in parts for name in _stands_for(*part)))
    number = 1 + max(number_of(name) for name in _names(lake, table, city, day))
    key = key_of(table, city, day, merged_name(number))
    # A loser's object is not there; what is deleted next is what the winner's names.
    return len(parts) if lake.store.create(key, merge(table, parts, held)) else 0


def _stands_for(name: str, body: bytes) -> list[str]:
    with naming(f"part {name}"):
        return held_by(body) if is_merged(name) else [name]


def _clean(lake: Lake, table: Table, city: str, day: date) -> int:
    """Delete what the merged objects that are there hide."""
    names = _names(lake, table, city, day)
    bodies = {name: lake.store.read(key_of(table, city, day, name)) for name in merges(names)}
    gone = hidden(names, {name: _stands_for(name, body) for name, body in bodies.items()})
    for name in gone:
        lake.store.delete(key_of(table, city, day, name))
    return len(gone)


def _names(lake: Lake, table: Table, city: str, day: date) -> list[str]:
    return [name_of(key) for key in lake.store.keys(folder_of(table, city, day))]
