"""What was read of the files that people brought: a part of good rows for each.

Input    the folder of the parts; how files are read (columns, zone).
Output   `Part`: the rows of one file, written whole or not at all, named by the file's place, its
         size and time, and how it was read. A file that has changed since gets a new part, which
         takes the place of the old one. `Parts.take` marks what the lake takes.
Raises   InputError for a file that the lake took, read in another way: both cannot be true.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_bikeshare.domain.contract import under
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.windows import Window

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_TIME = "observed_at"


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one file; `older`: parts of what the file was before."""

    source: Path
    file: Path
    older: tuple[Path, ...]

    @property
    def name(self) -> str:
        """Of this file, as it is and as it is read."""
        return self.file.stem

    @property
    def there(self) -> bool:
        """Whether the file was read to its end."""
        return self.file.is_file()

    def write(self, frames: "Iterable[pd.DataFrame]", schema: "pa.Schema") -> None:
        """Write the rows, frame by frame; the name comes last, and says that all are there."""
        import pyarrow.parquet as pq

        draft = self.file.with_suffix(".tmp")
        with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
            for frame in frames:
                writer.write_table(under(schema, frame))
        draft.replace(self.file)
        self.drop_older()

    def drop_older(self) -> None:
        """Let go of what the file was before."""
        for file in self.older:
            file.unlink(missing_ok=True)
            _marker(file).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Held:
    """How many rows a part holds, and from when to when."""

    file: Path
    rows: int
    first: datetime
    last: datetime


class Parts:
    """The parts of a city, in a folder that is made here."""

    def __init__(self, folder: Path, *, how: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._how = _digest(how)[:8]

    def of(self, source: Path) -> Part:
        """The part of a file, be it there or not."""
        place, facts = _digest(str(source.resolve()))[:16], source.stat()
        state = f"{place}-{_digest((facts.st_size, facts.st_mtime_ns))[:8]}"
        wanted = self.folder / f"{state}-{self._how}.parquet"
        others = [file for file in self.folder.glob(f"{place}-*.parquet") if file != wanted]
        for file in others:
            if file.name.startswith(state) and _marker(file).exists() and _held(file):
                msg = f"{source} was imported before, with other columns or in another zone"
                raise InputError(f"{msg}; what the lake took stays: choose another --workspace")
        part = Part(source, wanted, tuple(others))
        if part.there:
            part.drop_older()  # as after a kill
        return part

    def span(self) -> tuple[Window | None, int]:
        """From the first report to just after the last, and how many there are."""
        held = self._all()
        if not held:
            return None, 0
        last = max(part.last for part in held) + timedelta(seconds=1)
        return Window(min(part.first for part in held), last), sum(part.rows for part in held)

    def rows(self, window: Window) -> "pd.DataFrame":
        """The reports in [start, end)."""
        return self._read(self._all(), window, columns=None)

    def times_of_new(self, window: Window) -> "pd.Series[pd.Timestamp]":
        """When the reports in [start, end) were made that the lake has not taken yet."""
        new = [part for part in self._all() if not _marker(part.file).exists()]
        times: pd.Series[pd.Timestamp] = self._read(new, window, columns=[_TIME])[_TIME]
        return times

    def take(self) -> None:
        """Mark every part as one that the lake takes."""
        for file in self.folder.glob("*.parquet"):
            _marker(file).touch()

    def _all(self) -> list[_Held]:
        found = [_held(file) for file in sorted(self.folder.glob("*.parquet"))]
        return [part for part in found if part is not None]

    def _read(
        self, parts: Iterable[_Held], window: Window, *, columns: list[str] | None
    ) -> "pd.DataFrame":
        import pyarrow.dataset as ds

        from mlops_bikeshare.sources.history import schema

        files = [str(p.file) for p in parts if p.first < window.end and p.last >= window.start]
        at = ds.field(_TIME)
        within = (at >= window.start) & (at < window.end)
        reports = ds.dataset(files, schema=schema())
        return reports.to_table(columns=columns, filter=within).to_pandas()  # type: ignore[no-any-return]


def _held(file: Path) -> _Held | None:
    """What a part holds, by its footer; None if that is nothing."""
    import pyarrow.parquet as pq

    told = pq.read_metadata(file)
    if not told.num_rows:
        return None
    place = told.schema.names.index(_TIME)
    groups = [told.row_group(i) for i in range(told.num_row_groups)]
    ends = [group.column(place).statistics for group in groups if group.num_rows]
    first, last = min(end.min for end in ends), max(end.max for end in ends)
    return _Held(file, told.num_rows, first, last)


def _marker(file: Path) -> Path:
    return file.with_suffix(".taken")


def _digest(facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()
