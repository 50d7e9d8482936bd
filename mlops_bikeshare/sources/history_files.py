"""The files that people bring, as frames in the words of the file.

Input    a CSV (separated by commas, semicolons, tabs or bars; the header says which), JSON or
         Parquet file, packed by gzip or not; the name of its column of ids.
Output   frames of at most `CHUNK` rows, in order. CSV is text, so that ids keep their zeros, and a
         text such as NA is missing, but for ids. JSON may be an array of objects, one object a
         line, or a GBFS station_status of any version; what is no object has no columns.
Raises   SourceError naming the file, and the line where there is one.
"""

import gzip
import io
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.sources.gbfs.documents import parse
from mlops_bikeshare.sources.gbfs.ebikes import ebikes
from mlops_bikeshare.sources.gbfs.stations import ALSO, objects_of, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    import pyarrow as pa

CHUNK = 250_000
_LINES = (".jsonl", ".ndjson")
_UNPACKED = (".parquet", ".csv", ".json", *_LINES)
SUFFIXES = (*_UNPACKED, *(f"{kind}.gz" for kind in _UNPACKED[1:]))
_MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "\\N"]
_SEPARATORS = ",;\t|"
_SHOWN = 200


def files_of(source: Path) -> list[Path]:
    """The readable files of a folder, sorted by name, or the one file."""
    found = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
    readable = [path for path in found if path.name.lower().endswith(SUFFIXES)]
    if not readable or not source.exists():
        raise SourceError(f"nothing to import at {source}; expected {', '.join(SUFFIXES)}")
    return readable


def frames(path: Path, *, ids: str) -> "Iterator[pd.DataFrame]":
    """The file, chunk by chunk; `ids` is its column of station ids."""
    import pandas as pd
    import pyarrow as pa

    try:
        yield from _reader(path)(path, ids)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from None
    except pd.errors.ParserWarning:
        raise SourceError(f"{path} cannot be read: rows have more fields than the header") from None
    except RecursionError:
        raise SourceError(f"{path} cannot be read: it is nested too deep") from None
    except SourceError as error:
        raise SourceError(f"{path}: {error}") from None
    except (pa.ArrowInvalid, OSError, EOFError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {' '.join(str(error).split())}") from None


def _reader(path: Path) -> "Callable[[Path, str], Iterator[pd.DataFrame]]":
    """What reads a file of this suffix."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        return _parquet
    if name.endswith(".csv"):
        return _csv
    return _json_lines if name.endswith(_LINES) else _json


def _opened(path: Path) -> io.BufferedIOBase:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _parquet(path: Path, _ids: str) -> "Iterator[pd.DataFrame]":
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(CHUNK):
            yield _plain(batch.replace_schema_metadata(None)).to_pandas()  # no column is an index


def _plain(rows: "pa.RecordBatch") -> "pa.RecordBatch":
    """Texts that their writer did not mark as such, and decimal numbers, as what they are."""
    import pyarrow as pa

    for place, field in enumerate(rows.schema):
        kind = field.type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            rows = rows.set_column(place, field.name, rows.column(place).cast(pa.large_string()))
        elif pa.types.is_decimal(kind):
            rows = rows.set_column(place, field.name, rows.column(place).cast(pa.float64()))
    return rows


def _csv(path: Path, ids: str) -> "Iterator[pd.DataFrame]":
    import pandas as pd

    with _opened(path) as file:
        header = file.readline().decode("utf-8-sig")
    names = pd.read_csv(path, sep=_separator(header), nrows=0, index_col=False).columns
    with pd.read_csv(
        path,
        sep=_separator(header),
        dtype="object",
        chunksize=CHUNK,
        index_col=False,
        keep_default_na=False,
        na_values={name: _MISSING if name != ids else [""] for name in names},
    ) as chunks:
        while True:
            with warnings.catch_warnings():
                # A row of more fields than the header would be read by half.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = next(chunks, None)
            if frame is None:
                return
            yield frame


def _separator(header: str) -> str:
    return max(_SEPARATORS, key=header.count)


def _json(path: Path, _ids: str) -> "Iterator[pd.DataFrame]":
    with _opened(path) as file:
        body = file.read()
    try:
        whole = json.loads(body)
    except ValueError:
        whole = None  # the reader of feeds takes more, or says what it is
    rows = whole if isinstance(whole, list) else _document(body)
    for first in range(0, len(rows), CHUNK):
        yield _frame(rows[first : first + CHUNK])


def _json_lines(path: Path, _ids: str) -> "Iterator[pd.DataFrame]":
    rows = []
    with _opened(path) as file:
        for line in file:
            if line.strip():
                rows.append(_row(line))
            if len(rows) == CHUNK:
                yield _frame(rows)
                rows = []
    if rows:
        yield _frame(rows)


def _row(line: bytes) -> Any:
    """What a line says; one that is torn is shown as it is where it is refused."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return {"line": line[:_SHOWN].decode(errors="replace")}


def _frame(rows: list[Any]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame([row if isinstance(row, dict) else {} for row in rows], dtype="object")


def _document(body: bytes) -> list[dict[str, Any]]:
    """The stations of a GBFS document under their names of version 2, at the document's time."""
    document = parse(body)
    at = document.last_updated
    common = {} if at is None else {"observed_at": at.isoformat()}
    stations, _, _ = objects_of(document.stations)
    rows = [{**common, **station} for station in stations]
    columns: dict[str, list[Any]] = {ours: told(stations, ours) for ours in ALSO}
    columns["num_ebikes_available"] = ebikes(stations, None).tolist()
    for name, column in columns.items():
        for row, value in zip(rows, column, strict=True):
            if value is not None:
                row[name] = value
    return rows
