"""Tables in a store: write a frame once, read a window of time back.

Objects lie at `<location>/city=<city>/date=<UTC date>/<name>.parquet`. A frame is validated once
where it enters. The objects of a day may have been merged (`compaction`): their rows are read once
all the same, and their names are remembered. Objects never change, so a bounded number of decoded
ones is kept in memory, and the parts of a day as one frame: reading the last hours every ten
minutes costs only what is new.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.domain.tables import Table, arrow_schema
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.lake.memory import Kept, Memory, Place
from mlops_bikeshare.lake.parquet import PART, decode, encode, held_by, naming, validate
from mlops_bikeshare.lake.partition import SUFFIX, check_part, is_merged, merges, name_of, visible
from mlops_bikeshare.lake.store import ObjectGoneError, Store

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

T = TypeVar("T")
CACHED_VALUES = 50_000_000  # two to eight bytes each
_MERGED_KNOWN = 1_000
# A partition is merged once a day; to be overtaken twice while reading takes a bad disk.
_LOOKS = 5


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which part of an object is read."""

    columns: list[str]
    where: tuple[str, object] | None
    name_prefix: str


class Lake:
    """The tables of one store."""

    def __init__(self, store: Store, *, cached_values: int = CACHED_VALUES) -> None:
        self.store = store
        self._memory = Memory(cached_values)
        self._lock = Lock()
        self._merged: dict[str, list[str]] = {}

    def write(
        self, table: Table, given: "pd.DataFrame | pa.Table", *, city: str, name: str
    ) -> list[str]:
        """Create one object per UTC date; the keys created (an existing one is left alone)."""
        created = []
        for day, rows in _by_day(validate(table, given), table.partition_by):
            key = key_of(table, city, day, check_part(name))
            if self.store.create(key, encode(table, rows)):
                created.append(key)
        return created

    def has(self, table: Table, *, city: str, day: date, name: str) -> bool:
        """Whether an object was created, merged since or not."""
        return name in self.names(table, city=city, day=day)

    def names(self, table: Table, *, city: str, day: date) -> list[str]:
        """The names under which a partition was written, sorted, those merged since included."""
        return self.looked(lambda: self._names(table, city, day))

    def keys(self, table: Table, *, city: str, day: date) -> list[str]:
        """Keys of the objects that hold the rows of one partition, sorted."""
        return self.looked(lambda: self._keys(table, city, day))

    def all_keys(self, table: Table) -> list[str]:
        """The same of all cities and dates, parts before merged objects."""
        found = self.looked(lambda: self._all_keys(table))
        return sorted(found, key=lambda key: (is_merged(name_of(key)), key))

    def looked(self, look: Callable[[], T]) -> T:
        """What a look gives; another look when objects were merged during the one before."""
        for _ in range(_LOOKS - 1):
            try:
                return look()
            except ObjectGoneError:
                continue
        return look()

    def days(self, table: Table, *, city: str) -> list[date]:
        """The dates that hold objects, sorted; LakeError for a folder that is none."""
        folder = f"{table.location}/city={city}"
        return [_day_of(folder, name) for name in self.store.folders(folder)]

    def read(
        self,
        table: Table,
        *,
        city: str,
        window: Window | None = None,
        columns: Sequence[str] | None = None,
        name_prefix: str = "",
        where: tuple[str, object] | None = None,
    ) -> "pd.DataFrame":
        """Rows whose partition time lies in `window` ([start, end)); empty if there are none.

        `name_prefix` limits the objects, `where` the rows to those with a value in a column.
        """
        import pandas as pd

        wanted = list(columns or table.names)
        asked = _Asked(wanted, where, name_prefix)
        days = self.days(table, city=city)
        if window:
            touched = set(window.days())
            days = [day for day in days if day in touched]
        frames = [
            rows
            for day in days
            for rows in self.looked(partial(self._partition, table, city, day, asked))
        ]
        if not frames:
            return _empty(table, wanted)
        rows = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
        if window:
            times = rows[table.partition_by]
            rows = rows[(times >= window.start) & (times < window.end)]
        return rows[wanted].reset_index(drop=True)

    def newest(self, table: Table, *, city: str) -> datetime | None:
        """The newest partition time, from the last date alone; None for an empty table."""
        days = self.days(table, city=city)
        if not days:
            return None
        rows = self.read(
            table, city=city, window=Window.day(days[-1]), columns=[table.partition_by]
        )
        newest: datetime = rows[table.partition_by].max().to_pydatetime()
        return newest.astimezone(UTC)

    def _partition(self, table: Table, city: str, day: date, asked: _Asked) -> "list[pd.DataFrame]":
        keys = [
            key
            for key in self._keys(table, city, day)
            if is_merged(name_of(key)) or name_of(key).startswith(asked.name_prefix)
        ]
        if len(keys) > 1:
            return [self._grown(table, folder_of(table, city, day), keys, asked)]
        return [self._rows(table, key, asked) for key in keys]

    def _grown(self, table: Table, folder: str, keys: list[str], asked: _Asked) -> "pd.DataFrame":
        """The objects' rows in one frame: what came since the last look is added to it."""
        import pandas as pd

        of = (folder, asked.name_prefix, str(asked.where), *asked.columns)
        before = self._memory.get(of)
        if before is None or keys[: len(before.keys)] != before.keys:
            before = None  # merged, or a part came late and sorts before others
        new = keys[len(before.keys) :] if before else keys
        if before and not new:
            return before.rows
        parts = [self._rows(table, key, asked) for key in new]
        there = [before.rows] if before else []
        rows = pd.concat([*there, *parts], ignore_index=True)
        self._memory.put(of, Kept(keys, rows))
        for key in new:  # held once is enough
            self._memory.forget(_place(table, key, asked.columns, asked.where))
        return rows

    def _rows(self, table: Table, key: str, asked: _Asked) -> "pd.DataFrame":
        if not (asked.name_prefix and is_merged(name_of(key))):
            return self._object(table, key, asked.columns, asked.where)
        rows = self._object(table, key, [*asked.columns, PART], asked.where)
        wanted = [part.startswith(asked.name_prefix) for part in self._held_by(key)]
        of_parts: pd.DataFrame = rows[np.array(wanted, dtype=bool)[rows[PART].to_numpy()]]
        return of_parts.drop(columns=PART)

    def _names(self, table: Table, city: str, day: date) -> list[str]:
        names = self._listed(table, city, day)
        held = self._held(folder_of(table, city, day), names).values()
        parts = {name for name in names if not is_merged(name)}
        return sorted(parts.union(*held))

    def _keys(self, table: Table, city: str, day: date) -> list[str]:
        return self._seen(folder_of(table, city, day), self._listed(table, city, day))

    def _all_keys(self, table: Table) -> list[str]:
        keys = self.store.keys(table.location)
        folders = groupby(keys, key=lambda key: key.rpartition("/")[0])
        return [
            key for folder, inside in folders for key in self._seen(folder, [*map(name_of, inside)])
        ]

    def _seen(self, folder: str, names: list[str]) -> list[str]:
        if len(names) > 1:  # one alone cannot be twice
            names = visible(names, self._held(folder, names))
        return [f"{folder}/{name}{SUFFIX}" for name in names]

    def _listed(self, table: Table, city: str, day: date) -> list[str]:
        return [name_of(key) for key in self.store.keys(folder_of(table, city, day))]

    def _held(self, folder: str, names: list[str]) -> dict[str, list[str]]:
        return {name: self._held_by(f"{folder}/{name}{SUFFIX}") for name in merges(names)}

    def _held_by(self, key: str) -> list[str]:
        found = self._merged.get(key)
        if found is None:
            body = self.store.read(key)
            with naming(key):
                found = held_by(body)
            with self._lock:
                self._merged[key] = found
                if len(self._merged) > _MERGED_KNOWN:
                    del self._merged[next(iter(self._merged))]
        return found

    def _object(
        self, table: Table, key: str, columns: list[str], where: tuple[str, object] | None
    ) -> "pd.DataFrame":
        place = _place(table, key, columns, where)
        kept = self._memory.get(place)
        if kept is None:
            body = self.store.read(key)
            with naming(key):
                rows = decode(body, list(place[1:-1]), where, table=table)
            if is_merged(name_of(key)):
                self._memory.forget_parts(key.rpartition("/")[0])
            kept = Kept([key], rows)
            self._memory.put(place, kept)
        return kept.rows


