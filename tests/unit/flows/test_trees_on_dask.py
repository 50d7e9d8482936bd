"""Trees that grow on rows which two workers share, and what becomes of them when one dies."""

import ctypes
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.evaluation.resampled import blocks, draws, interval, resample
from mlops_bikeshare.flows import features, ingest, train_on_dask
from mlops_bikeshare.flows.process.progress import silent
from mlops_bikeshare.flows.runs import training_table
from mlops_bikeshare.flows.scaling import cluster, companions, shared_trees
from mlops_bikeshare.flows.train import plan_of
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.simulator.simulate import simulate
from mlops_bikeshare.training.by_horizon import importance
from mlops_bikeshare.training.candidate import HORIZON_FEATURE, Candidate, train_candidate
from mlops_bikeshare.training.fit import FitParams, Rows, fit_targets
from mlops_bikeshare.training.split import Split

TOML = """
default_city = "small"
[training]
rounds = 30
threads = 1
max_rows = 20000
[cities.small]
timezone = "America/Toronto"
country = "CA"
"""
SPLIT = Split(
    Window.parse("2025-06-03..2025-06-07", key="train"),
    Window.parse("2025-06-07..2025-06-08", key="calibrate"),
    Window.parse("2025-06-08..2025-06-10", key="test"),
)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    pytest.importorskip("distributed", reason="Dask is not installed: `make dask`")
    with cluster.client(None, workers=2) as found:
        yield found


def rows(count: int, *, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(count, 6)).astype(np.float32)
    matrix[:, -1] = rng.choice([30, 60, 120], size=count)
    out = matrix[:, 0] + matrix[:, 1] + rng.normal(size=count) > 1
    some = np.where(rng.random(count) < 0.5, out, np.nan)
    labels = {"all": out.astype(np.float32), "some": some.astype(np.float32)}
    return Rows(matrix=matrix, labels=labels)


NAMES = [*"abcde", HORIZON_FEATURE]
GIVEN: dict[str, Any] = {
    "train": rows(3000, seed=1),
    "early_stop": rows(1000, seed=2),
    "names": NAMES,
    "params": FitParams(rounds=25, leaves=7, threads=1),
    "of_one_horizon": ["all"],
}


def network(text: str) -> list[str]:
    """What a model says of the machines that grew it."""
    about = r"\[(?:machines|num_machines|local_listen_port|time_out|machine_list_filename): .*"
    return re.findall(about, text)


def onset_pr_auc(of: Candidate, target: str) -> tuple[float, tuple[float, float]]:
    """On the test days at the promised horizon, with its 95 % interval."""
    held = of.held[target]
    (told,) = [q for q in of.quality if (q.target, q.horizon_min) == (target, PROMISE_MIN)]
    block, _ = blocks(held.dt)
    spread = resample(
        held.y,
        held.model,
        already_out=held.already_out,
        block=block,
        weights=draws(int(block.max()) + 1, seed=0),
        threshold=None,
    )
    between = interval(spread["onset_pr_auc"])
    assert between is not None
    assert told.model.onset_pr_auc is not None
    return told.model.onset_pr_auc, between


@pytest.mark.long
def test_a_model_of_two_workers_is_as_good_as_that_of_one_process(
    client: Any, tmp_path: Path
) -> None:
    recording = tmp_path / "recording"
    made = simulate(stations=25, days=8, seed=3, start=date(2025, 6, 2), timezone="America/Toronto")
    made.write(recording)
    (tmp_path / "bikeshare.toml").write_text(TOML)
    ws = open_workspace(load(tmp_path, {}, {}), simulated=True)
    city = ws.settings.city(None)
    ingest.import_recording(ws, city, recording)
    features.build(ws, city)
    plan = plan_of(ws.settings)
    table = training_table.load(ws, city, SPLIT, plan, silent)
    alone = train_candidate(table, SPLIT, plan=plan)
    shared = train_candidate(table, SPLIT, plan=plan, grow=partial(shared_trees.grow, client))
    assert shared.rows == alone.rows
    for target, trees in shared.boosters.items():
        (ours, _), (theirs, (low, high)) = (onset_pr_auc(c, target) for c in (shared, alone))
        assert low <= ours <= high, (ours, theirs)
        for served, part in trees.parts.items():
            assert (part.importance[HORIZON_FEATURE] > 0) == (served != (PROMISE_MIN,))
        assert importance(trees).keys() == importance(alone.boosters[target]).keys()
    trained = train_on_dask.train(ws, city, SPLIT, scheduler=client.scheduler.address)
    assert trained.version == "1"
    assert trained.rows == alone.rows["fit"]
    assert min(trained.trees.values()) > 1


