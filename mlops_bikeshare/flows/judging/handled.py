"""Stations that somebody handled: their labels of the next hour are censored.

Input    predictions joined to labels (see `judged`); the feedback of the city.
Output   the same rows, with label NaN where the label's time (dt + horizon) lies within an hour
         after the station was marked as handled, and a column `handled` that says so.
"""

from datetime import timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import STATION_FEEDBACK
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window

HANDLED = "handled"
LASTS = timedelta(hours=1)


def censored(ws: Workspace, city: City, rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` without the labels that a van made."""
    marked = _marked(ws, city, rows)
    if not marked.any():
        return rows.assign(handled=False)
    labels = {f"label_{t.name}": rows[f"label_{t.name}"].mask(marked) for t in TARGETS}
    return rows.assign(**labels, handled=marked)


def _marked(ws: Workspace, city: City, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows have their label within the hour after a mark."""
    marked = np.zeros(len(rows), dtype=np.bool_)
    if rows.empty or not ws.lake.days(STATION_FEEDBACK, city=city.name):
        return marked
    longest = timedelta(minutes=max(HORIZONS_MIN))
    first, last = rows["dt"].min().to_pydatetime(), rows["dt"].max().to_pydatetime()
    said = ws.lake.read(
        STATION_FEEDBACK, city=city.name, window=Window(first - LASTS, last + longest)
    )
    label_at = rows["dt"] + pd.to_timedelta(rows["horizon_min"], unit="min")
    stations = rows["station_id"].to_numpy()
    for station, at in said.loc[said["what"] == HANDLED, ["station_id", "said_at"]].itertuples(
        index=False
    ):
        after = label_at.between(at, at + LASTS).to_numpy()
        marked |= after & (stations == station)
    return marked
