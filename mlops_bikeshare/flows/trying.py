"""Try: from the address of any GBFS feed to a map of the risk now, before there is a model.

Input    the address of gbfs.json.
Output   `Tried`; the page `map.html` and the poll itself in the workspace `try`, so that a second
         try finds the first.
Raises   SourceError with the reason when the feed cannot be used.
Method   persistence: P(out in 30 min | count now), as shares of three cities, where out is at most
         two left at that time. Other `[labels]` count from the first model on, and are told. It
         knows neither this city nor the hour; a model does, after `FIRST_MODEL_DAYS` days of polls.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.clock import Clock, RealClock
from mlops_bikeshare.domain.errors import SourceError
from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.domain.tables import STATION_STATUS
from mlops_bikeshare.domain.targets import BIKEOUT, DOCKOUT, PROMISE_MIN, TARGETS
from mlops_bikeshare.evaluation.persistence import Persistence
from mlops_bikeshare.features.grid import SILENT_S
from mlops_bikeshare.flows import ingest
from mlops_bikeshare.flows.features import station_list
from mlops_bikeshare.flows.live_feed import client_of
from mlops_bikeshare.flows.pages.try_page import page
from mlops_bikeshare.settings import Settings
from mlops_bikeshare.sources.gbfs.feed import GbfsFeed

WORKSPACE = "try"
PAGE = "map.html"
FIRST_MODEL_DAYS = 6
# Measured on a week each of Boston (from 2021-07-31), Taipei and Paris, hourly, rows reported
# within the hour, 397,000 bikes and 380,000 docks: counts 0, 1, 2, ..., and 12 or more.
PRIOR = {
    BIKEOUT.name: Persistence(
        {PROMISE_MIN: (0.867, 0.798, 0.665, 0.286, 0.154, 0.087, 0.056, 0.038, 0.026, 0.02, 0.015,
                       0.013, 0.005)}
    ),
    DOCKOUT.name: Persistence(
        {PROMISE_MIN: (0.813, 0.765, 0.639, 0.288, 0.154, 0.091, 0.055, 0.035, 0.024, 0.017, 0.011,
                       0.009, 0.002)}
    ),
}  # fmt: skip
_RISKY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a feed is, what it says now, and how to go on; `at_risk` counts the known stations.

    `newest_report`: of all stations; None if none says when it reported.
    """

    city: str
    title: str
    version: str
    at: datetime
    stations: int
    known: int
    newest_report: datetime | None
    refused: int
    at_risk: dict[str, int]
    days: int
    label: Label
    page: Path
    next: str


def try_feed(settings: Settings, url: str, *, clock: Clock | None = None) -> Tried:
    """One look at a feed."""
    clock = clock or RealClock()
    with client_of(settings) as client:
        feed = GbfsFeed(url, client=client, clock=clock, language=settings.ingest.language)
        feed.discovered().url("station_status")
        city, title = _city(settings, feed)
        ws = open_workspace(settings.with_workspace(WORKSPACE), simulated=clock.kind == "simulated")
        ws.advance(clock.now())
        at = clock.now()
        listed = feed.read_information(at)
        if listed.failure:
            raise SourceError(listed.failure)
        kept = ingest.poll(ws, city, feed, at)
        if kept.failure:
            raise SourceError(kept.failure)
        ingest.keep_information(ws, city, listed, at)
        version = feed.discovered().version
    risks = _risks(ws, city, clock.now())
    path = ws.path / f"{city.name}-{PAGE}"
    days = len(ws.lake.days(STATION_STATUS, city=city.name))
    path.write_text(
        page(risks, title=title, at=clock.now(), days=days, label=USUAL), encoding="utf-8"
    )
    return Tried(
        city=city.name,
        title=title,
        version=version,
        at=clock.now(),
        stations=len(risks),
        known=int(risks["risk"].notna().sum()),
        newest_report=_newest(risks["last_reported"]),
        refused=kept.refused,
        at_risk={t.name: int((risks[t.probability] >= _RISKY).sum()) for t in TARGETS},
        days=days,
        label=city.label,
        page=path,
        next=_next(settings, city, url),
    )


