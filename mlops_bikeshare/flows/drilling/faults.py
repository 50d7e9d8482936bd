"""The faults of a drill: each is done to production, then looked at, and becomes one `Finding`.

Every fault knows what should happen, in words, and the questions that say whether it did: each
question is a sentence with yes or no. A fault held when all are yes. Times are of the simulated
clock: `detected_min` from the fault to the alarm, `restored_min` from its end to the first batch
that the model answered in full.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from mlops_bikeshare.domain.errors import BikeshareError, EndpointError, Refused
from mlops_bikeshare.domain.windows import CADENCE_S, Window
from mlops_bikeshare.flows import deploy, gate, promote, records, retrain
from mlops_bikeshare.flows.drilling.production import Production
from mlops_bikeshare.serving import endpoints

TICK = timedelta(seconds=CADENCE_S)
FULL = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault: when it was, what should happen, and what did."""

    fault: str
    start: datetime
    end: datetime
    expected: str
    happened: Mapping[str, bool]
    detected_min: float | None = None
    restored_min: float | None = None

    @property
    def held(self) -> bool:
        """Whether all that should happen did."""
        return all(self.happened.values())


Fault = Callable[[Production, datetime], Finding]


def feed_outage(p: Production, start: datetime, *, hours: int = 3) -> Finding:
    """The feed answers nothing, and nobody can be told of it at first."""
    p.run(start)
    end = start + timedelta(hours=hours)
    p.feed.dead = True
    p.webhook.close()
    p.run(end)
    p.feed.dead = False
    p.webhook.open()
    p.run(end + timedelta(hours=2))
    alarm = f"{p.prod}-feed-age-warn"
    fired, back = p.fired(alarm, start), _full_again(p, end)
    blind = Window(start + timedelta(minutes=80), end)
    return Finding(
        fault="the feed is down, and the notification channel with it",
        start=start,
        end=end,
        expected="an alarm within 30 min; no batch from nothing; full batches and the news after",
        happened={
            "the feed's age is an alarm within half an hour": _within(fired, start, 30),
            "nothing is predicted once no count is known": not _any_rows(p, blind),
            "batches are full again within half an hour": _within(back, end, 30),
            "the alarm is quiet again": p.quiet(alarm, end) is not None,
            "the channel is told of the alarm once it is back": _told(p, alarm),
        },
        detected_min=_minutes(start, fired),
        restored_min=_minutes(end, back),
    )


def host_killed(p: Production, start: datetime, *, minutes: int = 40) -> Finding:
    """The endpoint host is killed; somebody starts it again."""
    p.run(start)
    before = endpoints.describe(p.ws.clients, p.prod)
    end = start + timedelta(minutes=minutes)
    p.after = {start: p.kill_host, end - TICK: p.start_host}
    p.run(end + timedelta(hours=1))
    alarm = f"{p.prod}-host-down-critical"
    fired, back = p.fired(alarm, start), _full_again(p, end)
    after = endpoints.describe(p.ws.clients, p.prod)
    return Finding(
        fault="the endpoint host is killed",
        start=start,
        end=end,
        expected="an alarm within 20 min; the same endpoint and version after a restart",
        happened={
            "host-down is an alarm within 20 min": _within(fired, start, 20),
            "the endpoint comes back with its config": after.config == before.config,
            "batches are full again within 20 min": _within(back, end, 20),
            "the alarm is quiet again": p.quiet(alarm, end) is not None,
        },
        detected_min=_minutes(start, fired),
        restored_min=_minutes(end, back),
    )


def missed_batch(p: Production, start: datetime) -> Finding:
    """Polls go on, one batch does not run."""
    p.run(start)
    p.silent(start + TICK)
    p.run(start + timedelta(hours=1))
    hole = Window(start, start + TICK)
    report = gate.gate(p.ws, p.city, endpoint=p.prod)
    beats = [c for c in report.checks if c.name.startswith("PredictionHeartbeat")]
    return Finding(
        fault="one batch does not run",
        start=start,
        end=start + TICK,
        expected="a hole stays a hole, the gate sees it, the next batch is full",
        happened={
            "nobody writes predictions for the past": not _any_rows(p, hole),
            "the gate's check of heartbeats does not pass": any(c.verdict != "pass" for c in beats),
            "the next batch is full": _within(_full_again(p, start + TICK), start + TICK, 0),
        },
        restored_min=_minutes(start + TICK, _full_again(p, start + TICK)),
    )


def drift(p: Production, start: datetime, *, hours: int = 12) -> Finding:
    """The feed says half the bikes that there are, everywhere."""
    p.run(start)
    end = start + timedelta(hours=hours)
    p.feed.distortion = _halved
    p.run(end)
    p.feed.distortion = None
    # What looks back for a day holds the last of it as long.
    clean = end + timedelta(hours=26)
    asked = retrain.retrain(p.ws, p.city, check=True).choice
    p.run(clean)
    alarm = f"{p.prod}-psi-critical"
    fired = p.fired(alarm, start)
    return Finding(
        fault="counts drift suddenly",
        start=start,
        end=end,
        expected="PSI is critical within 12 h and quiet a day after; retraining says what it sees",
        happened={
            "critical PSI is an alarm before the drift ends": _within(fired, start, 60 * hours),
            "it is quiet a day after the drift": not _stands(p, alarm, clean),
            "the retraining's reasons name the drift": any("Drift" in r for r in asked.reasons),
        },
        detected_min=_minutes(start, fired),
        restored_min=_minutes(end, p.quiet(alarm, start)),
    )


