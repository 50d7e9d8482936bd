"""What was true of each station in each slot: the grid that labels come from.

Training and monitoring read it here. Rows are placed by `observed_at`, the document's own time,
and never carried forward: a slot that no document speaks of has no label.
"""

from collections.abc import Sequence
from datetime import timedelta

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import STATION_STATUS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.grid import FEED_DOWN_S, Grid

# A document may be fetched this much after its own time and still land in the grid.
LATE = timedelta(hours=1)


def truth(ws: Workspace, city: City, *, stations: Sequence[str], window: Window) -> Grid:
    """The slots that end in `window`, day by day, so that memory holds one day of rows."""
    days = [_part(window, day) for day in map(Window.day, window.days())]
    return Grid.joined([_day(ws, city, stations=stations, window=part) for part in days])


def _part(window: Window, day: Window) -> Window:
    return Window(max(window.start, day.start), min(window.end, day.end))


def _day(ws: Workspace, city: City, *, stations: Sequence[str], window: Window) -> Grid:
    """One day, with the hour before it, which tells whether the feed was up."""
    hour = timedelta(seconds=FEED_DOWN_S)
    wider = Window(window.start - hour, window.end + LATE)
    rows = ws.lake.read(STATION_STATUS, city=city.name, window=wider)
    before = Window(window.start - hour, window.end)
    grid = Grid.from_status(rows, stations=stations, window=before, time_column="observed_at")
    return grid.after(window.start)
