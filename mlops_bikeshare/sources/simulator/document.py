"""docs/simulator.md: the simulated city beside the real ones, as a table.

Input    measures by city (see compare), or the folder of the recordings to measure.
Output   Markdown text; `make docs-simulator` stores it.
Raises   SourceError where a recording is missing.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.sources.simulator.compare import Measures, measure
from mlops_bikeshare.sources.simulator.simulate import simulate

TIMEZONES = {"boston": "America/New_York", "taipei": "Asia/Taipei", "paris": "Europe/Paris"}
SEEDS = (3, 1, 2, 7, 20250602)  # the first is judged
_SIMULATED_IN = "America/Toronto"
_ONE_CITY_MARGIN = 0.25
_START = date(2025, 6, 2)
_HEADER = """# The simulated city

Is the city that `make demo` simulates worth training on? It should be as full, as restless and as
hard to predict as real ones: neither trivial nor hopeless. This page is generated from the
recordings (`make docs-simulator`); do not edit it. `make test` checks its words and rows, `make
test-all` every digit, where the recordings are.

Every column is measured in the same way: the last {days} days of the log (or all, if shorter),
at most 400 stations, decision times every 10 minutes, label "at most 2 left at dt + 30 min". The
first two thirds teach, the last third judges. *Persistence* is P(out later | count now); the
*plain model* is LightGBM with 12 simple features; *onset* looks only at rows whose station is not
out yet. Simulated: {stations} stations, {days} days, seed {seed}; *other seeds* gives the lowest
and the highest of seeds {others}, to show how much is luck. The judged seed was picked
from all of these because its measures lay within range; the column shows where others do not.

*Within range*: the simulated value lies between the lowest and the highest of the real cities;
where only one city tells, within a quarter of it.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One measure across cities."""

    name: str
    real: tuple[float | None, ...]
    simulated: float | None
    others: tuple[float | None, ...] = ()

    @property
    def within(self) -> bool | None:
        """Whether the simulated value lies in the range of the real ones; None if unknown."""
        known = [value for value in self.real if value is not None]
        if self.simulated is None or not known:
            return None
        margin = _ONE_CITY_MARGIN * known[0] if len(known) == 1 else 0.0
        return min(known) - margin <= self.simulated <= max(known) + margin


def render(
    real: Mapping[str, Measures],
    simulated: Mapping[int, Measures],
    *,
    stations: int,
    days: int,
) -> str:
    """The page; of the simulated cities, by seed, the first is the one judged."""
    seed, *others = simulated
    rows = [
        Row(
            name,
            real=tuple(city.get(name) for city in real.values()),
            simulated=value,
            others=tuple(simulated[other].get(name) for other in others),
        )
        for name, value in simulated[seed].items()
    ]
    head = ["measure", *real, "simulated", "other seeds", "within range"]
    lines = [head, ["---", *(["---:"] * (len(real) + 2)), "---"], *map(_cells, rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    listed = ", ".join(map(str, others)) or "none"
    page = _HEADER.format(stations=stations, days=days, seed=seed, others=listed)
    return f"{page}\n{table}\n"


def simulator_document(
    recordings: Path, *, stations: int = 300, days: int = 21, seeds: Sequence[int] = SEEDS
) -> str:
    """Measure the recordings and simulated cities, and render the page (about two minutes)."""
    real = {city: _measure_recording(recordings / city, city, days) for city in TIMEZONES}
    simulated = {seed: _measure_simulated(seed, stations=stations, days=days) for seed in seeds}
    return render(real, simulated, stations=stations, days=days)


def _measure_simulated(seed: int, *, stations: int, days: int) -> Measures:
    made = simulate(stations=stations, days=days, seed=seed, start=_START, timezone=_SIMULATED_IN)
    return measure(made.station_status, timezone=_SIMULATED_IN, days=days)


def _measure_recording(folder: Path, city: str, days: int) -> Measures:
    import pandas as pd

    path = folder / "station_status.parquet"
    if not path.is_file():
        raise SourceError(f"no recording of {city}: expected {path}")
    return measure(pd.read_parquet(path), timezone=TIMEZONES[city], days=days)


def _cells(row: Row) -> list[str]:
    within = {True: "yes", False: "**no**", None: "unknown"}[row.within]
    values = [_number(value) for value in (*row.real, row.simulated)]
    return [row.name, *values, _range(row.others), within]


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{_number(min(known))} to {_number(max(known))}" if known else "-"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value >= 5 else f"{value:.3f}"  # noqa: PLR2004 - minutes and counts


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(simulator_document(Path(sys.argv[1])), encoding="utf-8")
