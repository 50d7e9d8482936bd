"""Proofs that features are honest, on a user's own data: each returns what went wrong, or nothing.

Input    a `Case`: one UTC day of curated slots with its look-back, the station list, the city, and
         the profiles of the days before; decision times to try.
Output   a list of sentences, empty when the proof holds.

Two tables are equal when their keys are and every feature is, bit for bit, NaN included.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.windows import SLOT_S, Window
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.features.grid import LOOKBACK, MISSING, Grid
from mlops_bikeshare.features.offline import build_day, day_grid
from mlops_bikeshare.features.online import row_at
from mlops_bikeshare.features.profiles import ProfileState
from mlops_bikeshare.features.stations import known_list

_POISON = np.int16(999)
_ARRAYS = ("bikes", "docks", "renting", "returning", "last_reported", "observed")


@dataclass(frozen=True, eq=False)
class Case:
    """What is proven on."""

    day: date
    status: pd.DataFrame
    stations: pd.DataFrame
    city: City
    profiles: ProfileState
    dts: tuple[datetime, ...]

    def offline(self, status: pd.DataFrame | None = None) -> pd.DataFrame:
        """The day's table, from other rows if given."""
        return build_day(
            self.status if status is None else status,
            day=self.day,
            stations=self.stations,
            city=self.city,
            profiles=self.profiles,
        )

    def online(self, status: pd.DataFrame, dt: datetime) -> pd.DataFrame:
        """The rows at one dt."""
        return row_at(status, dt=dt, stations=self.stations, city=self.city, profiles=self.profiles)


Proof = Callable[[Case], list[str]]


def the_future_changes_nothing(case: Case) -> list[str]:
    """Rows fetched after dt are poisoned, then dropped: no feature at dt may change."""
    table, wrong = case.offline(), []
    for dt in case.dts:
        known, honest = case.status["fetched_at"] <= pd.Timestamp(dt), _at(table, dt)
        for what, status in (
            ("poisoned", _poisoned(case.status, ~known)),
            ("dropped", case.status[known]),
        ):
            wrong += _differences(honest, _at(case.offline(status), dt), f"{dt:%H:%M}, {what}")
            online = case.online(status, dt)
            wrong += _differences(honest, online, f"{dt:%H:%M}, {what}, online")
    return wrong


def online_equals_offline(case: Case) -> list[str]:
    """Every decision time of the day, built from what was known then alone."""
    table, wrong = case.offline(), []
    for dt in Window.day(case.day).steps():
        times = case.status["slot"]
        since, until = pd.Timestamp(dt - LOOKBACK), pd.Timestamp(dt)
        recent = case.status[(times >= since) & (times <= until)]
        wrong += _differences(_at(table, dt), case.online(recent, dt), f"{dt:%H:%M}")
    return wrong


def order_repeats_and_strangers_change_nothing(case: Case) -> list[str]:
    """Rows shuffled, a seventh of them twice, and a city of unlisted stations among them."""
    strangers = case.status.assign(station_id="stranger-" + case.status["station_id"])
    noisy = pd.concat([case.status, case.status.iloc[::7], strangers])
    shuffled = noisy.sample(frac=1, random_state=0)
    return _differences(case.offline(), case.offline(shuffled), "shuffled")


def a_missed_poll_is_an_empty_slot(case: Case) -> list[str]:
    """Without the poll of a slot that slot is empty and no other moves."""
    wrong = []
    window = Window(Window.day(case.day).start - LOOKBACK, Window.day(case.day).end)
    names = case.stations["station_id"].tolist()
    whole = Grid.from_status(case.status, stations=names, window=window)
    for dt in case.dts:
        kept = case.status[case.status["slot"] != pd.Timestamp(dt)]
        holed = Grid.from_status(kept, stations=names, window=window)
        slot = int(whole.index_of(int(dt.timestamp())))
        others = np.arange(len(whole.bikes)) != slot
        if holed.observed[slot].any() or (holed.bikes[slot] != MISSING).any():
            wrong.append(f"{dt:%H:%M}: the slot of a missed poll is not empty")
        wrong += [
            f"{dt:%H:%M}: without one poll {name} of another slot changed"
            for name in _ARRAYS
            if not np.array_equal(getattr(whole, name)[others], getattr(holed, name)[others])
        ]
    return wrong


