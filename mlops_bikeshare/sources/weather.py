"""Weather as ingest sees it: what is known of the last hours when it is asked.

Output   rows of WEATHER_HOURLY_RAW, one per hour up to the one of reading, `fetched_at` when they
         were read: of the hour under way what was known by then, told anew when it changes.
Raises   SourceError when nothing could be read; the message says why.

Adapter: `meteostat`. A recording's own weather is `recorded_weather`.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

# What has to stand wherever data of a provider, or what was made of them, is shown.
ATTRIBUTIONS = {
    "meteostat": "Weather: Meteostat (https://meteostat.net), CC BY 4.0, interpolated",
}

if TYPE_CHECKING:
    import pandas as pd


class WeatherSource(Protocol):
    """Where the weather of one city comes from."""

    def read(self, at: datetime) -> "pd.DataFrame":
        """The hours up to `at`, the time of reading."""
        ...
