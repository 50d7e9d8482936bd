"""Boston several times over: a city of as many stations as wanted, under new ids."""

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator


def tiled_stations(stations: pd.DataFrame, *, count: int) -> pd.DataFrame:
    """The first `count` stations of the tiles."""
    return pd.concat(_tiles(stations, stations, count), ignore_index=True)


def tiled_status(rows: pd.DataFrame, stations: pd.DataFrame, *, count: int) -> pd.DataFrame:
    """The rows of those stations, ordered as polls are: by time, then station."""
    tiled = pd.concat(_tiles(rows, stations, count), ignore_index=True)
    time = next(name for name in ("slot", "valid_from") if name in rows)
    return tiled.sort_values([time, "station_id"], ignore_index=True)


def _tiles(rows: pd.DataFrame, stations: pd.DataFrame, count: int) -> "Iterator[pd.DataFrame]":
    ids = stations["station_id"]
    for tile in range(-(-count // len(ids))):
        kept = rows[rows["station_id"].isin(ids.iloc[: count - tile * len(ids)])]
        yield kept.assign(station_id=(f"{tile}-" + kept["station_id"]).astype("str"))
