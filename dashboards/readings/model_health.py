"""Model Health: quality of staging and production over a day, drift, reliability.

Output   ModelHealth: `quality` (one query on the quality view), `psi` by the hour, `marks` of
         deploys, promotions and rollbacks, the gate's limits and the drift reports that are kept.
         `serving`: the versions on each endpoint now, as far as the audit knows.
         `reliability`: mean probability and share out by bin, of each endpoint and target.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dashboards.readings import audit, series
from dashboards.readings.choosing import Choice, Empty
from dashboards.readings.clients import Clients, literal, located, opened, typed
from dashboards.readings.series import Asked
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.release import history
from mlops_bikeshare.settings import GateSettings

if TYPE_CHECKING:
    import pandas as pd

DAY_H, PSI_DAYS, HOUR_S = 24, 7, 3600
_REPORTS = "monitoring/drift_reports"
_NAME = re.compile(r"^(?P<endpoint>.+)_(?P<version>[^_]*)_(?P<end>\d{8}T\d{6}Z)$")
_COLUMNS = (
    "endpoint, model_version, target, window_end, samples, onset_samples, decision_times, pr_auc,"
    " f1, brier, ece, onset_pr_auc, brier_skill, onset_brier_skill, persistence_pr_auc,"
    " persistence_brier"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPage:
    """A drift report that is kept as a page."""

    endpoint: str
    version: str
    end: datetime
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHealth:
    """`quality`: a row per endpoint, version, target and end of its 24 h.

    `psi`: at, value, endpoint; `pages`: newest first; `champion`, `challenger`: the endpoints.
    """

    city: City
    now: datetime
    champion: str
    challenger: str
    serving: Mapping[str, frozenset[str]]
    quality: "pd.DataFrame"
    psi: "pd.DataFrame"
    marks: "pd.DataFrame"
    limits: GateSettings
    pages: tuple[DriftPage, ...]
    again: str

    @property
    def newest(self) -> datetime:
        """The end of the newest window that was judged."""
        end: datetime = self.quality["window_end"].max().to_pydatetime()
        return end

    @property
    def stale(self) -> bool:
        """Whether a newer window should have been judged."""
        return self.now - self.newest > timedelta(minutes=self.limits.stale_min)

    def worst_psi(self, endpoint: str) -> float | None:
        """Of the last day, as the gate looks at it; None where drift was not judged lately."""
        mine = self.psi[self.psi["endpoint"] == endpoint]
        lately = self.now - timedelta(seconds=2 * HOUR_S + 1)
        if mine.empty or mine["at"].max() + timedelta(seconds=HOUR_S) < lately:
            return None
        return float(mine.loc[mine["at"] >= self.now - timedelta(hours=DAY_H), "value"].max())


def read(choice: Choice, clients: Clients) -> ModelHealth | Empty:
    """A day of quality, a week of drift."""
    found = located(choice)
    if isinstance(found, Empty):
        return found
    ws, city = found
    quality = clients.query.run(
        f"SELECT {_COLUMNS} FROM {choice.views.quality} WHERE city = {literal(city.name)}"
        f" AND horizon_min = {PROMISE_MIN} ORDER BY window_end"
    )
    again = typed(ws, f"monitor --city {city.name}")
    if quality.empty:
        what = f"No window of predictions for {city.name} was judged yet."
        todo = f"Labels mature {PROMISE_MIN + 10} min after a batch; then judge them:"
        return Empty(what, todo, again)
    decisions = audit.decisions(ws, city)
    return ModelHealth(
        city=city,
        now=ws.now,
        champion=ws.settings.endpoint("prod", city.name),
        challenger=ws.settings.endpoint("staging", city.name),
        quality=quality,
        psi=_psi(choice, clients, city, sorted(quality["endpoint"].unique()), ws.now),
        serving=_serving(decisions, sorted(quality["endpoint"].unique())),
        marks=audit.moves(decisions),
        limits=ws.settings.gate,
        pages=tuple(_pages(ws, city)),
        again=again,
    )


def page_of(choice: Choice, key: str) -> str:
    """The HTML of a drift report."""
    ws = opened(choice)
    return "" if isinstance(ws, Empty) else ws.lake.store.read(key).decode()


def reliability(choice: Choice, now: datetime) -> "pd.DataFrame":
    """Of the times a probability was said, how often it came true, over the last day."""
    import pandas as pd

    from mlops_bikeshare.flows.judging.compared import compared

    columns = ["endpoint", "version", "target", "mean_p", "share_out", "rows"]
    found = located(choice)
    if isinstance(found, Empty):
        return pd.DataFrame(columns=columns)
    ws, city = found
    rows = [
        (served.report.endpoint, served.version, target, *point)
        for served in compared(ws, city, Window.before(now, hours=DAY_H))
        for target, curves in served.curves.items()
        if curves.model is not None
        for point in zip(
            curves.model.mean_p, curves.model.share_out, curves.model.bin_rows, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=columns)


def _serving(decisions: "pd.DataFrame", endpoints: list[str]) -> dict[str, frozenset[str]]:
    """The versions with a share of each endpoint's traffic; nothing of one no decision is about."""
    entries = audit.entries(decisions)
    reigns = {name: history.reigns(entries, name) for name in endpoints}
    return {
        name: frozenset(version for version, share in told[-1].shares.items() if share > 0)
        for name, told in reigns.items()
        if told
    }


def _psi(
    choice: Choice, clients: Clients, city: City, endpoints: list[str], now: datetime
) -> "pd.DataFrame":
    asked = [
        Asked(
            namespace=choice.namespace,
            name="PSI",
            dimensions={"EndpointName": name, "City": city.name},
            statistic="Maximum",
            labels={"endpoint": name},
        )
        for name in endpoints
    ]
    window = Window(now - timedelta(days=PSI_DAYS), now + timedelta(minutes=1))
    if clients.metrics is None:
        import pandas as pd

        return pd.DataFrame(columns=["at", "value", "endpoint"])
    return series.frame(clients.metrics, asked, window.widened(step_s=HOUR_S), period_s=HOUR_S)


def _pages(ws: Workspace, city: City) -> list[DriftPage]:
    """The drift pages of the city's endpoints, newest first."""
    prod = ws.settings.endpoint("prod", city.name)
    mine = {ws.settings.endpoint("staging", city.name), prod}
    keys = [key for key in ws.lake.store.keys(_REPORTS) if key.endswith(".html")]
    matched = [(key, _NAME.match(PurePosixPath(key).stem)) for key in keys]
    found = [
        DriftPage(endpoint=m["endpoint"], version=m["version"], end=_time(m["end"]), key=key)
        for key, m in matched
        if m and m["endpoint"] in mine
    ]
    return sorted(found, key=lambda page: (page.end, page.endpoint == prod), reverse=True)


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
