import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.domain.tables import STATION_STATUS, features_table, pandera_schema
from mlops_bikeshare.domain.windows import Window, from_seconds
from mlops_bikeshare.features.definition import (
    CITY_FEATURES,
    FEATURE_NAMES,
    FEATURES,
    STATION_FEATURES,
    VERSION,
    feature_digest,
)
from mlops_bikeshare.features.grid import LOOKBACK
from mlops_bikeshare.features.offline import build_day, day_grid
from mlops_bikeshare.features.online import row_at
from mlops_bikeshare.features.profiles import ProfileState

DAY = date(2021, 7, 3)
START = Window.day(DAY).start - LOOKBACK - timedelta(hours=2)
SLOTS = (24 + 6) * 12
# Version of the definition and checksum of a seeded day: change a formula, change the version.
PINNED = (3, 3836747701)
Polls = Callable[..., pd.DataFrame]


class Small:
    """A day of a small city with profiles of the day before."""

    def __init__(self, polls: Polls, stations: pd.DataFrame, city: City) -> None:
        self.polls, self.stations, self.city = polls, stations, city
        before = polls(99, start=Window.day(DAY).start - timedelta(days=1), slots=288)
        yesterday = DAY - timedelta(days=1)
        grid = day_grid(before, day=yesterday, stations=stations)
        self.profiles = ProfileState.empty().update(grid, day=yesterday, zone=city.zone)

    def status(self, seed: int, *, missed: float = 0.0, absent: float = 0.0) -> pd.DataFrame:
        return self.polls(seed, start=START, slots=SLOTS, missed=missed, absent=absent)

    def offline(self, status: pd.DataFrame) -> pd.DataFrame:
        return build_day(
            status, day=DAY, stations=self.stations, city=self.city, profiles=self.profiles
        )

    def online(self, status: pd.DataFrame, dt: datetime) -> pd.DataFrame:
        return row_at(status, dt=dt, stations=self.stations, city=self.city, profiles=self.profiles)


@pytest.fixture(scope="session")
def small(polls: Polls, station_list: pd.DataFrame, boston: City) -> Small:
    return Small(polls, station_list, boston)


def assert_bitwise(left: pd.DataFrame, right: pd.DataFrame) -> None:
    names = list(FEATURE_NAMES)
    assert left["station_id"].tolist() == right["station_id"].tolist()
    assert left["dt"].tolist() == right["dt"].tolist()
    bits = [frame[names].to_numpy(dtype=np.float32).view(np.int32) for frame in (left, right)]
    np.testing.assert_array_equal(bits[0], bits[1])


def at(frame: pd.DataFrame, dt: datetime) -> pd.DataFrame:
    return frame[frame["dt"] == pd.Timestamp(dt)].reset_index(drop=True)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    missed=st.sampled_from([0.0, 0.1, 0.5, 0.97]),
    absent=st.sampled_from([0.0, 0.1]),
    times=st.lists(st.integers(0, 143), min_size=1, max_size=4),
)
def test_the_online_row_is_the_offline_row_bit_for_bit(
    small: Small, seed: int, missed: float, absent: float, times: list[int]
) -> None:
    status = small.status(seed, missed=missed, absent=absent)
    table = small.offline(status)
    for dt in (Window.day(DAY).start + timedelta(minutes=10 * i) for i in times):
        recent = status[status["slot"] >= pd.Timestamp(dt - LOOKBACK)]
        assert_bitwise(small.online(recent, dt), at(table, dt))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), time=st.integers(0, 143))
