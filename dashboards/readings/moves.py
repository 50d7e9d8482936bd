"""The moves that the planner suggests from the newest batch, by station.

Output   Suggested: what to do at a station, in words, and why there is nothing where there is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.readings.choosing import Choice, Empty
from dashboards.readings.city import CityReading
from dashboards.readings.clients import opened
from mlops_bikeshare.domain.errors import BikeshareError


@dataclass(frozen=True, slots=True)
class Suggested:
    """`at`: station_id → what to move from or to it; `note`: the plan in a line, or its lack."""

    at: Mapping[str, str]
    note: str


def suggested(choice: Choice, reading: CityReading) -> Suggested:
    """The round that saves most stockout minutes, told at both of its ends."""
    from mlops_bikeshare.flows.moves import suggest

    ws = opened(choice)
    if isinstance(ws, Empty):
        return Suggested({}, ws.what)
    try:
        found = suggest(ws, reading.city, endpoint=reading.endpoint, view=choice.views.predictions)
    except BikeshareError as error:
        return Suggested({}, f"No plan of moves: {error}")
    if found.left_out >= len(reading.stations):
        return Suggested({}, "No plan of moves: too little is known of every station.")
    said: dict[str, list[str]] = {}
    for move in found.moves:
        bikes = f"{move.bikes} bike{'s' if move.bikes > 1 else ''}"
        saved = f"{bikes}, {move.km:.1f} km, {move.minutes_saved:.0f} min saved"
        said.setdefault(move.taker, []).append(f"from {move.giver_name}: {saved}")
        said.setdefault(move.giver, []).append(f"to {move.taker_name}: {saved}")
    note = (
        f"A round of {found.vans} vans of {found.capacity}: {len(found.moves)} moves,"
        f" {found.bikes} bikes, {found.minutes_saved:,.0f} stockout minutes saved."
        if found.moves
        else "No move is worth a van."
    )
    if found.left_out:
        note += f" Too little is known of {found.left_out} stations: they were left out."
    return Suggested({station: "; ".join(moves) for station, moves in said.items()}, note)
