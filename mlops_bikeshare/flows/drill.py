"""Drill: a week of production on a simulated city with faults; what should happen, and what did.

The workspace is always `drill`, made anew. A champion learns from the days before the week; then
faults come one after the other on the simulated clock, through real endpoints, a real host and a
real notification channel (`drilling/`). The week ends with a good challenger, which must
reach production. `days`: a shorter drill has the first faults only.

Output   the report as a dict, also `drill.json` and `drill.html` in the workspace.
Raises   InputError for a drill that is too short, Refused when the first champion is too weak.
"""

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import deploy, features, ingest, rehearsal, serve, tracking
from mlops_bikeshare.flows.drilling import (
    answers,
    challengers,
    drift,
    faults,
    findings_page,
    kept,
)
from mlops_bikeshare.flows.drilling.broken import broken_version, persistence_alone, stump
from mlops_bikeshare.flows.drilling.findings import Fault, Finding, drilled
from mlops_bikeshare.flows.drilling.outside import FaultyFeed, Webhook
from mlops_bikeshare.flows.drilling.production import Production
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.flows.train import by_shares, train
from mlops_bikeshare.settings import DRILL, Settings

CITY = "demo"
START = date(2025, 6, 2)
LEARNED_DAYS = 20
CHAMPION_DAYS = 10
MOST_DAYS = 7
# So many days a drill needs for each of the later faults; a shorter one leaves them out.
DRIFT, EMPTIED, BAD, SILENT, GOOD = 3, 4, 5, 6, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large the city is and how long the drill; the seed makes it exact."""

    stations: int = 300
    days: int = MOST_DAYS
    seed: int = 3

    def __post_init__(self) -> None:
        """Refuse a drill that has no room for a fault, or more days than faults."""
        if not 1 <= self.days <= MOST_DAYS:
            raise InputError(f"--days {self.days}: expected 1 to {MOST_DAYS}")


def drill(settings: Settings, plan: Plan | None = None, *, track: Track = silent) -> dict[str, Any]:
    """Run the week; the report is written whatever was found."""
    chosen, began = plan or Plan(), time.perf_counter()
    with rehearsal.alone(settings, DRILL), closing(Webhook()) as webhook:
        ws, city = _fresh(settings, webhook)
        production, found = _week(ws, city, chosen, webhook, track)
    document = {
        "city": city.name,
        "stations": chosen.stations,
        "days": chosen.days,
        "held": all(finding.held for finding in found),
        "findings": [{**to_json(finding), "held": finding.held} for finding in found],
        "alarms": drilled(production, found),
        "memory_mb": {f"{at:%F}": round(held) for at, held in production.memory.items()},
        "seconds_total": round(time.perf_counter() - began, 1),
    }
    _write(ws, document)
    return document


def summary(document: dict[str, Any]) -> str:
    """A table of fault, expectation and outcome."""
    return findings_page.table(document)


def _week(
    ws: Workspace, city: City, plan: Plan, webhook: Webhook, track: Track
) -> tuple[Production, list[Finding]]:
    days = LEARNED_DAYS + plan.days
    source = rehearsal.simulated(
        ws, city, stations=plan.stations, days=days, seed=plan.seed, start=START
    )
    first = Window.day(START).start + timedelta(days=1)
    history = Window(first, Window.day(START).start + timedelta(days=LEARNED_DAYS))
    ingest.import_recording(ws, city, source.folder, window=history, track=track)
    features.build(ws, city, window=history, track=track)
    older = Window(history.start, history.start + timedelta(days=CHAMPION_DAYS))
    champion = train(ws, city, by_shares(older), label="champion", track=track)
    with serve.hosting(ws):
        deploy.deploy(ws, city, version=champion.version, initial=True)
        production = Production(ws, city, FaultyFeed(source), webhook, track)
        faults_ = _faults(ws, city, plan, history)
        return production, [fault(production, at) for at, fault in faults_]


def _faults(
    ws: Workspace, city: City, plan: Plan, history: Window
) -> Iterator[tuple[datetime, Fault]]:
    """What is done when; versions are made when their time comes."""

    def at(day: int, hour: int) -> datetime:
        return history.end + timedelta(days=day, hours=hour)

    yield at(0, 1), answers.refused_requests
    yield at(0, 3), answers.slow_model
    yield at(0, 5) + timedelta(minutes=40), answers.dying_model
    yield at(0, 8), partial(faults.feed_outage, hours=3)
    yield at(0, 14), faults.host_killed
    yield at(0, 16), faults.weather_dead
    yield at(0, 20), faults.missed_batch
    yield at(0, 21) + timedelta(minutes=10), kept.altered_audit
    yield at(0, 22) + timedelta(minutes=40), partial(kept.broken_features, history=history)
    if plan.days >= DRIFT:
        yield at(1, 0), drift.halved
    if plan.days >= EMPTIED:
        yield at(2, 14), drift.emptied
    if plan.days >= BAD:
        yield at(3, 2), partial(challengers.bad_challenger, version=stump(ws, city, history))
    if plan.days >= SILENT:
        yield at(4, 3), partial(challengers.silent_rollback, version=broken_version(ws, city))
    if plan.days >= GOOD:
        idle = persistence_alone(ws, city)
        said = "a challenger that says what persistence says"
        yield at(4, 4), partial(challengers.bad_challenger, version=idle, fault=said)
        better = train(ws, city, by_shares(history), label="challenger").version
        yield at(5, 4), partial(challengers.good_challenger, version=better)


def _fresh(settings: Settings, webhook: Webhook) -> tuple[Workspace, City]:
    """The drill's workspace, emptied; a host left over from before is stopped."""
    own = settings.with_workspace(DRILL, default_city=CITY)
    own = dataclasses.replace(
        own,
        serving=dataclasses.replace(own.serving, port=0),
        notify=dataclasses.replace(own.notify, urls=webhook.url),
    )
    city = own.city(CITY)
    ws = rehearsal.fresh(own, city)
    tracking.connect(ws)
    return ws, city


def _write(ws: Workspace, document: dict[str, Any]) -> None:
    (ws.path / "drill.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    (ws.path / "drill.html").write_text(findings_page.page(document), encoding="utf-8")
