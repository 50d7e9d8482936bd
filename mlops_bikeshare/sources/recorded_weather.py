"""The weather that a recording brings: `weather_hourly.parquet`.

Input    hour_utc (start of the hour; without a zone it is UTC) and, as far as there, temp_C,
         precip_mm, wind_mps, humidity_pct.
Output   rows of WEATHER_HOURLY_RAW, by hour; None if the recording has no such file. An hour is
         known from its end on, so that no feature can see the rest of the hour it lies in. An
         hour that the file leaves out has no row; a value that it leaves out is null.
Raises   SourceError naming file, column, what was expected and the first value that is not it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.tables import WEATHER_HOURLY_RAW
from mlops_bikeshare.sources import recorded_columns

if TYPE_CHECKING:
    import pandas as pd

FILE = "weather_hourly.parquet"
# Ours → theirs, and what one of theirs is in ours.
_COLUMNS = {
    "temperature_c": ("temp_C", 1.0),
    "precipitation_mm": ("precip_mm", 1.0),
    "wind_km_h": ("wind_mps", 3.6),
    "humidity_pct": ("humidity_pct", 1.0),
}


def recorded_weather(folder: Path) -> "pd.DataFrame | None":
    """The hours of a recording's weather file."""
    path = folder / FILE
    if not path.is_file():
        return None
    frame = _read(path)
    hours = recorded_columns.time(path, frame, "hour_utc").dt.as_unit("ms")
    columns: dict[str, Any] = {"hour": hours, "fetched_at": _an_hour_later(hours)}
    for column in WEATHER_HOURLY_RAW.columns:
        if column.name in _COLUMNS:
            theirs, factor = _COLUMNS[column.name]
            ours = frame[theirs] * factor if theirs in frame else float("nan")
            columns[column.name] = recorded_columns.number(
                path, frame.assign(**{column.name: ours}), column
            )
    import pandas as pd

    rows = pd.DataFrame(columns).assign(origin="recording")
    if rows["hour"].duplicated().any():
        twice = rows["hour"][rows["hour"].duplicated()].iloc[0]
        raise SourceError(f"{path}: column hour_utc: expected each hour once, got {twice} twice")
    return rows[WEATHER_HOURLY_RAW.names].sort_values("hour", ignore_index=True)


def _read(path: Path) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow as pa

    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path} is not a readable Parquet file: {error}") from None
    if "hour_utc" not in frame:
        raise SourceError(f"{path} lacks the column hour_utc; it has {list(frame.columns)}")
    hours = frame["hour_utc"]
    is_naive = pd.api.types.is_datetime64_dtype(hours)
    return frame.assign(hour_utc=hours.dt.tz_localize("UTC")) if is_naive else frame


def _an_hour_later(hours: "pd.Series[Any]") -> "pd.Series[Any]":
    import pandas as pd

    later: pd.Series[Any] = (hours + pd.Timedelta(hours=1)).dt.as_unit("ms")
    return later
