"""The same features as other tools make them: what is idiomatic there, vectorised.

Input    curated rows (station_id, slot, counts), without a missed poll, and the decision times.
Output   float32 columns named as ours, a row per dt and station; order as each tool gives it.

`wanted` names the features to make, among lags, changes, flows and rolling statistics of bikes
and docks; a row exists where the bikes are known. Peers do less than the kernel: they know no
outage of the feed, and would shift rows after a missed poll.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops_bikeshare.features.definition import LAGS_MIN, WINDOWS_MIN

if TYPE_CHECKING:
    import duckdb

SLOT_MIN = 5
DAY = timedelta(days=1)
COUNTS = {"bikes": "num_bikes_available", "docks": "num_docks_available"}
# A feature's name and how to make it, so that what nobody wants costs nothing.
Made = tuple[str, Callable[[], Any]]


def pandas_grouped(
    status: pd.DataFrame, dts: pd.DatetimeIndex, wanted: frozenset[str]
) -> pd.DataFrame:
    """Long frame, groupby.shift and groupby.rolling."""
    rows = _known(status).sort_values(["station_id", "slot"], ignore_index=True)
    kept = rows["slot"].isin(dts) & rows["bikes"].notna()
    columns = {
        name: np.asarray(make(), dtype=np.float32)[kept]
        for count in COUNTS
        for name, make in _grouped(count, rows["station_id"], rows[count])
        if name in wanted
    }
    return pd.DataFrame(columns)


def pandas_wide(
    status: pd.DataFrame, dts: pd.DatetimeIndex, wanted: frozenset[str]
) -> pd.DataFrame:
    """Slots and stations as a table, shift and rolling down it: the fastest pandas we know."""
    rows = _known(status)
    wide = {count: _spread(rows, count).asfreq(f"{SLOT_MIN}min") for count in COUNTS}
    kept = wide["bikes"].loc[dts].notna().to_numpy()
    columns = {
        name: make().loc[dts].to_numpy(dtype=np.float32)[kept]
        for count in COUNTS
        for name, make in _wide(count, wide[count])
        if name in wanted
    }
    return pd.DataFrame(columns)


def pandas_online(status: pd.DataFrame, dt: datetime, wanted: frozenset[str]) -> pd.DataFrame:
    """Only the last row is wanted: slices of that table instead of rolling windows."""
    rows = _known(status[status["slot"] > dt - timedelta(minutes=WINDOWS_MIN[-1] + SLOT_MIN)])
    wide = {count: _spread(rows, count) for count in COUNTS}
    columns = {
        name: make().astype(np.float32)
        for count in COUNTS
        for name, make in _last(count, wide[count])
        if name in wanted
    }
    return pd.DataFrame(columns)[wide["bikes"].iloc[-1].notna()]


def duckdb_online(
    connection: "duckdb.DuckDBPyConnection",
    status: pd.DataFrame,
    dt: datetime,
    wanted: frozenset[str],
) -> pd.DataFrame:
    """One scan: a window function for the steps, then filtered aggregates per station."""
    connection.register("status", status)
    answer: pd.DataFrame = connection.execute(_sql(dt, wanted)).df()
    return answer.drop(columns="station_id").astype("float32")


def _known(status: pd.DataFrame) -> pd.DataFrame:
    """Counts as floats, missing where the station has been silent for a day."""
    silent = status["slot"] - status["last_reported"] > DAY
    counts = {
        name: status[column].astype("float64").mask(silent) for name, column in COUNTS.items()
    }
    return status[["station_id", "slot"]].assign(**counts)


def _spread(rows: pd.DataFrame, count: str) -> pd.DataFrame:
    # pivot_table would aggregate, at several times the cost, what is unique already
    return rows.pivot(index="slot", columns="station_id", values=count)  # noqa: PD010


def _grouped(name: str, station: "pd.Series[str]", now: "pd.Series[float]") -> Iterator[Made]:
    def rolling(values: "pd.Series[float]", slots: int) -> Any:
        return values.groupby(station, sort=False).rolling(slots, min_periods=1)

    groups = now.groupby(station, sort=False)
    step = groups.diff()
    for minutes in LAGS_MIN:
        lag = partial(groups.shift, minutes // SLOT_MIN)
        yield f"{name}_lag_{minutes}", lag
        yield f"{name}_delta_{minutes}", partial(_change, now, lag)
    for minutes in WINDOWS_MIN:
        slots = minutes // SLOT_MIN
        for word, flow in (("in", step), ("out", -step)):
            yield f"{name}_{word}_{minutes}", rolling(flow.clip(lower=0), slots).sum
        yield from _statistics(name, minutes, partial(rolling, now, slots))


def _wide(name: str, now: pd.DataFrame) -> Iterator[Made]:
    def rolling(values: pd.DataFrame, slots: int) -> Any:
        return values.rolling(slots, min_periods=1)

    step = now.diff()
    for minutes in LAGS_MIN:
        lag = partial(now.shift, minutes // SLOT_MIN)
        yield f"{name}_lag_{minutes}", lag
        yield f"{name}_delta_{minutes}", partial(_change, now, lag)
    for minutes in WINDOWS_MIN:
        slots = minutes // SLOT_MIN
        for word, flow in (("in", step), ("out", -step)):
            yield f"{name}_{word}_{minutes}", rolling(flow.clip(lower=0), slots).sum
        yield from _statistics(name, minutes, partial(rolling, now, slots))


def _last(name: str, wide: pd.DataFrame) -> Iterator[Made]:
    now, step = wide.iloc[-1], wide.diff()
    for minutes in LAGS_MIN:
        lag = wide.iloc[-1 - minutes // SLOT_MIN]
        yield f"{name}_lag_{minutes}", lag.copy
        yield f"{name}_delta_{minutes}", partial(now.sub, lag)
    for minutes in WINDOWS_MIN:
        slots = minutes // SLOT_MIN
        for word, flow in (("in", step), ("out", -step)):
            last = flow.iloc[-slots:].clip(lower=0)
            yield f"{name}_{word}_{minutes}", partial(last.sum, min_count=1)
        yield from _statistics(name, minutes, partial(wide.tail, slots))


def _change(now: Any, lag: Callable[[], Any]) -> Any:
    return now - lag()


def _statistics(name: str, minutes: int, over: Callable[[], Any]) -> Iterator[Made]:
    yield f"{name}_min_{minutes}", lambda: over().min()
    yield f"{name}_max_{minutes}", lambda: over().max()
    yield f"{name}_mean_{minutes}", lambda: over().mean()
    yield f"{name}_std_{minutes}", lambda: over().std(ddof=0)


def _sql(dt: datetime, wanted: frozenset[str]) -> str:
    oldest = _at(dt, WINDOWS_MIN[-1] + SLOT_MIN)
    known = ", ".join(
        f"CASE WHEN slot - last_reported <= INTERVAL 1 DAY THEN {column} END AS {name}"
        for name, column in COUNTS.items()
    )
    steps = ", ".join(f"{name} - lag({name}) OVER w AS {name}_step" for name in COUNTS)
    made = [made for count in COUNTS for made in _aggregates(count, dt)]
    columns = ", ".join(f"{sql} AS {name}" for name, sql in made if name in wanted)
    bikes = f"max(bikes) FILTER (WHERE slot = {_at(dt, 0)})"
    return f"""
        WITH known AS (SELECT station_id, slot, {known} FROM status WHERE slot >= {oldest}),
        steps AS (SELECT *, {steps} FROM known WINDOW w AS (PARTITION BY station_id ORDER BY slot))
        SELECT station_id, {columns} FROM steps
        GROUP BY station_id HAVING {bikes} IS NOT NULL ORDER BY station_id"""


def _aggregates(name: str, dt: datetime) -> Iterator[tuple[str, str]]:
    def at(minutes: int) -> str:
        return f"max({name}) FILTER (WHERE slot = {_at(dt, minutes)})"

    for minutes in LAGS_MIN:
        yield f"{name}_lag_{minutes}", at(minutes)
        yield f"{name}_delta_{minutes}", f"{at(0)} - {at(minutes)}"
    for minutes in WINDOWS_MIN:
        inside = f"FILTER (WHERE slot > {_at(dt, minutes)})"
        yield f"{name}_in_{minutes}", f"sum(greatest({name}_step, 0)) {inside}"
        yield f"{name}_out_{minutes}", f"sum(greatest(-{name}_step, 0)) {inside}"
        functions = {"min": "min", "max": "max", "mean": "avg", "std": "stddev_pop"}
        for word, function in functions.items():
            yield f"{name}_{word}_{minutes}", f"{function}({name}) {inside}"


def _at(dt: datetime, minutes: int) -> str:
    return f"TIMESTAMPTZ '{dt - timedelta(minutes=minutes):%F %T}+00'"
