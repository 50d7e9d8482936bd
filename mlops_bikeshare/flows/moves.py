"""Moves: which bikes to take where in the next round, from the newest predictions of an endpoint.

Input    the endpoint's newest batch (`v_predictions`), what is usual at that time of day (the
         features of the batch), the newest counts known now, the station list.
Output   `Round`: a plan with names and times; text, CSV or JSON. Nothing is stored.
Raises   InputError when the endpoint predicted nothing, or nothing new enough to act upon.

A station takes part when it rents and takes back bikes, and its counts, place, predictions and
usual flows are known; the others are counted as left out.
"""

import csv
import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import BIKEOUT, DOCKOUT, HORIZONS_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows.features import ONLINE, known_at, station_list
from mlops_bikeshare.rebalancing import flow
from mlops_bikeshare.rebalancing.curve import Stations
from mlops_bikeshare.rebalancing.fleet import Fleet, Plan

if TYPE_CHECKING:
    import pandas as pd

VANS, CAPACITY, TOP = 2, 20, 20
PREDICTIONS = "v_predictions"
COLUMNS = ("van", "from", "from_name", "to", "to_name", "bikes", "km", "minutes_saved")
_SERVING = ("is_installed", "is_renting", "is_returning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One move, with the names that people know the stations by."""

    van: int
    giver: str
    giver_name: str
    taker: str
    taker_name: str
    bikes: int
    km: float
    minutes_saved: float
    rides_saved: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The moves of a round, those that save most first.

    `at_risk_min` and `rides_lost`: what is expected over the two hours from dt if nobody moves
    anything; `left_out`: listed stations of which too little is known.
    """

    city: str
    endpoint: str
    dt: datetime
    now: datetime
    vans: int
    capacity: int
    stations: int
    left_out: int
    at_risk_min: float
    rides_lost: float
    bikes: int
    minutes_saved: float
    moves: tuple[Line, ...]


def suggest(
    ws: Workspace,
    city: City,
    *,
    vans: int = VANS,
    capacity: int = CAPACITY,
    endpoint: str | None = None,
    view: str = PREDICTIONS,
) -> Round:
    """The round that saves most, from the newest predictions; `view` has them."""
    fleet = Fleet(vans=vans, capacity=capacity)
    name = endpoint or ws.settings.endpoint("prod", city.name)
    said = _said(ws, city, name, view)
    dt: datetime = said["dt"].iloc[0].to_pydatetime()
    _refuse_the_old(ws, city, name, dt)
    listed = station_list(ws, city).set_index("station_id")
    rows = _known(ws, city, dt, listed)
    plan = flow.plan(_stations(rows, said, city.label.threshold), fleet)
    return Round(
        city=city.name,
        endpoint=name,
        dt=dt,
        now=ws.now,
        vans=vans,
        capacity=capacity,
        stations=len(rows),
        left_out=len(listed) - len(rows),
        at_risk_min=plan.at_risk_min,
        rides_lost=plan.rides_lost,
        bikes=plan.bikes,
        minutes_saved=plan.minutes_saved,
        moves=_lines(plan, listed["name"]),
    )


def summary(found: Round, *, top: int = TOP) -> str:
    """The plan for people: what is at risk, and a line a move."""
    fleet = f"{found.vans} van{'s' if found.vans > 1 else ''} of {found.capacity} bikes"
    expected = (
        f"expected in two hours if nothing is moved: {found.at_risk_min:,.0f} stockout minutes at"
        f" {found.stations:,} stations, {found.rides_lost:,.0f} departures without a bike"
    )
    head = f"{found.city}, {found.dt:%F %H:%M} UTC, by {found.endpoint}, for {fleet}"
    lines = [head, expected]
    if found.left_out:
        lines.append(f"{found.left_out} stations left out: not in service, or too little is known")
    if not found.moves:
        return "\n".join([*lines, "no move is worth a van"])
    lines.append(f"{'van':>3} {'bikes':>5} {'km':>5} {'saved':>8}  from → to")
    lines += [
        f"{m.van:>3} {m.bikes:>5} {m.km:>5.1f} {m.minutes_saved:>4.0f} min"
        f"  {m.giver_name} ({m.giver}) → {m.taker_name} ({m.taker})"
        for m in found.moves[:top]
    ]
    if len(found.moves) > top:
        lines.append(f"and {len(found.moves) - top} more moves: --top {len(found.moves)}")
    saved = f"{found.bikes} bikes, {found.minutes_saved:,.0f} stockout minutes saved"
    return "\n".join([*lines, f"in all {len(found.moves)} moves, {saved}"])


def as_csv(found: Round) -> str:
    """A header and a line a move, as spreadsheets read it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for m in found.moves:
        places = map(_plain, (m.giver, m.giver_name, m.taker, m.taker_name))
        writer.writerow([m.van, *places, m.bikes, f"{m.km:.2f}", f"{m.minutes_saved:.1f}"])
    return out.getvalue()


def _plain(name: str) -> str:
    """Names and ids come from a feed; a spreadsheet must not take it for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name


def _said(ws: Workspace, city: City, endpoint: str, view: str) -> "pd.DataFrame":
    literal = endpoint.replace("'", "''")
    rows = ws.query.run(
        f"SELECT station_id, dt, horizon_min, p_bikeout, p_dockout FROM {view}"
        f" WHERE city = '{city.name}' AND endpoint = '{literal}'"
    )
    if rows.empty:
        msg = f"endpoint {endpoint} has no predictions for {city.name}"
        raise InputError(f"{msg}; run `bikeshare infer --city {city.name}`, or name another")
    return rows


def _refuse_the_old(ws: Workspace, city: City, endpoint: str, dt: datetime) -> None:
    age = ws.now - dt
    if age > timedelta(minutes=ws.settings.gate.stale_min):
        minutes = int(age.total_seconds() // 60)
        msg = f"the newest predictions of {endpoint} are {minutes} min old, of {dt:%F %H:%M} UTC"
        raise InputError(f"{msg}: too old to send a van; run `bikeshare infer --city {city.name}`")


def _known(ws: Workspace, city: City, dt: datetime, listed: "pd.DataFrame") -> "pd.DataFrame":
    """Stations in service with place, counts now and usual flows, by id."""
    newest = known_at(ws, city, ws.now).sort_values(["slot", "fetched_at"], kind="stable")
    newest = newest.drop_duplicates("station_id", keep="last").set_index("station_id")
    serving = newest[list(_SERVING)].fillna(value=True).all(axis=1)
    counts = newest.loc[serving, ["num_bikes_available", "num_docks_available"]]
    usual = ws.lake.read(
        ONLINE,
        city=city.name,
        window=Window(dt, dt + timedelta(seconds=1)),
        columns=["station_id", "usual_gained_60", "usual_lost_60"],
    ).set_index("station_id")
    rows = listed[["lat", "lon"]].join(counts).join(usual)
    return rows.dropna().sort_index()


def _stations(rows: "pd.DataFrame", said: "pd.DataFrame", out_at_or_below: int) -> Stations:
    """Arrays for the plan; a probability that is not known is NaN."""
    bikeout, dockout = (
        said.pivot_table(index="station_id", columns="horizon_min", values=target.probability)
        .reindex(index=rows.index, columns=HORIZONS_MIN)
        .to_numpy(dtype=np.float64)
        for target in (BIKEOUT, DOCKOUT)
    )
    return Stations(
        ids=tuple(rows.index),
        lat=rows["lat"].to_numpy(dtype=np.float64),
        lon=rows["lon"].to_numpy(dtype=np.float64),
        bikes=rows["num_bikes_available"].to_numpy(dtype=np.int64),
        docks=rows["num_docks_available"].to_numpy(dtype=np.int64),
        usual_in=rows["usual_gained_60"].to_numpy(dtype=np.float64),
        usual_out=rows["usual_lost_60"].to_numpy(dtype=np.float64),
        p_bikeout=bikeout,
        p_dockout=dockout,
        horizons_min=HORIZONS_MIN,
        out_at_or_below=out_at_or_below,
    )


def _lines(plan: Plan, names: "pd.Series[str]") -> tuple[Line, ...]:
    known = {str(place): name for place, name in names.items() if isinstance(name, str)}

    def called(place: str) -> str:
        return known.get(place, f"Station {place}")

    return tuple(
        Line(
            van=move.van,
            giver=move.giver,
            giver_name=called(move.giver),
            taker=move.taker,
            taker_name=called(move.taker),
            bikes=move.bikes,
            km=move.km,
            minutes_saved=move.minutes_saved,
            rides_saved=move.rides_saved,
        )
        for move in plan.moves
    )
