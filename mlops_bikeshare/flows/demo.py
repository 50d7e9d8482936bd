"""Demo: the whole lifecycle on one city, from a recording to a promotion and a rollback.

Without a recording the city is simulated. The champion learns from the older half, the challenger
from everything before the replayed day; neither model, calibration nor profile sees that day. The
workspace is always `demo`, and is made anew.

Output   the report as a dict, also `report.json` and `report.html` in the workspace.
Raises   SourceError or InputError for a recording that is missing, malformed or too short,
         Refused when the first champion is not good enough to serve at all.
"""

import dataclasses
import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError, Refused
from mlops_bikeshare.domain.reports import GateReport, QualityReport, to_json
from mlops_bikeshare.domain.windows import Window, parse_time
from mlops_bikeshare.flows import (
    deploy,
    features,
    gate,
    ingest,
    promote,
    rehearsal,
    replay,
    report,
    serve,
)
from mlops_bikeshare.flows import train as training
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.flows.promote import Moved
from mlops_bikeshare.flows.replay import Replayed
from mlops_bikeshare.flows.train import Trained
from mlops_bikeshare.settings import DEMO, Settings
from mlops_bikeshare.sources.recorded import Recording, open_recording
from mlops_bikeshare.sources.simulator.simulate import check
from mlops_bikeshare.training.split import Split

SIMULATED = "demo"
DEFAULT_DAY = "2021-09-01"
LEAST_DAYS = 6
ENOUGH_ROWS = 300_000  # of a simulated city, so that a demo is done in three minutes
DRILL = "drill: the way back must be known before it is needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The city to simulate: the seed makes it exact."""

    stations: int = 300
    days: int = 21
    seed: int = 3
    start: date = date(2025, 6, 2)

    def __post_init__(self) -> None:
        """Refuse a city that cannot be simulated, or is too short to learn from and replay."""
        check(stations=self.stations, days=self.days, seed=self.seed)
        if self.days <= LEAST_DAYS:
            msg = f"days: expected at least {LEAST_DAYS + 1}, {LEAST_DAYS} to learn from and one to"
            raise InputError(f"{msg} replay, got {self.days}")

    @property
    def span(self) -> Window:
        """The simulated days."""
        first = Window.day(self.start).start
        return Window(first, first + timedelta(days=self.days))

    @property
    def last_day(self) -> str:
        """The day that is replayed unless another is asked for."""
        return f"{self.start + timedelta(days=self.days - 1)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """Everything the report tells."""

    city: City
    stations: int
    window: Window
    challenger: Trained
    replayed: Replayed
    verdict: GateReport
    promotion: Moved | None
    rollback: Moved | None
    seconds: float


def demo(
    settings: Settings,
    *,
    city: str | None = None,
    recording: Path | None = None,
    day: str | None = None,
    simulation: Simulation | None = None,
    track: Track = silent,
) -> dict[str, Any]:
    """Run the lifecycle; the report is written whatever the verdict."""
    began = time.perf_counter()
    if recording is None and city not in {None, SIMULATED}:
        msg = f"--city {city} is a real city, which is not simulated: give its --recording"
        raise InputError(f"{msg}, or leave --city out")
    where = settings.city(city or (SIMULATED if recording is None else None))
    plan = simulation or Simulation()
    # All is checked before the old demo goes: a wrong folder or day must not cost the last report.
    source = open_recording(recording) if recording else None
    if source:
        replayed = _day(source.span, day or DEFAULT_DAY, of=str(source.folder))
    else:
        replayed = _day(plan.span, day or plan.last_day, of="the simulated city")
    with rehearsal.alone(settings, DEMO):
        ws = _fresh(settings if source else _smaller(settings), where)
        told = _lifecycle(ws, where, source or _simulated(ws, where, plan), replayed, track)
        return report.write(ws, _document(told, time.perf_counter() - began))


def summary(document: dict[str, Any]) -> str:
    """What happened, in a few lines."""
    return report.summary(document)


def _day(span: Window, day: str, *, of: str) -> Window:
    """The UTC day to replay, which must lie in `span` with enough days before it."""
    window = Window.day(parse_time(day, key="--day").date())
    first = span.start + timedelta(days=LEAST_DAYS)
    if not first <= window.start < span.end:
        msg = f"--day {window.start:%F}: {of} covers {span}; choose a day"
        raise InputError(f"{msg} with at least {LEAST_DAYS} recorded days before it")
    return window


def _fresh(settings: Settings, city: City) -> Workspace:
    """The demo's workspace, on any free port."""
    own = settings.with_workspace(DEMO, default_city=city.name)
    own = dataclasses.replace(own, serving=dataclasses.replace(own.serving, port=0))
    return rehearsal.fresh(own, city)


