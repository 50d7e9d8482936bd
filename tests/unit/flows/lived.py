"""A tiny workspace a day old: two days of polls, profiles, and one full batch of predictions."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.domain.windows import Window, stamp
from mlops_bikeshare.flows import features, infer
from tests.unit.flows import tiny

DT = tiny.START + timedelta(days=1, hours=4)
PROD = "bikeshare-prod"


def workspace(home: Path) -> tuple[Workspace, City]:
    """The workspace at `DT`, before any batch."""
    ws, city = tiny.workspace(home)
    tiny.poll(ws, Window(tiny.START, DT + timedelta(seconds=1)))
    ws.advance(DT)
    features.build(ws, city, window=Window.day(tiny.START.date()))
    infer.online_features(ws, city, DT)
    return ws, city


def predict(ws: Workspace, *, dt: datetime = DT, endpoint: str = PROD) -> None:
    """Chances of every station at every horizon, from its count at dt."""
    count = tiny.bikes(dt)
    ahead = np.array(HORIZONS_MIN)
    spread = np.sqrt(ahead / 30)
    frame = pd.DataFrame(
        {
            "endpoint": endpoint,
            "model_version": "1",
            "variant": "AllTraffic",
            "station_id": np.repeat(tiny.STATIONS, len(ahead)),
            "dt": pd.Timestamp(dt).as_unit("ms"),
            "horizon_min": np.tile(ahead, len(count)).astype("int16"),
            "p_bikeout": ndtr((2.5 - count[:, None]) / spread).ravel(),
            "p_dockout": ndtr((2.5 - tiny.DOCKS + count[:, None]) / spread).ravel(),
            "source": "model",
        }
    )
    ws.lake.write(INFERENCE, frame, city="demo", name=f"{endpoint}_{stamp(dt)}")
