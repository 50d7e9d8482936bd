"""Made-up stations whose trajectories follow from counts and usual flows."""

import numpy as np
from scipy.special import ndtr

from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.rebalancing.curve import Stations

OUT = 2
HOURS = np.array(HORIZONS_MIN) / 60


def one_station(*, p_bikeout: np.ndarray, p_dockout: np.ndarray, flow: float) -> Stations:
    """One station with ten bikes and ten docks; `flow` bikes an hour, half in, half out."""
    one = np.ones(1)
    return Stations(
        ids=["a"],
        lat=42 * one,
        lon=-71 * one,
        bikes=np.array([10]),
        docks=np.array([10]),
        usual_in=flow / 2 * one,
        usual_out=flow / 2 * one,
        p_bikeout=p_bikeout[None, :],
        p_dockout=p_dockout[None, :],
        horizons_min=HORIZONS_MIN,
        out_at_or_below=OUT,
    )


def city(
    stations: int, *, seed: int = 0, fill: tuple[float, float] = (0, 1), rides: float = 4
) -> Stations:
    """Stations filled at random between two shares, with `rides` an hour each way on average."""
    rng = np.random.default_rng(seed)
    capacity = rng.integers(11, 40, stations)
    bikes = np.rint(capacity * rng.uniform(*fill, stations)).astype(np.int64)
    usual_in, usual_out = rng.gamma(2, rides / 2, (2, stations))
    mean = bikes[:, None] + (usual_in - usual_out)[:, None] * HOURS
    spread = np.sqrt(np.maximum((usual_in + usual_out)[:, None] * HOURS, 1))
    return Stations(
        ids=[f"{i:04}" for i in range(stations)],
        lat=42 + rng.normal(0, 0.02, stations),
        lon=-71 + rng.normal(0, 0.03, stations),
        bikes=bikes,
        docks=capacity - bikes,
        usual_in=usual_in,
        usual_out=usual_out,
        p_bikeout=ndtr((2.5 - mean) / spread),
        p_dockout=ndtr((2.5 - capacity[:, None] + mean) / spread),
        horizons_min=HORIZONS_MIN,
        out_at_or_below=OUT,
    )
