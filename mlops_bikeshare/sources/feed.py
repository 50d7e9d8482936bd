"""A feed as ingest sees it: one poll of station_status, one list of stations.

Frames have the columns of STATION_STATUS_RAW and STATION_INFORMATION_RAW (domain/tables).
Adapters: `recorded`.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd


class Feed(Protocol):
    """What a city publishes."""

    def poll(self, at: datetime) -> "pd.DataFrame | None":
        """The status rows as fetched at `at`; None when the poll failed."""
        ...

    def information(self, at: datetime) -> "pd.DataFrame":
        """The station list as fetched at `at`."""
        ...
