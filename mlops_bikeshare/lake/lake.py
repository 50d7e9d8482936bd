"""Tables in a store: write a frame once, read a window of time back.

Objects lie at `<location>/city=<city>/date=<UTC date>/<name>.parquet`. A frame is validated once
where it enters. Objects never change, so a bounded number of decoded ones is kept in memory:
reading the last hours every ten minutes costs only what is new.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.tables import Table, arrow_schema
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.lake.parquet import decode, encode, validate
from mlops_bikeshare.lake.store import Store

if TYPE_CHECKING:
    import pandas as pd

# Values, not rows: a feature row is six times as wide as a status row. Two to eight bytes each.
CACHED_VALUES = 50_000_000


class Lake:
    """The tables of one store."""

    def __init__(self, store: Store, *, cached_values: int = CACHED_VALUES) -> None:
        self.store = store
        self._cache: OrderedDict[tuple[str, ...], pd.DataFrame] = OrderedDict()
        self._room = cached_values

    def write(self, table: Table, frame: "pd.DataFrame", *, city: str, name: str) -> list[str]:
        """Create one object per UTC date; the keys created (an existing one is left alone)."""
        ordered = validate(table, frame)
        created = []
        for day, rows in _by_day(ordered, table.partition_by):
            key = f"{_folder(table, city, day)}/{name}.parquet"
            if self.store.create(key, encode(table, rows)):
                created.append(key)
        return created

    def has(self, table: Table, *, city: str, day: date, name: str) -> bool:
        """Whether an object was created."""
        return f"{_folder(table, city, day)}/{name}.parquet" in self.keys(table, city=city, day=day)

    def keys(self, table: Table, *, city: str, day: date) -> list[str]:
        """Keys of one partition, sorted."""
        return self.store.keys(_folder(table, city, day))

    def days(self, table: Table, *, city: str) -> list[date]:
        """The dates that hold objects, sorted."""
        names = self.store.folders(f"{table.location}/city={city}")
        return [date.fromisoformat(name.removeprefix("date=")) for name in names]

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
        days = self.days(table, city=city)
        if window:
            touched = set(window.days())
            days = [day for day in days if day in touched]
        frames = [
            self._object(table, key, wanted, where)
            for day in days
            for key in self.keys(table, city=city, day=day)
            if key.rpartition("/")[2].startswith(name_prefix)
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

    def _object(
        self, table: Table, key: str, columns: list[str], where: tuple[str, object] | None
    ) -> "pd.DataFrame":
        needed = list(dict.fromkeys([*columns, table.partition_by]))
        wanted = (key, *needed, str(where))
        cached = self._cache.get(wanted)
        if cached is None:
            cached = decode(self.store.read(key), needed, where)
            self._remember(wanted, cached)
        else:
            self._cache.move_to_end(wanted)
        return cached

    def _remember(self, key: tuple[str, ...], rows: "pd.DataFrame") -> None:
        self._cache[key] = rows
        self._room -= rows.size
        while self._room < 0 and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._room += oldest.size


def _by_day(frame: "pd.DataFrame", column: str) -> "list[tuple[date, pd.DataFrame]]":
    """The rows of each UTC date; most objects have one, which costs next to nothing."""
    if frame.empty:
        return []
    days = frame[column].to_numpy(dtype="datetime64[D]")
    if (days == days[0]).all():
        return [(days[0].item(), frame)]
    return list(frame.groupby(frame[column].dt.date, sort=True))


def _folder(table: Table, city: str, day: date) -> str:
    return f"{table.location}/city={city}/date={day.isoformat()}"


def _empty(table: Table, columns: list[str]) -> "pd.DataFrame":
    return arrow_schema(table).empty_table().to_pandas()[columns]  # type: ignore[no-any-return]