def summary(tried: Tried) -> str:
    """What a person wants to know."""
    refused = f", {tried.refused} rows refused" if tried.refused else ""
    return "\n".join(
        [
            f"{tried.title}: GBFS {tried.version}, {tried.stations:,} stations{refused}",
            *_outlook(tried),
            *_other_label(tried.label),
            f"map: {tried.page.as_uri()}",
            f"collecting; first model after {FIRST_MODEL_DAYS} whole days of polls",
            f"next: {tried.next}",
        ]
    )


def _outlook(tried: Tried) -> list[str]:
    """The next half hour, of the stations that say anything about it."""
    unknown, lines = tried.stations - tried.known, []
    if tried.known:
        bikes, docks = (tried.at_risk[name] for name in (BIKEOUT.name, DOCKOUT.name))
        lines.append(f"in 30 minutes {bikes:,} are likely out of bikes and {docks:,} out of docks")
    if unknown:
        newest = tried.newest_report
        told = f"; the newest report of all is of {newest:%F %H:%M} UTC" if newest else ""
        many = "none says anything" if not tried.known else f"{unknown:,} say nothing"
        lines.append(f"{many} that could be used: off, or silent for a day{told}")
    return lines


def _other_label(label: Label) -> list[str]:
    """What the settings call out, where the measured shares are of something else."""
    if label == USUAL:
        return []
    return [f"that is: {USUAL}; what [labels] says ({label}) counts from the first model on"]


def _risks(ws: Workspace, city: City, now: datetime) -> pd.DataFrame:
    """Stations with place, counts and risk now; unknown where the station is long silent."""
    status = ws.lake.read(STATION_STATUS, city=city.name)
    newest = status.sort_values("fetched_at").drop_duplicates("station_id", keep="last")
    rows = station_list(ws, city).merge(newest, on="station_id", how="left")
    # Who does not say when it reported did so with its document, which may be of another day.
    reported = rows["last_reported"].fillna(rows["observed_at"])
    silent = (now - reported).dt.total_seconds() > SILENT_S
    for target in TARGETS:
        counts = rows[target.count].astype("float64").fillna(-1).to_numpy()
        off = (
            rows[target.in_service].eq(other=False) | rows["is_installed"].eq(other=False) | silent
        )
        counts = np.where(off.fillna(value=False), -1, counts)
        table = PRIOR[target.name]
        rows[target.probability] = table.predict(counts, horizon_min=PROMISE_MIN)
    return rows.assign(risk=rows[[BIKEOUT.probability, DOCKOUT.probability]].max(axis=1))


def _newest(reported: "pd.Series[pd.Timestamp]") -> datetime | None:
    known = reported.dropna()
    return known.max().to_pydatetime() if len(known) else None


def _city(settings: Settings, feed: GbfsFeed) -> tuple[City, str]:
    """The configured city of this feed, else one made from what the feed says of itself."""
    try:
        told = feed.system()
    except SourceError:
        told = {}
    title = _title(told.get("name")) or str(told.get("system_id") or "this city")
    for city in settings.cities.values():
        if city.gbfs_url == feed.url:
            return city, title
    name = re.sub(r"[^a-z0-9]+", "-", str(told.get("system_id") or title).lower()).strip("-")
    zone = str(told.get("timezone") or "Etc/UTC")
    return City(
        name=name[:40] or "city", timezone=zone, country=_country(zone), label=settings.labels
    ), title


def _title(name: object) -> str | None:
    if isinstance(name, list) and name and isinstance(name[0], dict):
        name = name[0].get("text")
    return name if isinstance(name, str) else None


def _country(zone: str) -> str:
    """The country that a time zone lies in, by the IANA list; XX where it names none."""
    import pytz

    return next((code for code, zones in pytz.country_timezones.items() if zone in zones), "XX")


def _next(settings: Settings, city: City, url: str) -> str:
    if city.name in settings.cities:
        return f"make live CITY={city.name}"
    table = f'[cities.{city.name}]\ntimezone = "{city.timezone}"\ncountry = "{city.country}"'
    return f'add to bikeshare.toml:\n{table}\ngbfs_url = "{url}"\nthen: make live CITY={city.name}'