def bad_challenger(p: Production, start: datetime, *, version: str) -> Finding:
    """A model of one stump is staged, and asks for promotion after a day."""
    p.run(start)
    reigning = endpoints.describe(p.ws.clients, p.prod).leading.version
    deploy.deploy(p.ws, p.city, version=version)
    end = start + timedelta(hours=24)
    p.run(end)
    report = gate.gate(p.ws, p.city)
    refused = _refused(lambda: promote.promote(p.ws, p.city), Refused)
    return Finding(
        fault="a bad challenger",
        start=start,
        end=end,
        expected="the gate fails it for its quality, promotion refuses, production is untouched",
        happened={
            "the gate fails it": report.verdict == "fail",
            "a check of quality is among the reasons": any(
                c.verdict == "fail" and _of_quality(c.name) for c in report.checks
            ),
            "promotion refuses it": refused,
            "production serves what it served": _serves(p, p.prod) == reigning,
        },
    )


def silent_rollback(p: Production, start: datetime, *, version: str) -> Finding:
    """A version whose files are broken is deployed; the endpoint restores the old config."""
    p.run(start)
    before = endpoints.describe(p.ws.clients, p.staging)
    failed = _refused(lambda: deploy.deploy(p.ws, p.city, version=version), EndpointError)
    p.run(start + timedelta(hours=1))
    after = endpoints.describe(p.ws.clients, p.staging)
    kinds = [entry["kind"] for entry in records.audited(p.ws)]
    return Finding(
        fault="the endpoint silently rolls a deploy back",
        start=start,
        end=start,
        expected="the deploy fails and says so; the endpoint serves what it served, in service",
        happened={
            "the deploy fails": failed,
            "the endpoint has its old config": after.config == before.config,
            "and is in service": after.status == "InService",
            "the audit has a failed deploy": "deploy failed" in kinds,
        },
    )


def good_challenger(p: Production, start: datetime, *, version: str) -> Finding:
    """After the last fault: what is good reaches production within 24 clean hours."""
    p.run(start)
    deploy.deploy(p.ws, p.city, version=version)
    end = start + timedelta(hours=24)
    p.run(end)
    report = gate.gate(p.ws, p.city)
    moved = not _refused(lambda: promote.promote(p.ws, p.city), BikeshareError)
    return Finding(
        fault="none: a good challenger",
        start=start,
        end=end,
        expected="24 clean hours after the last fault it passes the gate and is promoted",
        happened={
            "the gate passes it": report.verdict == "pass",
            "production serves it": moved and _serves(p, p.prod) == version,
        },
    )


def _halved(rows: pd.DataFrame) -> pd.DataFrame:
    """Half the bikes; what is gone is docks."""
    bikes = rows["num_bikes_available"] // 2
    docks = rows["num_docks_available"] + rows["num_bikes_available"] - bikes
    kinds = rows.dtypes[["num_bikes_available", "num_docks_available"]]
    halved = rows.assign(num_bikes_available=bikes, num_docks_available=docks)
    return halved.astype(kinds.to_dict())


def _serves(p: Production, endpoint: str) -> str | None:
    return endpoints.describe(p.ws.clients, endpoint).leading.version


def _refused(act: Callable[[], object], kind: type[BikeshareError]) -> bool:
    try:
        act()
    except kind:
        return True
    return False


def _of_quality(name: str) -> bool:
    return any(word in name for word in ("PR-AUC", "F1", "Skill", "persistence", "champion"))


def _full_again(p: Production, since: datetime) -> datetime | None:
    """The first decision time from `since` on that was answered in full."""
    found = p.answered(Window(since, p.ws.now + TICK))
    return min((at for at, share in found.items() if share >= FULL), default=None)


def _any_rows(p: Production, window: Window) -> bool:
    from mlops_bikeshare.domain.tables import INFERENCE

    rows = p.ws.lake.read(INFERENCE, city=p.city.name, window=window, columns=["dt"])
    return bool(np.count_nonzero(rows["dt"].notna()))


def _stands(p: Production, alarm: str, at: datetime) -> bool:
    """Whether an alarm stood at the newest look up to `at`."""
    seen = [up for when, up in p.stood if when <= at]
    return bool(seen) and alarm in seen[-1]


def _told(p: Production, alarm: str) -> bool:
    return any(alarm in text for text in p.webhook.taken)


def _within(at: datetime | None, since: datetime, minutes: float) -> bool:
    return at is not None and at - since <= timedelta(minutes=minutes)


def _minutes(since: datetime, at: datetime | None) -> float | None:
    return None if at is None else (at - since).total_seconds() / 60