def test_altering_anything_fetched_after_dt_changes_no_feature_at_dt(
    small: Small, seed: int, time: int
) -> None:
    status, dt = (
        small.status(seed, missed=0.1),
        Window.day(DAY).start + timedelta(minutes=10 * time),
    )
    late = status["fetched_at"] > pd.Timestamp(dt)
    counts = ["num_bikes_available", "num_docks_available"]
    altered = status.copy()
    altered.loc[late, counts] = np.int16(1)
    altered.loc[late, "is_renting"] = False
    kept = pd.concat([altered[~late], altered[late].iloc[::3]])
    for changed in (altered, kept):
        assert_bitwise(at(small.offline(changed), dt), at(small.offline(status), dt))
        assert_bitwise(small.online(changed, dt), small.online(status, dt))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_row_order_repeats_and_unlisted_stations_change_no_feature(small: Small, seed: int) -> None:
    status = small.status(seed, missed=0.1)
    other = small.status(seed + 1).assign(station_id=lambda f: "other-" + f["station_id"])
    noisy = pd.concat([status, status.iloc[::7], other]).sample(frac=1, random_state=seed)
    assert_bitwise(small.offline(noisy), small.offline(status))


def test_bikes_and_docks_mirror_each_other(small: Small) -> None:
    status = small.status(4, missed=0.1)
    pair = {"bikes": "docks", "docks": "bikes"}
    swapped = status.rename(
        columns={f"num_{a}_available": f"num_{b}_available" for a, b in pair.items()}
    )
    table, mirror = small.offline(status), small.offline(swapped)
    mirrored = [n for n in FEATURE_NAMES if n.startswith("docks")]
    mirrored = [n for n in mirrored if "expected" not in n and "margin" not in n]
    assert "docks_min_30" in mirrored
    for name in mirrored:
        np.testing.assert_array_equal(mirror[name], table[name.replace("docks", "bikes")])
    np.testing.assert_array_equal(mirror["minutes_to_full"], table["minutes_to_empty"])
    np.testing.assert_array_equal(mirror["network_dockout"], table["network_bikeout"])


def test_lags_and_flows_are_joined_on_time_across_a_missed_poll(small: Small) -> None:
    status, dt = small.status(4), Window.day(DAY).start + timedelta(hours=12)
    gap = status[status["slot"] != pd.Timestamp(dt - timedelta(minutes=10))]
    whole, holed = small.online(status, dt), small.online(gap, dt)
    for name in ("bikes", "bikes_lag_5", "bikes_lag_15", "bikes_lag_20", "bikes_delta_30"):
        np.testing.assert_array_equal(whole[name], holed[name])
    np.testing.assert_array_equal(holed["bikes_lag_10"], whole["bikes_lag_15"])


def test_age_grows_while_polls_are_missed_and_the_row_ends_with_the_feed(small: Small) -> None:
    status, dt = small.status(4), Window.day(DAY).start + timedelta(hours=12)
    silent = status[status["slot"] <= pd.Timestamp(dt)]
    later = [small.online(silent, dt + timedelta(minutes=m)) for m in (0, 10, 20)]
    np.testing.assert_allclose(
        np.diff([frame["age_min"] for frame in later], axis=0), 10, rtol=1e-5
    )
    assert small.online(silent, dt + timedelta(minutes=60)).empty


def test_a_station_whose_bikes_are_not_known_has_no_row(small: Small) -> None:
    status, dt = small.status(4), Window.day(DAY).start + timedelta(hours=12)
    gone = (status["station_id"] == "001") & (status["slot"] == pd.Timestamp(dt))
    assert small.online(status[~gone], dt)["station_id"].tolist() == ["000", "002", "003"]


def test_an_unknown_capacity_is_missing(small: Small) -> None:
    table = small.offline(small.status(4))
    assert table.loc[table["station_id"] == "003", "capacity"].isna().all()
    assert (table.loc[table["station_id"] != "003", "capacity"] == 12).all()


def test_a_station_listed_twice_is_one_station(small: Small) -> None:
    status = small.status(4)
    twice = pd.concat([small.stations, small.stations])
    again = build_day(status, day=DAY, stations=twice, city=small.city, profiles=small.profiles)
    assert_bitwise(again, small.offline(status))


