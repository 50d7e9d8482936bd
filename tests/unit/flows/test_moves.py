"""Moves from a real lake: what is read, what is left out, and how it is told."""

import csv
import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError, LakeError
from mlops_bikeshare.domain.tables import STATION_STATUS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import moves
from tests.unit.flows import lived, tiny

Opened = tuple[Workspace, City]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    ws, city = lived.workspace(tmp_path)
    lived.predict(ws)
    return ws, city


def test_bikes_go_from_the_fullest_to_the_emptiest_with_names(opened: Opened) -> None:
    found = moves.suggest(*opened, vans=1, capacity=10)
    count = dict(zip(tiny.STATIONS, tiny.bikes(lived.DT).tolist(), strict=True))
    assert found.stations == len(tiny.STATIONS)
    assert found.moves
    for move in found.moves:
        assert count[move.giver] > count[move.taker]
        assert move.giver_name == "a place"
    assert found.bikes == sum(move.bikes for move in found.moves) <= 10
    assert 0 < found.minutes_saved < found.at_risk_min
    text = moves.summary(found, top=1)
    assert f"a place ({found.moves[0].giver}) → a place ({found.moves[0].taker})" in text


def test_the_csv_holds_every_move_and_no_formula(opened: Opened) -> None:
    found = moves.suggest(*opened)
    rows = list(csv.DictReader(io.StringIO(moves.as_csv(found))))
    assert [int(row["bikes"]) for row in rows] == [move.bikes for move in found.moves]
    line = replace(found.moves[0], giver="=1+1", taker_name="=SUM(A1)")
    (row,) = csv.DictReader(io.StringIO(moves.as_csv(replace(found, moves=(line,)))))
    assert (row["from"], row["to_name"]) == ("'=1+1", "'=SUM(A1)")


def test_a_station_that_takes_no_bikes_back_is_left_out(opened: Opened) -> None:
    ws, city = opened
    window = Window(lived.DT, lived.DT + timedelta(seconds=1))
    rows = ws.lake.read(STATION_STATUS, city="demo", window=window)
    closed = rows.assign(
        is_returning=rows["station_id"] != "00", slot=rows["slot"] + timedelta(minutes=5)
    )
    ws.lake.write(
        STATION_STATUS, closed.assign(fetched_at=closed["slot"]), city="demo", name="later"
    )
    ws.advance(lived.DT + timedelta(minutes=5))
    found = moves.suggest(ws, city)
    assert found.left_out == 1
    assert "00" not in {place for move in found.moves for place in (move.giver, move.taker)}


def test_old_predictions_send_no_van(opened: Opened) -> None:
    ws, city = opened
    ws.advance(lived.DT + timedelta(minutes=45))
    with pytest.raises(InputError, match="45 min old"):
        moves.suggest(ws, city)


def test_an_endpoint_without_predictions_is_named(opened: Opened) -> None:
    with pytest.raises(InputError, match="other has no predictions"):
        moves.suggest(*opened, endpoint="other")


def test_moves_follow_the_view_that_operators_named(opened: Opened) -> None:
    with pytest.raises(LakeError, match="v_elsewhere"):
        moves.suggest(*opened, view="v_elsewhere")


def test_without_a_day_of_history_nothing_is_moved(tmp_path: Path) -> None:
    ws, city = tiny.workspace(tmp_path)
    tiny.poll(ws, Window(lived.DT - timedelta(hours=4), lived.DT + timedelta(seconds=1)))
    ws.advance(lived.DT)
    lived.predict(ws)
    found = moves.suggest(ws, city)
    assert found.left_out == len(tiny.STATIONS)
    assert "no move is worth a van" in moves.summary(found)
