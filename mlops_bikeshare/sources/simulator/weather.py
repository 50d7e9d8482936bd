"""Hourly weather of a simulated city.

Input    start (aware UTC), hours, a NumPy generator.
Output   frame: hour_utc (datetime64[us], UTC without a zone, as recordings have it), temp_C,
         precip_mm, wind_mps, humidity_pct; float64.
Method   a yearly and a daily wave plus AR(1) noise for temperature and wind; rain comes in wet
         spells of a few hours (a two-state Markov chain) with gamma amounts.
"""

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_bikeshare.domain.windows import to_seconds

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
_HOUR_S = 3600
_P_START, _P_STOP = 0.018, 0.22  # of a wet spell, per hour


def simulate_weather(
    start: datetime, *, hours: int, utc_offset_h: float, rng: np.random.Generator
) -> "pd.DataFrame":
    """Draw the weather of `hours` hours from `start`."""
    import pandas as pd

    seconds = to_seconds(start) + _HOUR_S * np.arange(hours)
    local_hour = (seconds / _HOUR_S + utc_offset_h) % 24
    year = seconds / (365.25 * 24 * _HOUR_S) % 1
    wet = _spells(rng.random(hours))
    season = 11 - 11 * np.cos(2 * np.pi * (year - 0.05))
    day = -3.5 * np.cos(2 * np.pi * (local_hour - 3) / 24)
    temperature = season + day + _ar1(hours, 0.97, 2.8, rng) - 2.0 * wet
    wind = np.maximum(0.2, 3.8 + _ar1(hours, 0.9, 1.6, rng) + 1.2 * wet)
    humidity = np.clip(66 - 2.2 * day + 18 * wet + _ar1(hours, 0.9, 7.0, rng), 25, 100)
    return pd.DataFrame(
        {
            "hour_utc": seconds.astype("M8[s]").astype("M8[us]"),
            "temp_C": temperature.round(1),
            "precip_mm": np.where(wet, rng.gamma(0.9, 1.6, size=hours) + 0.1, 0.0).round(1),
            "wind_mps": wind.round(1),
            "humidity_pct": humidity.round(0),
        }
    )


def comfort(weather: "pd.DataFrame") -> Floats:
    """How much of fair-weather demand remains each hour, in (0, 1]."""
    temperature, wind = weather["temp_C"].to_numpy(), weather["wind_mps"].to_numpy()
    rain = weather["precip_mm"].to_numpy()
    cold = 1 / (1 + np.exp(-(temperature - 7) / 4))
    hot = 1 / (1 + np.exp((temperature - 34) / 2))
    answer: Floats = cold * hot * np.exp(-0.45 * np.sqrt(rain)) * np.exp(-0.02 * wind)
    return answer


def _ar1(size: int, keep: float, scale: float, rng: np.random.Generator) -> Floats:
    """Stationary AR(1) noise of standard deviation `scale`."""
    noise = rng.normal(0, scale, size=size)
    values = np.empty(size)
    value = noise[0]
    for i, shock in enumerate(noise):
        value = keep * value + (1 - keep**2) ** 0.5 * shock
        values[i] = value
    return values


def _spells(draws: Floats) -> NDArray[np.bool_]:
    """Wet hours of the Markov chain."""
    wet = np.empty(len(draws), dtype=np.bool_)
    state = False
    for i, draw in enumerate(draws):
        state = bool(draw > _P_STOP) if state else bool(draw < _P_START)
        wet[i] = state
    return wet
