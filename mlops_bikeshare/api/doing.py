"""What each kind of job does: one flow, and what is told of its result.

Input    a workspace, a city, what was asked (as `asked` has checked it).
Output   plain JSON values.
Raises   whatever the flow raises.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.reports import to_json
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import Window, parse_hours
from mlops_bikeshare.flows import gate as gating
from mlops_bikeshare.flows import promote as moving
from mlops_bikeshare.flows import train as training
from mlops_bikeshare.registry import versions
from mlops_bikeshare.training.split import Split

TEST_ROUNDS, TEST_ROWS = 10, 20_000
Asked = Mapping[str, Any]
Told = dict[str, Any]


def train(ws: Workspace, city: City, asked: Asked) -> Told:
    """Train and register; in test mode small, and without an alias."""
    test_mode = bool(asked["test_mode"])
    split = _split(ws, city, asked["window"])
    made = training.train(
        _small(ws) if test_mode else ws,
        city,
        split,
        label="test" if test_mode else "train",
        alias=None if test_mode else versions.CHALLENGER,
    )
    told = [q for q in made.quality if q.horizon_min == PROMISE_MIN]
    wanted = asked["target"]
    return {
        "run_id": made.run_id,
        "version": made.version,
        "artefact_digest": made.artefact_digest,
        "split": {name: _said(part) for name, part in _parts(split).items()},
        "rows": made.rows,
        "seconds": round(made.seconds, 2),
        "metrics": {q.target: to_json(q) for q in told if wanted in {"both", q.target}},
        "decision": "none: test mode" if test_mode else versions.CHALLENGER,
    }


def gate(ws: Workspace, city: City, asked: Asked) -> Told:
    """The verdict with its checks; a fail is a result, not a failure of the job."""
    hours = None if asked["window"] is None else parse_hours(asked["window"], key="window")
    told: Told = to_json(gating.gate(ws, city, endpoint=asked["endpoint"], hours=hours))
    return told


def promote(ws: Workspace, city: City, asked: Asked) -> Told:
    """What moved, or what a canary waits for."""
    done = moving.canary(ws, city) if asked["canary"] else moving.promote(ws, city)
    return {**to_json(done), "summary": moving.summary(ws, done)}


def rollback(ws: Workspace, city: City, asked: Asked) -> Told:
    """What is back."""
    done = moving.rollback(ws, city, reason=asked["reason"], to=asked["to"])
    return {**to_json(done), "summary": moving.summary(ws, done)}


DOES: Mapping[str, Callable[[Workspace, City, Asked], Told]] = {
    "train": train,
    "gate": gate,
    "promote": promote,
    "rollback": rollback,
}


def _split(ws: Workspace, city: City, window: str | None) -> Split:
    if window is None:
        return training.choose_split(ws, city)
    return training.by_shares(Window.parse(window, key="window"))


def _small(ws: Workspace) -> Workspace:
    """The same workspace with a training of seconds."""
    rows = min(TEST_ROWS, ws.settings.training.max_rows)
    rounds = min(TEST_ROUNDS, ws.settings.training.rounds)
    training_ = dataclasses.replace(ws.settings.training, rounds=rounds, max_rows=rows)
    return Workspace(dataclasses.replace(ws.settings, training=training_), ws.clock)


def _parts(split: Split) -> dict[str, Window | None]:
    return {"train": split.train, "calibrate": split.calibrate, "test": split.test}


def _said(part: Window | None) -> str | None:
    return None if part is None else str(part)
