"""The compared features as Polars makes them; run by the Python of an environment that has it.

`python polars_peer.py ASK` reads the JSON file ASK: `status` (a Parquet file of curated rows),
`dts`, `wanted` (feature names), `lags` and `windows` (minutes), `repeats`. It prints JSON:
`version`, `cpu_s` of each repeat (all threads) and the `sums` of each column. Lazy, rows sorted by
station and slot, every expression over its station without going back to the rows' order: 1.8 CPU s
where going back takes 2.2 and group_by with explode 2.4. Nothing of ours is imported: that
environment holds Polars alone.
"""

import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SLOT_MIN = 5
DAY_MS = 86_400_000
COUNTS = {"bikes": "num_bikes_available", "docks": "num_docks_available"}


def main(ask: dict[str, Any]) -> dict[str, Any]:
    """Make the features some times over."""
    pl: Any = importlib.import_module("polars")
    status = pl.read_parquet(ask["status"])
    dts = pl.Series(ask["dts"]).str.to_datetime(time_unit="ms", time_zone="UTC")
    made, cost = features(pl, status, dts, ask), []
    for _ in range(ask["repeats"]):
        began = time.process_time()
        made = features(pl, status, dts, ask)
        cost.append(time.process_time() - began)
    sums = made.cast(pl.Float64).fill_nan(None).sum().row(0, named=True)
    return {"version": pl.__version__, "cpu_s": cost, "sums": sums}


def features(pl: Any, status: Any, dts: Any, ask: dict[str, Any]) -> Any:
    """float32 columns, a row for each dt and station with known bikes."""
    silent = (pl.col("slot") - pl.col("last_reported")).dt.total_milliseconds() > DAY_MS
    counts = [
        pl.when(silent).then(None).otherwise(pl.col(column)).cast(pl.Float32).alias(name)
        for name, column in COUNTS.items()
    ]
    station = "station_id"
    rows = status.lazy().select(pl.col(station).cast(pl.Categorical), "slot", *counts)
    rows = rows.sort(station, "slot").with_columns(
        pl.col(name).diff().over(station).alias(f"{name}_step") for name in COUNTS
    )
    known = pl.col("slot").is_in(dts.implode()) & pl.col("bikes").is_not_null()
    wanted = set(ask["wanted"])
    made = [
        expression.over(station, mapping_strategy="explode").cast(pl.Float32).alias(name)
        for count in COUNTS
        for name, expression in _columns(pl, count, ask["lags"], ask["windows"])
        if name in wanted
    ]
    return rows.select(*made, known.alias("known")).filter("known").drop("known").collect()


def _columns(pl: Any, count: str, lags: list[int], windows: list[int]) -> Iterator[tuple[str, Any]]:
    now, step = pl.col(count), pl.col(f"{count}_step")
    for minutes in lags:
        yield f"{count}_lag_{minutes}", now.shift(minutes // SLOT_MIN)
        yield f"{count}_delta_{minutes}", now - now.shift(minutes // SLOT_MIN)
    for minutes in windows:
        slots = minutes // SLOT_MIN
        yield f"{count}_in_{minutes}", step.clip(0, None).rolling_sum(slots, min_samples=1)
        yield f"{count}_out_{minutes}", (-step).clip(0, None).rolling_sum(slots, min_samples=1)
        for word in ("mean", "min", "max"):
            yield f"{count}_{word}_{minutes}", getattr(now, f"rolling_{word}")(slots, min_samples=1)
        yield f"{count}_std_{minutes}", now.rolling_std(slots, min_samples=1, ddof=0)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
