"""What charts draw, as the specification that the browser gets."""

from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from dashboards import charts

START = pd.Timestamp("2021-09-01T12:00", tz="UTC")


def series(*minutes: int, name: str = "requests") -> pd.DataFrame:
    at = START + pd.to_timedelta(pd.Series(minutes, dtype="int64"), unit="min")
    return pd.DataFrame({"at": at, "value": 1.0, "what": name})


def test_no_line_is_drawn_over_hours_of_which_nothing_is_known() -> None:
    rows = charts.parted(series(0, 5, 10, 120, 125), by="what")
    assert rows["value"].isna().tolist() == [False, False, False, True, False, False]
    assert rows["what"].unique().tolist() == ["requests"]
    assert rows["at"].is_monotonic_increasing


def test_a_series_of_every_ten_minutes_or_every_hour_is_one_line() -> None:
    for step in (10, 60):
        rows = charts.parted(series(*range(0, 12 * step, step)), by="what")
        assert not rows["value"].isna().any()


def test_each_series_has_its_own_gaps() -> None:
    both = pd.concat([series(0, 5, 60, 65, 70), series(*range(0, 75, 5), name="4xx")])
    rows = charts.parted(both, by="what")
    assert rows.loc[rows["value"].isna(), "what"].tolist() == ["requests"]


@pytest.mark.parametrize("count", [2, 8])
def test_no_two_lines_look_alike(count: int) -> None:
    rows = pd.concat([series(0, 5, name=f"line {i}") for i in range(count)])
    drawn = charts.lines(rows, by="what", zone=ZoneInfo("UTC"), theme="light", title="n").to_dict()
    line = drawn["layer"][0]["encoding"]
    looks = zip(line["color"]["scale"]["range"], line["strokeDash"]["scale"]["range"], strict=True)
    assert len({(colour, tuple(dash)) for colour, dash in looks}) == count