def test_both_tables_meet_their_contract(small: Small) -> None:
    status = small.status(4, missed=0.1)
    pandera_schema(STATION_STATUS).validate(status)
    offline, online = small.offline(status), small.online(status, from_seconds(1625313600))
    pandera_schema(features_table("features_offline", FEATURE_NAMES)).validate(offline)
    pandera_schema(features_table("features_online", FEATURE_NAMES)).validate(online)
    assert offline["dt"].nunique() == 144


def test_profiles_that_know_the_day_are_refused(small: Small) -> None:
    status = small.status(4)
    grid = day_grid(status, day=DAY, stations=small.stations)
    knowing = small.profiles.update(grid, day=DAY, zone=small.city.zone)
    with pytest.raises(GridError, match="use the profiles valid from 2021-07-03"):
        build_day(status, day=DAY, stations=small.stations, city=small.city, profiles=knowing)


def test_every_feature_has_one_name_a_scope_and_words() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURES)
    assert set(STATION_FEATURES) | set(CITY_FEATURES) == set(FEATURE_NAMES)
    assert not set(STATION_FEATURES) & set(CITY_FEATURES)
    assert all(feature.doc and feature.unit for feature in FEATURES)


def test_city_and_calendar_features_are_one_number_per_decision_time(small: Small) -> None:
    table = small.offline(small.status(4, missed=0.1))
    by_time = table.groupby("dt")[list(CITY_FEATURES)]
    spread = by_time.max() - by_time.min()
    assert (spread.fillna(0) == 0).all(axis=None)
    missing = table[list(CITY_FEATURES)].isna().groupby(table["dt"]).mean()
    assert missing.isin([0, 1]).all(axis=None)


def test_a_changed_formula_needs_a_new_version(small: Small) -> None:
    values = small.offline(small.status(4))[list(FEATURE_NAMES)].to_numpy()
    rounded = np.nan_to_num(np.round(values.astype(np.float64) * 100), nan=-1).astype(np.int64)
    assert (VERSION, zlib.crc32(rounded.tobytes())) == PINNED


def test_the_digest_tells_definitions_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = feature_digest()
    assert len(now) == 64
    monkeypatch.setattr("mlops_bikeshare.features.definition.VERSION", VERSION + 1)
    assert feature_digest() != now


@pytest.mark.recordings
def test_online_equals_offline_on_a_day_of_boston(recordings: Path, boston: City) -> None:
    folder, day = recordings / "boston", date(2021, 7, 10)
    stations = pd.read_parquet(folder / "station_information.parquet")
    status = reports_as_polls(folder / "station_status.parquet", day=day)
    none = ProfileState.empty()
    table = build_day(status, day=day, stations=stations, city=boston, profiles=none)
    assert len(table) > 50_000
    for hour in (0, 8, 23):
        dt = datetime(2021, 7, 10, hour, 30, tzinfo=UTC)
        rows = row_at(status, dt=dt, stations=stations, city=boston, profiles=none)
        assert_bitwise(rows, at(table, dt))


def reports_as_polls(path: Path, *, day: date) -> pd.DataFrame:
    """The day's change log and a day before it, forward-filled to five-minute polls."""
    window = Window.day(day)
    start, end = pd.Timestamp(window.start), pd.Timestamp(window.end)
    since = start - pd.Timedelta(hours=24)
    log = pd.read_parquet(path, filters=[("observed_at", ">=", since), ("observed_at", "<", end)])
    log["last_reported"] = log["observed_at"].dt.as_unit("ms")
    log["slot"] = log["last_reported"].dt.ceil("5min")
    newest = log.sort_values("last_reported").drop_duplicates(["station_id", "slot"], keep="last")
    slots = pd.date_range(start - pd.Timedelta(LOOKBACK), end, freq="5min", inclusive="left")
    filled = (
        newest.set_index("slot")
        .groupby("station_id")
        .apply(
            lambda station: station.reindex(slots.as_unit("ms"), method="ffill").rename_axis("slot")
        )
    )
    polls = filled.dropna(subset="last_reported").drop(columns="station_id", errors="ignore")
    polls = polls.reset_index()
    return polls.assign(observed_at=polls["slot"], fetched_at=polls["slot"])