def _place(table: Table, key: str, columns: list[str], where: tuple[str, object] | None) -> Place:
    """Under which an object's columns are kept in memory."""
    return (key, *dict.fromkeys([*columns, table.partition_by]), str(where))


def _day_of(folder: str, name: str) -> date:
    try:
        return date.fromisoformat(name.removeprefix("date="))
    except ValueError:
        msg = f"{folder} of the lake holds a folder {name!r}; expected date=YYYY-MM-DD"
        raise LakeError(f"{msg}: move it elsewhere") from None


def _by_day(rows: "pa.Table", column: str) -> "list[tuple[date, pa.Table]]":
    """The rows of each UTC date; most objects have one, which costs next to nothing."""
    import pyarrow.compute as pc

    ends = pc.min_max(rows[column])
    first, last = (ends[end].as_py() for end in ("min", "max"))
    if first is None:
        return []
    if first.date() == last.date():
        return [(first.date(), rows)]
    days = rows[column].to_numpy().astype("datetime64[D]")
    return [(day.item(), rows.filter(days == day)) for day in np.unique(days)]


def folder_of(table: Table, city: str, day: date) -> str:
    """The folder of a partition."""
    return f"{table.location}/city={city}/date={day.isoformat()}"


def key_of(table: Table, city: str, day: date, name: str) -> str:
    """The key of an object."""
    return f"{folder_of(table, city, day)}/{name}{SUFFIX}"


def _empty(table: Table, columns: list[str]) -> "pd.DataFrame":
    return arrow_schema(table).empty_table().to_pandas()[columns]  # type: ignore[no-any-return]
