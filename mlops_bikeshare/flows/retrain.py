"""Retrain: look at the champion, decide, learn from old and new days, judge twice, stage.

In this order: the champion on fresh labels → drift → the decision → features of the newest days →
training on the baseline and the last days → double evaluation → REJECT, SKIP or DEPLOY → staging →
audit. The recent days judge, so nothing learns from them; the frozen days are those that the first
champion was tested on, kept with its figures in the workspace, and nothing ever learns from them.

Input    the city's champion with its tags, metrics of production, stored features; `check`: explain
         and stop; `force`: retrain though nothing asks for it; `freeze`: take the frozen days, the
         baseline and the floor from today's champion instead of the first.
Output   Retrained: the choice with its reasons and, where it trained, version and verdict.
Raises   ModelError without a champion, InputError when it kept no test days or there are too few
         newer days to learn from and to judge by. What was trained until then stays registered,
         without an alias.

A challenger that staging judges still (its day is not over, or it has passed and waits) is not
replaced, unless by `force`: the new version stays registered, and the record says why.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, InputError
from mlops_bikeshare.domain.targets import PROMISE_MIN, TARGETS
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import deploy, features, model_packages, records, tracking
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.process.progress import Track, silent
from mlops_bikeshare.flows.runs import champion, outcome, two_sets
from mlops_bikeshare.flows.runs.champion import Anchor
from mlops_bikeshare.flows.runs.two_sets import Answers, Asked
from mlops_bikeshare.flows.train import name_version, train
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.release import history
from mlops_bikeshare.release.double_evaluation import Decision, Frozen, decide, sliding
from mlops_bikeshare.release.retrain import Choice, choose
from mlops_bikeshare.training.split import MIN_TRAIN_DAYS, Split, days_before

CALIBRATE_SHARE = 1 / 6
MOST_CALIBRATE_DAYS = 7
KIND = "retrain"
Ask = Callable[[Window, Sequence[str]], tuple[Asked, list[Answers]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """What a check or a retraining came to; `verdict` is None where nothing was trained."""

    city: str
    champion: str
    choice: Choice
    split: Split | None = None
    version: str | None = None
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    endpoint: str | None = None


def _told(done: Retrained) -> Told:
    wrote = {"version": done.version, "verdict": done.verdict, "endpoint": done.endpoint}
    said = {"choice": done.choice.row, "cause": done.choice.cause}
    return Told(read={"champion": done.champion, **said}, wrote=wrote)


@logged("retrain", _told)
def retrain(
    ws: Workspace,
    city: City,
    *,
    check: bool = False,
    force: bool = False,
    freeze: bool = False,
    track: Track = silent,
) -> Retrained:
    """Decide whether to retrain; do it, and stage what is better."""
    if check:
        return _looked(ws, city)[1]
    with outcome.posted(ws, city, "retrain", asked=force):
        standing, looked = _looked(ws, city)
        if looked.choice.row == "WAIT" and not force:
            return _recorded(ws, looked)
        judged.check_label(ws, city, standing.version, city.label, whose="a new version would be")
        done = _done(ws, city, looked, standing, freeze=freeze, track=track)
        acted = _acted(ws, city, done, force=force)
        model_packages.after(ws, city, f"the verdict on version {done.version}")
        return acted


def _looked(ws: Workspace, city: City) -> tuple[ModelVersion, Retrained]:
    """The champion, and whether it calls for a retraining."""
    tracking.connect(ws)
    standing = versions.find(city.registered_model, versions.CHAMPION)
    choice = choose(champion.facts(ws, city, standing), champion.limits(ws, standing))
    return standing, Retrained(city=city.name, champion=standing.version, choice=choice)


def _done(
    ws: Workspace,
    city: City,
    looked: Retrained,
    standing: ModelVersion,
    *,
    freeze: bool,
    track: Track,
) -> Retrained:
    """Train, and judge on both sets."""
    features.build(ws, city, track=track)
    anchor = champion.anchor(ws, city, standing, freeze=freeze)
    split = _split(ws, city, standing, anchor)
    champion.keep(ws, city, anchor)
    trained = train(ws, city, split, label=KIND, alias=None, track=track)
    ask = partial(_asked, ws, city, seed=anchor.seed, track=track)
    decision = _decision(ws, ask, anchor, split, pair=(trained.version, standing.version))
    done = replace(
        looked,
        split=split,
        version=trained.version,
        verdict=decision.verdict,
        reasons=decision.reasons,
    )
    versions.set_tags(city.registered_model, trained.version, _tags(done))
    return done


def summary(done: Retrained) -> str:
    """The choice and its reasons; then the verdict and its own."""
    lines = [f"{done.city}, champion {done.champion}: {done.choice.row} ({done.choice.cause})"]
    lines += [f"  {reason}" for reason in done.choice.reasons]
    if done.verdict is not None:
        where = f", now on {done.endpoint}" if done.endpoint else ""
        lines.append(f"version {done.version}: {done.verdict}{where}")
        lines += [f"  {reason}" for reason in done.reasons]
    return "\n".join(lines)


def _split(ws: Workspace, city: City, standing: ModelVersion, anchor: Anchor) -> Split:
    """Baseline and current days to learn from, then days to calibrate, then the recent ones."""
    rules = ws.settings.retrain
    days = ws.lake.days(features.OFFLINE, city=city.name)
    available = Window(Window.day(days[0]).start, Window.day(days[-1]).end)
    part = sliding(
        anchor.baseline, available, days=rules.sliding_days, recent_days=rules.recent_days
    )
    seen = champion.learned_until(standing)
    if part.recent.start < seen:
        msg = f"the champion learned until {seen:%F}, into the recent days {part.recent} that judge"
        raise InputError(f"{msg}; wait for newer days, or lower retrain.recent_days")
    current = part.train[-1]
    share = min(max(1, round(current.duration.days * CALIBRATE_SHARE)), MOST_CALIBRATE_DAYS)
    border = days_before(current.end, share, held_out=anchor.frozen)
    if border - current.start < timedelta(days=MIN_TRAIN_DAYS):
        msg = f"only {current} lies between the baseline {anchor.baseline} and the recent days"
        raise InputError(f"{msg} {part.recent}; wait for more days")
    return Split(
        Window(current.start, border),
        Window(border, current.end),
        part.recent,
        baseline=part.train[0] if len(part.train) > 1 else None,
        held_out=anchor.frozen,
    )


def _decision(
    ws: Workspace, ask: Ask, anchor: Anchor, split: Split, *, pair: tuple[str, str]
) -> Decision:
    """Both sets, asked of the artefacts of candidate and champion."""
    (past, old), (now, new) = ask(anchor.frozen, pair[:1]), ask(split.test or split.calibrate, pair)
    held = two_sets.onset_pr_auc(past, old[0])
    frozen = [
        Frozen(target=t.name, value=held[t.name], floor=anchor.floor[t.name]) for t in TARGETS
    ]
    recent = two_sets.gains(now, *new, seed=anchor.seed)
    metric = f"{two_sets.METRIC} at {PROMISE_MIN} min"
    return decide(frozen, recent, metric=metric, least_gain=ws.settings.retrain.least_gain)


def _asked(
    ws: Workspace, city: City, window: Window, pair: Sequence[str], *, seed: int, track: Track
) -> tuple[Asked, list[Answers]]:
    """The rows of a window, and what each version says of them."""
    rows = two_sets.rows_of(ws, city, window, seed=seed, track=track)
    return rows, [two_sets.answers(ws, city, version, rows) for version in pair]


def _acted(ws: Workspace, city: City, done: Retrained, *, force: bool) -> Retrained:
    """On DEPLOY the version becomes the challenger, on staging; else nothing moves.

    The verdict is put on record whether or not staging takes the version.
    """
    if done.verdict != "DEPLOY" or done.version is None:
        return _recorded(ws, done)
    held = None if force else _still_judged(ws, city)
    if held is not None:
        return _recorded(ws, replace(done, reasons=(*done.reasons, held)))
    try:
        name_version(versions.find(city.registered_model, done.version), versions.CHALLENGER)
        endpoint = deploy.deploy(ws, city, version=done.version).endpoint
    except BikeshareError:
        _recorded(ws, done)
        raise
    return _recorded(ws, replace(done, endpoint=endpoint))


def _still_judged(ws: Workspace, city: City) -> str | None:
    """Why staging's challenger stays: its day is not over, or it passed just now; None: it may go.

    Whoever replaced it each time before its verdict would never see one.
    """
    staging, rules = ws.settings.endpoint("staging", city.name), ws.settings.gate
    challenger = versions.find_if_any(city.registered_model, versions.CHALLENGER)
    reigns = history.reigns(records.audited(ws), staging)
    if challenger is None or not reigns or reigns[-1].version != challenger.version:
        return None
    since, report = reigns[-1].since, records.newest_gate(ws, staging)
    there = f"challenger {challenger.version} stays on {staging}"
    if ws.now - since < timedelta(hours=rules.window_h):
        return f"{there}, where it is judged since {since:%F %H:%M}; deploy this version after it"
    fresh = report is not None and ws.now - report.judged_at <= timedelta(minutes=rules.fresh_min)
    if report is not None and fresh and report.verdict == "pass":
        return f"{there}: it passed the gate at {report.judged_at:%F %H:%M}; promote it first"
    return None


def _tags(done: Retrained) -> dict[str, str]:
    return {
        "retrain": f"{done.choice.row} ({done.choice.cause})",
        "retrain_verdict": str(done.verdict),
        "retrain_reasons": json.dumps(done.reasons),
    }


def _recorded(ws: Workspace, done: Retrained) -> Retrained:
    why = f"{done.choice.row}: {done.choice.cause}"
    records.audit(ws, KIND, why=why, facts=records.facts(done))
    return done
