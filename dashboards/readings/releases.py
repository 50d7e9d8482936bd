"""Releases: what was decided, by whom and why; what served when; where MLflow shows more.

Output   Releases: decisions newest first, reigns of production newest first, verdicts with their
         checks; or Empty.
Raises   TableError when the audit of the workspace was altered.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from dashboards.readings import audit
from dashboards.readings.choosing import Choice, Empty
from dashboards.readings.clients import located, typed
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.release import history
from mlops_bikeshare.release.history import Reign

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """`decisions`: see readings.audit; `mlflow`: the address of its window.

    `proven`: lines of the audit whose chain holds, None where the file is elsewhere.
    """

    city: City
    now: datetime
    decisions: "pd.DataFrame"
    reigns: tuple[Reign, ...]
    mlflow: str
    mlflow_runs_here: bool
    proven: int | None

    def version_link(self, version: str | None) -> str | None:
        """The version in MLflow's window."""
        model = self.city.registered_model
        return f"{self.mlflow}/#/models/{model}/versions/{version}" if version else None


def read(choice: Choice) -> Releases | Empty:
    """The whole history of a city."""
    from mlops_bikeshare.flows import records, tracking

    found = located(choice)
    if isinstance(found, Empty):
        return found
    ws, city = found
    rows = audit.decisions(ws, city)
    if rows.empty:
        what = f"Nothing was deployed or decided for {city.name} yet."
        todo = "Deploy a first version:"
        return Empty(what, todo, typed(ws, "deploy --alias challenger --initial"))
    window = tracking.window(choice.settings)
    told = history.reigns(audit.entries(rows), ws.settings.endpoint("prod", city.name))
    return Releases(
        city=city,
        now=ws.now,
        decisions=rows.iloc[::-1].reset_index(drop=True),
        reigns=tuple(reversed(told)),
        mlflow=window,
        mlflow_runs_here=window == tracking.WINDOW,
        proven=len(records.audited(ws)) if (ws.path / "audit.jsonl").is_file() else None,
    )