def test_trees_stop_where_the_early_stopping_rows_say(client: Any) -> None:
    seen: list[tuple[str, int, int]] = []
    shared = shared_trees.grow(client, progress=lambda *at: seen.append(at), **GIVEN)
    alone = fit_targets(**GIVEN)
    for label, fitted in shared.items():
        assert fitted.best_iteration == int(np.argmin(fitted.curve)) + 1
        y = GIVEN["early_stop"].labels[label]
        known = np.isfinite(y)
        p = fitted.predict(GIVEN["early_stop"].matrix[known], threads=1)
        loss = -np.mean(np.log(np.where(y[known] == 1, p, 1 - p)))
        assert loss == pytest.approx(min(fitted.curve))
        assert loss == pytest.approx(min(alone[label].curve), rel=0.1)
        assert [at for at in seen if at[0] == label][-1] == (label, len(fitted.curve), 25)
    assert shared["all"].importance[HORIZON_FEATURE] == 0
    for label, fitted in shared.items():
        assert network(fitted.text) == network(alone[label].text)
        for worker in client.scheduler_info()["workers"].values():
            assert worker["host"] not in fitted.text
    assert all(client.run(lambda: os.path.sameopenfile(1, 2)).values())  # stdout is for results


def test_rows_of_one_class_are_refused_before_they_travel(client: Any) -> None:
    given = GIVEN["train"]
    never = Rows(matrix=given.matrix, labels={"all": np.zeros(len(given.matrix), np.float32)})
    with pytest.raises(InputError, match="expected both classes"):
        shared_trees.grow(client, **{**GIVEN, "train": never})


def test_a_label_that_one_worker_would_know_nothing_of_is_dealt_out_anew(client: Any) -> None:
    given = GIVEN["train"]
    known = np.full(len(given.matrix), np.nan, np.float32)
    known[::2] = given.labels["all"][::2]
    one_sided = Rows(matrix=given.matrix, labels={"all": known})
    fitted = shared_trees.grow(client, **{**GIVEN, "train": one_sided})
    assert fitted["all"].curve[-1] < fitted["all"].curve[0]


def test_fewer_known_rows_than_workers_are_refused() -> None:
    few = np.full(3000, np.nan, np.float32)
    few[:2] = 0, 1
    train = Rows(matrix=GIVEN["train"].matrix, labels={"all": few})
    with pytest.raises(InputError, match="known of 2 training rows, for 3 workers"):
        shared_trees._check_known(train, ["all"], workers=3)


def test_a_second_training_waits_for_the_first(
    client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    order: list[str] = []

    def second() -> None:
        with companions.alone(client):
            order.append("second")

    waits = threading.Thread(target=second)
    with companions.alone(client):
        waits.start()
        while waits.is_alive() and "this one waits for it" not in caplog.text:
            waits.join(0.05)
        order.append("first")
    waits.join()
    assert order == ["first", "second"]


class _Meddled:
    """Trees of `label` grow for ever, until every worker grows them and `meddle` was called."""

    def __init__(self, client: Any, label: str, meddle: Callable[[], None]) -> None:
        self.client, self.label, self.meddle = client, label, meddle
        self.grown = shared_trees._grown
        self.begun: list[str] = []
        self.done = False

    def grow(self, given: Any, train: Rows, stop: Rows, label: str, **told: Any) -> Any:
        self.begun.append(label)
        if label == self.label and not self.done:
            endless = replace(GIVEN["params"], rounds=10**6, early_stopping=10**6)
            told["params"] = endless
        return self.grown(given, train, stop, label, **told)

    def wait(self, fitting: list[Any], timeout: float) -> Any:
        if self.label in self.begun and not self.done:
            at = self.client.run(growing).values()
            if all(thread is not None for thread in at):
                self.done = True
                self.meddle()
        return wait(fitting, timeout=timeout)


def growing(dask_worker: Any) -> int | None:
    """The thread in which trees grow on a worker."""
    threads = dask_worker.active_threads.items()
    return next((id_ for id_, key in threads if str(key).startswith("_train_part")), None)


def runs_out_of_memory(dask_worker: Any) -> None:
    """As it is when numpy or LightGBM asks for more than there is."""
    thread = growing(dask_worker)
    raised = ctypes.py_object(MemoryError)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread or 0), raised) == 1


def meddled(
    monkeypatch: pytest.MonkeyPatch, client: Any, label: str, meddle: Callable[[], None]
) -> _Meddled:
    """What is patched for it."""
    made = _Meddled(client, label, meddle)
    monkeypatch.setattr(shared_trees, "_grown", made.grow)
    monkeypatch.setattr(companions, "wait", made.wait)
    monkeypatch.setattr(companions, "WATCHED_S", 0.1)
    return made


def test_a_label_whose_worker_dies_is_grown_again_and_no_other(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pids = list(client.run(os.getpid).values())
    made = meddled(monkeypatch, client, "some", lambda: os.kill(pids[0], signal.SIGKILL))
    with caplog.at_level(logging.WARNING, logger=companions.__name__):
        fitted = shared_trees.grow(client, **GIVEN)
    assert fitted.keys() == {"all", "some"}
    assert made.begun == ["all", "some", "some"]
    assert "a worker died while trees grew" in caplog.text


def test_workers_are_free_again_after_one_ran_out_of_memory(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = client.run(os.getpid)

    def meddle() -> None:
        client.run(runs_out_of_memory, workers=[min(before)])

    meddled(monkeypatch, client, "all", meddle)
    with pytest.raises(InputError, match=r"trees for all failed .*memory.*fewer workers"):
        shared_trees.grow(client, **GIVEN)
    client.wait_for_workers(len(before))
    assert not set(before.values()) & set(client.run(os.getpid).values())
