"""A feed as ingest sees it: looks at station_status and at the list of stations.

A look gives a `Reading`: the good rows (an Arrow table under the schema of STATION_STATUS_RAW or
STATION_INFORMATION_RAW), the rows that were refused (columns of QUARANTINED_ROWS) and, when there
was no usable document, why, with the document as evidence. Adapters: `recorded`, `gbfs`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one look at a document gave; `rows` is None exactly when `failure` says why.

    `observed_at`: the document's own time. `repeated`: rows of stations that were listed before,
    left out in favour of the newest. `unchanged`: the document is the one of the look before.
    """

    fetched_at: datetime
    rows: "pa.Table | None" = None
    refused: "pd.DataFrame | None" = None
    observed_at: datetime | None = None
    repeated: int = 0
    unchanged: bool = False
    failure: str | None = None
    evidence: bytes | None = None

    @property
    def age_s(self) -> float | None:
        """Age of the document when it was read, seconds; None if there was none."""
        if self.observed_at is None:
            return None
        return (self.fetched_at - self.observed_at).total_seconds()


class Feed(Protocol):
    """What a city publishes. A feed that cannot be read gives a Reading with a failure."""

    def read_status(self, at: datetime) -> Reading:
        """The status rows; `at` is the time of the poll."""
        ...

    def read_information(self, at: datetime) -> Reading:
        """The station list; `at` is the time of the poll."""
        ...
