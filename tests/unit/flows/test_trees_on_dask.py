"""Trees that grow on rows which two workers share, and what becomes of them when one dies."""

import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import wait
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
from mlops_bikeshare.flows.scaling import cluster, shared_trees
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
    assert all(client.run(lambda: os.path.sameopenfile(1, 2)).values())  # stdout is for results


def test_rows_of_one_class_are_refused_before_they_travel(client: Any) -> None:
    given = GIVEN["train"]
    never = Rows(matrix=given.matrix, labels={"all": np.zeros(len(given.matrix), np.float32)})
    with pytest.raises(InputError, match="expected both classes"):
        shared_trees.grow(client, **{**GIVEN, "train": never})


def test_a_label_whose_worker_dies_is_grown_again_and_no_other(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []
    killed: list[int] = []
    grown = shared_trees._grown

    def watched(given: Any, train: Rows, stop: Rows, label: str, **told: Any) -> Any:
        begun.append(label)
        return grown(given, train, stop, label, **told)

    def kills(fitting: list[Any], timeout: float) -> Any:
        if "some" in begun and not killed:
            killed.extend(client.run(os.getpid).values())
            os.kill(killed[0], signal.SIGKILL)
        return wait(fitting, timeout=timeout)

    monkeypatch.setattr(shared_trees, "_grown", watched)
    monkeypatch.setattr(shared_trees, "wait", kills)
    monkeypatch.setattr(shared_trees, "WATCHED_S", 0.3)
    with caplog.at_level(logging.WARNING, logger=shared_trees.__name__):
        fitted = shared_trees.grow(client, **GIVEN)
    assert fitted.keys() == {"all", "some"}
    assert begun[0] == "all"
    assert set(begun[1:]) == {"some"}
    assert len(begun) > 2
    assert "a worker died while trees grew" in caplog.text