def _smaller(settings: Settings) -> Settings:
    training = settings.training
    fewer = dataclasses.replace(training, max_rows=min(training.max_rows, ENOUGH_ROWS))
    return dataclasses.replace(settings, training=fewer)


def _simulated(ws: Workspace, city: City, plan: Simulation) -> Recording:
    made = {"stations": plan.stations, "days": plan.days, "seed": plan.seed}
    return rehearsal.simulated(ws, city, **made, start=plan.start)


def _lifecycle(ws: Workspace, city: City, source: Recording, day: Window, track: Track) -> _Told:
    began = time.perf_counter()
    history = Window(_midnight_after(source.span.start), day.start)
    ingest.import_recording(ws, city, source.folder, window=history, track=track)
    features.build(ws, city, window=history, track=track)
    champion = training.train(ws, city, _older_half(history), label="champion", track=track)
    challenger = training.train(ws, city, _all_of(history), label="challenger", track=track)
    promotion = rollback = None
    with serve.hosting(ws):
        _first(ws, city, champion)
        deploy.deploy(ws, city, version=challenger.version)
        replayed = replay.replay(ws, city, source, day, track=track)
        verdict = gate.gate(ws, city)
        if verdict.verdict == "pass":
            promotion = promote.promote(ws, city)
            rollback = promote.rollback(ws, city, reason=DRILL)
    return _Told(
        city=city,
        stations=len(features.station_list(ws, city)),
        window=day,
        challenger=challenger,
        replayed=replayed,
        verdict=verdict,
        promotion=promotion,
        rollback=rollback,
        seconds=time.perf_counter() - began,
    )


def _first(ws: Workspace, city: City, champion: Trained) -> None:
    try:
        deploy.deploy(ws, city, version=champion.version, initial=True)
    except Refused as error:
        msg = f"the demo ends before its replay, because its first champion is too weak: {error}"
        raise Refused(
            f"{msg}. A city of more --stations and --days gives it more to learn"
        ) from None


def _midnight_after(at: datetime) -> datetime:
    """The first midnight at or after `at`, give or take the minutes a recording starts late."""
    early = at - timedelta(minutes=30)
    start = Window.day(early.date()).start
    return start if early == start else start + timedelta(days=1)


def _older_half(history: Window) -> Split:
    half = timedelta(days=max(5, history.duration // timedelta(days=2)))
    return training.by_shares(Window(history.start, history.start + half))


def _all_of(history: Window) -> Split:
    """All of it: the end calibrates, and the replayed day is the test."""
    days = history.duration // timedelta(days=1)
    part = timedelta(days=min(7, max(1, days // 6)))
    return Split(Window(history.start, history.end - part), Window(history.end - part, history.end))


def _document(told: _Told, seconds_total: float) -> dict[str, Any]:
    """The report, as documented in docs/report.md."""
    verdict = told.verdict
    return {
        "city": told.city.name,
        "stations": told.stations,
        "window": str(told.window),
        "train": {"rows": told.challenger.rows, "seconds": round(told.challenger.seconds, 1)},
        "quality": _quality(told),
        "replay": {
            "batches": told.replayed.batches,
            "polls": told.replayed.polls,
            "failed_batches": told.replayed.failed_batches,
            "failed_polls": told.replayed.failed_polls,
            "seconds": round(told.replayed.seconds, 1),
        },
        "gate": {
            "verdict": verdict.verdict,
            "model_version": verdict.model_version,
            "window": str(verdict.window),
            "checks": to_json(verdict.checks),
        },
        "promotion": _moved(told.promotion),
        "rollback": _moved(told.rollback),
        "seconds_total": round(seconds_total, 1),
    }


def _quality(told: _Told) -> dict[str, Any]:
    """The challenger on the replayed day, at the promised horizon."""
    found: list[QualityReport] = [
        q for q in told.replayed.quality if q.model_version == told.challenger.version
    ]
    return {
        q.target: {
            "rows": q.model.rows,
            "pr_auc": q.model.pr_auc,
            "brier": q.model.brier,
            "brier_skill": q.brier_skill,
            "ece": q.model.ece,
            "f1": q.model.f1,
            "onset_pr_auc": q.model.onset_pr_auc,
            "onset_brier_skill": q.onset_brier_skill,
            "persistence": {
                "pr_auc": q.persistence.pr_auc,
                "brier": q.persistence.brier,
                "onset_pr_auc": q.persistence.onset_pr_auc,
            },
        }
        for report_ in found
        for q in report_.targets
    }


def _moved(moved: Moved | None) -> dict[str, Any] | None:
    return None if moved is None else {**to_json(moved), "seconds": round(moved.seconds, 2)}