def profiles_know_earlier_days_only(case: Case) -> list[str]:
    """Profiles that have learned the day are refused."""
    grid = day_grid(case.status, day=case.day, stations=case.stations)
    knowing = case.profiles.update(grid, day=case.day, zone=case.city.zone, label=case.city.label)
    try:
        replace(case, profiles=knowing).offline()
    except GridError:
        return []
    return [f"profiles that know {case.day} were taken for its features"]


def a_later_station_list_changes_nothing(case: Case) -> list[str]:
    """Capacities and positions read after midnight: the day keeps those it began with."""
    start = pd.Timestamp(Window.day(case.day).start)
    early = case.stations.assign(fetched_at=start)
    later = early.assign(fetched_at=start + timedelta(seconds=1), capacity=_POISON)
    moved = later.assign(lat=later["lat"] + 0.1, lon=-later["lon"])
    lists = pd.concat([moved, early])
    listed = replace(case, stations=known_list(lists, day=case.day))
    return _differences(case.offline(), listed.offline(), "another list after midnight")


PROOFS: dict[str, Proof] = {
    "the future changes no feature": the_future_changes_nothing,
    "online row equals offline row, bit for bit": online_equals_offline,
    "row order, repeats and other stations change nothing": (
        order_repeats_and_strangers_change_nothing
    ),
    "a missed poll is an empty slot": a_missed_poll_is_an_empty_slot,
    "profiles know earlier days only": profiles_know_earlier_days_only,
    "a later station list changes nothing": a_later_station_list_changes_nothing,
}


def sampled_times(day: date, *, times: int, seed: int) -> tuple[datetime, ...]:
    """Some decision times of a day, in order."""
    steps = list(Window.day(day).steps())
    chosen = np.random.default_rng(seed).permutation(len(steps))[:times]
    return tuple(steps[i] for i in sorted(chosen.tolist()))


def with_missed_and_late_polls(raw: pd.DataFrame, *, share: float, seed: int) -> pd.DataFrame:
    """Polls of which a `share` never came, and as many came up to two slots late."""
    times = raw["fetched_at"]
    polls = pd.Index(times.unique()).sort_values()
    rng = np.random.default_rng(seed)
    fate = rng.random(len(polls))
    late_s = np.where(fate > 1 - share, rng.integers(1, 2 * SLOT_S, len(polls)), 0)
    of_poll = polls.get_indexer(pd.Index(times))
    delay = pd.to_timedelta(pd.Series(late_s[of_poll], index=raw.index), unit="s")
    moved = raw.assign(fetched_at=(times + delay).dt.as_unit("ms"))
    arrived: pd.DataFrame = moved[fate[of_poll] >= share].reset_index(drop=True)
    return arrived


def _poisoned(status: pd.DataFrame, rows: "pd.Series[bool]") -> pd.DataFrame:
    """Absurd counts, flags and report times in the given rows."""
    poisoned = status.copy()
    poisoned.loc[rows, ["num_bikes_available", "num_docks_available"]] = _POISON
    poisoned.loc[rows, ["is_installed", "is_renting", "is_returning"]] = False
    later = status.loc[rows, "last_reported"] + timedelta(days=1)
    poisoned.loc[rows, "last_reported"] = later.dt.as_unit("ms")
    return poisoned


def _at(table: pd.DataFrame, dt: datetime) -> pd.DataFrame:
    rows: pd.DataFrame = table[table["dt"] == pd.Timestamp(dt)].reset_index(drop=True)
    return rows


def _differences(left: pd.DataFrame, right: pd.DataFrame, where: str) -> list[str]:
    """What differs, feature by feature."""
    for key in ("station_id", "dt"):
        if left[key].tolist() != right[key].tolist():
            return [f"{where}: {len(left)} rows became {len(right)} rows of other keys"]
    names = list(FEATURE_NAMES)
    a, b = (frame[names].to_numpy(dtype=np.float32).view(np.int32) for frame in (left, right))
    changed = (a != b).sum(axis=0)
    return [
        f"{where}: {name} differs in {count} of {len(left)} rows"
        for name, count in zip(names, changed.tolist(), strict=True)
        if count
    ]
