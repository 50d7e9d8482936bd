"""Moves, scored on recorded days: plans from the model's trajectories, applied to what happened.

Input    a recording, a city and a Split with a test window, as for `backtest`; a fleet; minutes
         between the decision times that are planned for.
Output   the report as a dict of plain JSON values: for the flow and for highest risk first, the
         stockout minutes saved per bike moved against doing nothing, with 95 % intervals from
         resampled days, and their paired difference.
Raises   InputError for ranges outside the recording or without a row.
Method   see `rebalancing.counterfactual` for what is assumed; each decision time stands alone, and
         starts from the recorded counts.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import BIKEOUT, DOCKOUT, HORIZONS_MIN
from mlops_bikeshare.domain.windows import SLOT_S, Window, from_seconds
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.grid import FEED_DOWN_S, Grid
from mlops_bikeshare.flows.backtesting import backtest_rows, moves_report, recorded_days
from mlops_bikeshare.flows.backtesting.backtest_rows import Learned
from mlops_bikeshare.flows.backtesting.moves_report import Scored
from mlops_bikeshare.flows.backtesting.recorded_days import DayRows, RecordedCity
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.lake.slots import to_slots
from mlops_bikeshare.rebalancing import curve, flow
from mlops_bikeshare.rebalancing.counterfactual import Recorded, judge
from mlops_bikeshare.rebalancing.curve import Floats, Stations
from mlops_bikeshare.rebalancing.fleet import Fleet, Pair, Plan
from mlops_bikeshare.rebalancing.rule import highest_risk_first
from mlops_bikeshare.sources.recorded import Recording, poll_times
from mlops_bikeshare.training.sample import Sample
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan as TrainingPlan

PLANNERS: Mapping[str, Callable[..., Plan]] = {
    "flow": flow.plan,
    "highest_risk_first": highest_risk_first,
}
EVERY_MIN = 120
_AHEAD_SLOTS = max(HORIZONS_MIN) * 60 // SLOT_S


def score(
    recording: Recording,
    city: City,
    split: Split,
    *,
    plan: TrainingPlan,
    fleet: Fleet,
    every_min: int = EVERY_MIN,
    arrive_min: int = curve.ARRIVE_MIN,
    cadence_min: int = 10,
    track: Track = silent,
) -> dict[str, Any]:
    """Train, plan at every sampled time of the test, and judge against the record."""
    if split.test is None:
        raise InputError("plans are judged on a test range: give --test START..END")
    plan = replace(plan, with_peer=False, contribution_rows=0)
    where = RecordedCity(recording, city, cadence_min)
    for name, window in (("train", split.train), ("calibrate", split.calibrate)):
        where.check(name, window)
    where.check("test", split.test)
    learned = backtest_rows.learn(where, split, plan, track)
    sampled = replace(where, cadence_min=every_min)
    days = recorded_days.test_days(sampled, test=split.test, state=learned.profiles, track=track)
    judging = _Judging(
        where=sampled,
        learned=learned,
        fleet=fleet,
        arrive_min=arrive_min,
        threads=plan.params.threads,
    )
    found = [scored for day in days for scored in judging.day(day)]
    if not found:
        raise InputError(f"test={split.test}: no decision time lies in it; give a longer range")
    return {
        "city": city.name,
        "recording": recording.folder.name,
        "train": str(split.train),
        "calibrate": str(split.calibrate),
        "test": str(split.test),
        "every_min": every_min,
        "arrive_min": arrive_min,
        "vans": fleet.vans,
        "capacity": fleet.capacity,
        **moves_report.report_of(found, seed=plan.params.seed),
    }


@dataclass(frozen=True, eq=False, kw_only=True)
class _Judging:
    """What the decision times of all days share."""

    where: RecordedCity
    learned: Learned
    fleet: Fleet
    arrive_min: int
    threads: int

    def day(self, day: DayRows) -> Iterator[Scored]:
        """Every plan of every decision time of a day."""
        truth = _truth(self.where, Window.day(from_seconds(int(day.dt[0])).date()))
        for dt in np.unique(day.dt).tolist():
            yield from self._round(day, truth, dt)

    def _round(self, day: DayRows, truth: Grid, dt: int) -> Iterator[Scored]:
        stations = self._stations(day, truth, dt)
        first = int(truth.index_of(dt))
        slots = slice(first, first + _AHEAD_SLOTS + 1)
        recorded = Recorded(
            bikes=truth.bikes[slots],
            docks=truth.docks[slots],
            usual_in=np.nan_to_num(stations.usual_in),
            usual_out=np.nan_to_num(stations.usual_out),
            out_at_or_below=self.where.city.label.threshold,
        )
        at_risk_min = _at_risk(self.learned, dt)
        place = {name: i for i, name in enumerate(stations.ids)}
        for method, planner in PLANNERS.items():
            plan = planner(stations, self.fleet, arrive_min=self.arrive_min)
            pairs = [
                Pair(giver=place[m.giver], taker=place[m.taker], bikes=m.bikes, km=m.km)
                for m in plan.moves
            ]
            seen = judge(recorded, pairs, arrive_slot=self.arrive_min * 60 // SLOT_S)
            yield Scored(
                method=method,
                dt=dt,
                moves=len(pairs),
                planned=seen.planned,
                bikes=seen.bikes,
                km=sum(pair.km for pair in pairs),
                promised_min=plan.minutes_saved,
                saved_min=seen.saved_min,
                at_risk_min=at_risk_min,
            )

    def _stations(self, day: DayRows, truth: Grid, dt: int) -> Stations:
        """All listed stations; those without a row, or out of service, are unknown."""
        rows, slot = day.dt == dt, int(truth.index_of(dt))
        n, at = len(truth.stations), day.station[rows]
        features = day.features.values[rows]
        serving = (truth.renting[slot] & truth.returning[slot])[at]
        chances = _chances(features, self.learned, self.threads)

        def of(name: str) -> Floats:
            values = np.full(n, np.nan)
            values[at] = features[:, FEATURE_NAMES.index(name)]
            return values

        def chance(target: str) -> Floats:
            values = np.full((n, len(HORIZONS_MIN)), np.nan)
            values[at[serving]] = chances[target][serving]
            return values

        listed = self.where.stations
        return Stations(
            ids=truth.stations,
            lat=listed["lat"].to_numpy(dtype=np.float64, na_value=np.nan),
            lon=listed["lon"].to_numpy(dtype=np.float64, na_value=np.nan),
            bikes=np.nan_to_num(of("bikes")).astype(np.int64),
            docks=np.nan_to_num(of("docks")).astype(np.int64),
            usual_in=of("usual_gained_60"),
            usual_out=of("usual_lost_60"),
            p_bikeout=chance(BIKEOUT.name),
            p_dockout=chance(DOCKOUT.name),
            horizons_min=HORIZONS_MIN,
            out_at_or_below=self.where.city.label.threshold,
        )


def _truth(where: RecordedCity, whole: Window) -> Grid:
    """What was true in the slots of a day and of the two hours after it."""
    end = whole.end + timedelta(minutes=max(HORIZONS_MIN), seconds=SLOT_S)
    wider = Window(whole.start - timedelta(seconds=FEED_DOWN_S), end)
    status = to_slots(where.recording.polls(poll_times(wider)))
    names = where.stations["station_id"].tolist()
    grid = Grid.from_status(status, stations=names, window=wider, time_column="observed_at")
    return grid.after(whole.start)


def _chances(features: NDArray[np.float32], learned: Learned, threads: int) -> dict[str, Floats]:
    """Calibrated probabilities (rows, horizons) of both targets."""
    n = len(features)
    ahead = np.tile(np.array(HORIZONS_MIN, dtype=np.int16), n)
    asked = Sample(np.repeat(np.arange(n), len(HORIZONS_MIN)), ahead).matrix(features)
    found = {}
    for target in (BIKEOUT.name, DOCKOUT.name):
        raw = learned.candidate.boosters[target].predict(asked, threads=threads)
        p = learned.candidate.calibrations[target].apply(raw, ahead)
        found[target] = np.clip(p.reshape(n, -1), 0, 1)
    return found


def _at_risk(learned: Learned, dt: int) -> float:
    """Recorded stockout minutes of the whole network in the two hours after dt."""
    first = int(learned.outcomes.slot_of(np.array([dt]))[0])
    slots = slice(first + 1, first + 1 + _AHEAD_SLOTS)
    out = sum((values[slots] == 1).sum() for values in learned.outcomes.values.values())
    return float(out * SLOT_S / 60)
