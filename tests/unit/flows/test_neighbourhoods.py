import numpy as np
import pandas as pd

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows.judging.neighbourhoods import (
    NO_POSITION,
    UNKNOWN,
    areas_of,
    capacities,
    names_of,
    neighbourhoods,
)

CITY = City(name="boston", timezone="America/New_York", country="US")
STATIONS = pd.DataFrame(
    {
        "station_id": ["a", "b", "c", "d"],
        "lat": [42.3601, 42.3605, 42.3801, np.nan],
        "lon": [-71.0601, -71.0605, -71.0601, -71.06],
        "capacity": pd.array([15, 16, None, 31], dtype="Int16"),
    }
)


def test_near_stations_share_a_cell_and_far_ones_do_not() -> None:
    near, same, far, nowhere = neighbourhoods(STATIONS)
    assert near == same != far
    assert nowhere == NO_POSITION


def test_a_region_of_the_feed_comes_before_the_grid() -> None:
    listed = STATIONS.assign(region_id=pd.array(["8", None, "8", "9"], dtype="str"))
    found = neighbourhoods(listed)
    assert found[[0, 2, 3]].tolist() == ["region 8", "region 8", "region 9"]
    assert found[1] == neighbourhoods(STATIONS)[1]


def test_a_station_without_position_still_has_its_region() -> None:
    listed = STATIONS.assign(region_id=pd.array([None, None, None, "harbour"], dtype="str"))
    area, names = areas_of(listed, km=1.0)
    assert names[area[3]] == "region harbour"
    assert (area >= 0).all()


def test_one_region_for_all_of_a_city_tells_no_neighbourhoods_apart() -> None:
    listed = STATIONS.assign(region_id=pd.array(["all"] * len(STATIONS), dtype="str"))
    area, names = areas_of(listed, km=1.0)
    assert len(set(area[area >= 0])) > 1
    assert "region all" not in names


def test_an_unknown_capacity_is_a_class_of_its_own() -> None:
    assert capacities(STATIONS).tolist() == ["up to 15", "16 to 20", UNKNOWN, "over 30"]


def test_hours_and_days_are_those_of_the_city() -> None:
    saturday_0330_utc = int(pd.Timestamp("2021-09-04T03:30Z").timestamp())
    saturday_noon_utc = int(pd.Timestamp("2021-09-04T12:00Z").timestamp())
    dt = np.array([saturday_0330_utc, saturday_noon_utc])
    found = names_of(STATIONS, np.array([3, 0]), dt, CITY)
    assert found["hour"].tolist() == ["23:00", "08:00"]
    assert found["day"].tolist() == ["weekday", "weekend"]
    assert found["capacity"].tolist() == ["over 30", "up to 15"]


def test_stations_without_any_position_are_one_neighbourhood() -> None:
    lost = STATIONS.assign(lat=np.nan)
    assert set(neighbourhoods(lost)) == {NO_POSITION}
