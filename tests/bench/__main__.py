"""`python -m tests.bench`: measure, print a table, write var/bench.json.

Each bench compares with a peer in the same run: a competitor really run, or the stated limit.
"""

import argparse
import fnmatch
import json
import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mlops_bikeshare.domain.errors import BikeshareError
from tests.bench import (
    api,
    cli,
    dashboard,
    features,
    infer,
    lake,
    monitoring,
    moves,
    release,
    replay,
    scale,
    scoring,
    season,
    serving,
    sources,
    training,
    what_if,
)
from tests.bench.bed import ROOT, Bed, fresh_home
from tests.bench.measure import BenchError, Row, table

Run = Callable[[Bed], Iterable[Row]]
OUTPUT = ROOT / "var" / "bench.json"

BENCHES: dict[str, Run] = {
    "cli.help": cli.help_,
    "sources.simulate": sources.simulated,
    "sources.poll": sources.polled,
    "lake.parquet": lake.parquet,
    "lake.compacted": lake.compaction,
    "lake.s3_append": lake.appends,
    "features.offline": features.offline,
    "features.offline_write": features.offline_write,
    "features.online": features.online,
    "features.dask": scale.on_dask,
    "training.two_targets_one_dataset": training.two_targets,
    "scoring.stacked": scoring.stacked,
    "monitoring.quality_day": monitoring.quality_of_a_day,
    "monitoring.quality_day_2400": monitoring.quality_of_a_large_day,
    "monitoring.psi": monitoring.psi,
    "monitoring.alarms_tick": monitoring.alarms_tick,
    "release.gate_judge": release.judged,
    "release.gate_and_rollback": moves.moved,
    "serving.mlflow": serving.against_mlflow,
    "serving.api": api.one_record,
    "infer.batch_2400": infer.batch,
    "dashboard.warm_page": dashboard.pages,
    "dashboard.what_if": what_if.moved,
}
LONG: dict[str, Run] = {
    "lake.parquet_large": lake.parquet_large,
    "lake.s3_append_large": lake.appends_large,
    "features.season": season.season,
    "infer.stations_100000": infer.linear,
    "replay.demo": replay.demo,
    "replay.demo_boston": replay.demo_boston,
}
POLARS: dict[str, Run] = {"features.offline_polars": features.offline_polars}
SETUP: dict[str, Run] = {"cli.setup_uv": cli.setup_uv, "cli.setup_pip": cli.setup_pip}


def main() -> int:
    """Run the chosen benches; exit code 1 when a goal is missed."""
    asked = _arguments()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command line
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's: a line per request
    warnings.simplefilter("ignore")
    load = os.getloadavg()[0]
    print(f"{_machine()}, load {load:.1f} at the start", flush=True)
    rows: list[Row] = []
    with fresh_home() as home:
        for row in _measured(Bed(home, asked.quick), _chosen(asked)):
            rows.append(row)
            _write(OUTPUT, rows)  # what is measured is kept when a later bench is cut off
    print(f"\n{table(rows)}\n\n{_machine()}, load {load:.1f} → {os.getloadavg()[0]:.1f}")
    print(f"written to {OUTPUT.relative_to(ROOT)}")
    return 1 if any(row.met is False for row in rows) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only",
        metavar="PATTERNS",
        help="those whose name begins so, such as 'features' or 'lake,*.help'",
    )
    parser.add_argument("--quick", action="store_true", help="less data, fewer repeats")
    parser.add_argument("--long", action="store_true", help="whole demos too, five to ten minutes")
    parser.add_argument("--polars", action="store_true", help="Polars too, installed for this run")
    parser.add_argument("--setup", action="store_true", help="make setup in a fresh copy too")
    return parser.parse_args()


def _chosen(asked: argparse.Namespace) -> dict[str, Run]:
    more = {"long": LONG, "polars": POLARS, "setup": SETUP}
    chosen = {**BENCHES}
    for flag, benches in more.items():
        chosen |= benches if getattr(asked, flag) else {}
    if asked.only:
        patterns = [f"{part}*" for part in asked.only.split(",")]
        wanted = {n for n in chosen for pattern in patterns if fnmatch.fnmatch(n, pattern)}
        chosen = {n: run for n, run in chosen.items() if n in wanted}
    if not chosen:
        sys.exit(f"no bench is named like {asked.only!r}; there are {', '.join(BENCHES)}")
    return chosen


def _measured(bed: Bed, chosen: dict[str, Run]) -> Iterator[Row]:
    for number, (name, run) in enumerate(chosen.items(), start=1):
        began = time.perf_counter()
        print(f"[{number}/{len(chosen)}] {name} ...", end=" ", flush=True)
        try:
            rows = list(run(bed))
        except (BenchError, BikeshareError) as error:
            rows = [Row(name=name, unit="-", against=f"skipped: {error}")]
        said = ", ".join(f"{row.ratio:.2f} of {row.goal:g}" for row in rows if row.ratio)
        print(f"{said or rows[0].against} ({time.perf_counter() - began:.0f} s)", flush=True)
        yield from rows


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.platform()}"


def _write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps([row.to_json() for row in rows], indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
