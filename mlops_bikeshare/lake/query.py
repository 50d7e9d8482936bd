"""SQL over the lake. Views are written once, in Athena's dialect, in `lake/views/`.

Adapters: `duckdb`, `athena`. `sql` is Athena's dialect; the answer is a frame with aware UTC times.
"""

from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

VIEWS = ("v_station_information", "v_predictions", "v_quality")


class Query(Protocol):
    """Runs one statement in Athena's dialect."""

    def run(self, sql: str) -> "pd.DataFrame":
        """The rows; LakeError if the statement fails."""
        ...


def view_sql(name: str) -> str:
    """The SELECT of a view, in Athena's dialect."""
    text = files("mlops_bikeshare.lake") / "views" / f"{name}.sql"
    return text.read_text(encoding="utf-8")
