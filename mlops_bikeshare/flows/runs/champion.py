"""What a retraining knows of the champion, and the frozen days that every candidate must hold.

Input    the champion's tags (train, calibrate, test, test_pr_auc_<target>), metrics of production.
Output   Facts and Limits of the decision; the Anchor: baseline, frozen days and floor per target.
Raises   InputError when the champion kept no test days, so that there is nothing to freeze, or
         does not say what it learned from.

The anchor is written once, from the champion at the first retraining, and read ever after: a floor
that moved with every champion could sink step by step.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import TARGETS
from mlops_bikeshare.domain.windows import DAY_S, Window
from mlops_bikeshare.flows import records
from mlops_bikeshare.flows.process.progress import silent
from mlops_bikeshare.flows.runs import two_sets
from mlops_bikeshare.monitoring.metrics import MODEL
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.release import history
from mlops_bikeshare.release.retrain import Facts, Limits

TREND_DAYS = 3
TICK = timedelta(seconds=1)
HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What never changes between retrainings; `floor`: onset PR-AUC per target, rows by `seed`."""

    version: str
    seed: int
    baseline: Window
    frozen: Window
    floor: Mapping[str, float]


def facts(ws: Workspace, city: City, standing: ModelVersion) -> Facts:
    """The champion in production as of now, of what was measured since it serves there.

    A day or more after a release production's newest figures are still those of the version before.
    """
    of = {"EndpointName": ws.settings.endpoint("prod", city.name), "City": city.name}
    day = timedelta(days=1)
    since = _serves_since(ws, of["EndpointName"], standing)
    start = None if since is None else max(since + TICK, ws.now - (TREND_DAYS + 1) * day)
    return Facts(
        today=ws.now.date(),
        quality=_latest(ws, "PR-AUC-24h", of, since=since),
        quality_before=_mean(ws, of, start, ws.now - day),
        drift_share=_latest(ws, "DriftShare", of, since=since),
        learned_until=learned_until(standing).date(),
    )


def _serves_since(ws: Workspace, endpoint: str, standing: ModelVersion) -> datetime | None:
    """Since when production is this version's; None where it is not, or not its alone."""
    reigns = history.reigns(records.audited(ws), endpoint)
    mine = bool(reigns) and reigns[-1].shares.get(standing.version) == 1
    return reigns[-1].since if mine else None


def limits(ws: Workspace, standing: ModelVersion) -> Limits:
    """The settings; the warning level is the champion's own, as its test had it."""
    rules, critical = ws.settings.retrain, ws.settings.gate.pr_auc_24h
    known = [standing.tags.get(f"test_pr_auc_{target.name}") for target in TARGETS]
    own = [float(value) for value in known if value is not None]
    warning = min(own) - rules.warning_below if len(own) == len(known) else critical
    return Limits(
        critical=critical,
        warning=max(critical, warning),
        drift_share=rules.drift_share,
        falling=rules.falling,
        most_days=rules.most_days,
        seasons=rules.seasons.split(),
    )


def learned_until(standing: ModelVersion) -> datetime:
    """The end of the days that the champion was calibrated on, the last it learned from."""
    told = standing.tags.get("calibrate")
    if told is None:
        msg = f"champion {standing.version} does not say what it learned from: no tag `calibrate`"
        raise InputError(f"{msg}; `bikeshare train` makes versions that do")
    return Window.parse(told, key="tag calibrate of the champion").end


def anchor(ws: Workspace, city: City, standing: ModelVersion, *, freeze: bool) -> Anchor:
    """The one on disk; made of the champion the first time, or when asked to `freeze` anew.

    One that was made now is not kept yet: `keep` does that, once it is known to be of use.
    """
    known = _kept(ws, city)
    if known is not None and not freeze:
        return known
    test = standing.tags.get("test", "none")
    if test == "none":
        msg = f"champion {standing.version} kept no days for a test, so no days can be frozen"
        raise InputError(f"{msg}; train one with a test (`bikeshare train --test A..B`) first")
    frozen = Window.parse(test, key="tag test of the champion")
    return Anchor(
        version=standing.version,
        seed=ws.settings.training.seed,
        baseline=Window.parse(standing.tags["train"], key="tag train of the champion"),
        frozen=frozen,
        floor=_floor(ws, city, standing, frozen),
    )


def keep(ws: Workspace, city: City, made: Anchor) -> None:
    """Write an anchor that is not there yet; a line in the audit says what holds from now on."""
    if _kept(ws, city) == made:
        return
    ws.state.replace(_name(city), json.dumps(_document(made), indent=1).encode())
    why = f"frozen days of {city.name}: {made.frozen}, by version {made.version}"
    records.audit(ws, "frozen days", why=why, facts={"city": city.name, **_document(made)})


def _name(city: City) -> str:
    return f"retrain/{city.name}.json"


def _floor(ws: Workspace, city: City, standing: ModelVersion, frozen: Window) -> dict[str, float]:
    """What the champion reaches on the frozen days, less what a candidate may lose."""
    rows = two_sets.rows_of(ws, city, frozen, seed=ws.settings.training.seed, track=silent)
    reached = two_sets.onset_pr_auc(rows, two_sets.answers(ws, city, standing.version, rows))
    floor = {}
    for target, value in reached.items():
        if value is None:
            msg = f"no {target} onset in the frozen days {frozen}: they cannot show a regression"
            raise InputError(f"{msg}; train a champion with longer test days")
        floor[target] = value - ws.settings.retrain.frozen_tolerance
    return floor


def _document(made: Anchor) -> dict[str, Any]:
    return {
        "version": made.version,
        "seed": made.seed,
        "baseline": str(made.baseline),
        "frozen": str(made.frozen),
        "floor": dict(made.floor),
    }


def _kept(ws: Workspace, city: City) -> Anchor | None:
    name = _name(city)
    body = ws.state.read(name)
    if body is None:
        return None
    document = json.loads(body)
    return Anchor(
        version=document["version"],
        seed=document["seed"],
        baseline=Window.parse(document["baseline"], key=f"{name}: baseline"),
        frozen=Window.parse(document["frozen"], key=f"{name}: frozen"),
        floor=document["floor"],
    )


def _latest(
    ws: Workspace, name: str, of: Mapping[str, str], *, since: datetime | None
) -> float | None:
    """The newest value of the last day, if it came after `since`."""
    found = ws.metrics.latest(MODEL, name, of, before=ws.now, within_s=DAY_S)
    return found[1] if found and since is not None and found[0] > since else None


def _mean(
    ws: Workspace, of: Mapping[str, str], start: datetime | None, end: datetime
) -> float | None:
    """Mean PR-AUC-24h of the hours between; None where none was posted."""
    if start is None or start >= end:
        return None
    hours = ws.metrics.series(
        MODEL,
        "PR-AUC-24h",
        of,
        window=Window(start, end),
        statistic="Average",
        period_s=HOUR_S,
    )
    values = [value for _, value in hours]
    return float(np.mean(values)) if values else None
