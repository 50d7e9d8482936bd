"""The moves that a plan suggests, by station; None while the workspace has no plan."""

from collections.abc import Mapping

from dashboards.readings.choosing import Choice
from dashboards.readings.city import CityReading

NO_PLAN = "Suggest move: no plan yet. The column fills when a plan of moves is there."


def suggested(choice: Choice, reading: CityReading) -> Mapping[str, str] | None:
    """station_id → such as `to Mill Bridge 2: 6 bikes, 1.2 km, 45 min saved`; None: no plan yet."""
    _ = choice, reading
    return None
