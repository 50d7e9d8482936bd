"""A small simulated city is trained on, explained and tuned in a workspace of its own."""

import fcntl
import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.clock import SimulatedClock
from mlops_bikeshare.domain.errors import InputError, ModelError, Refused
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import deploy, explain, features, infer, ingest
from mlops_bikeshare.flows.judging import judged
from mlops_bikeshare.flows.process.progress import silent
from mlops_bikeshare.flows.retrain import retrain
from mlops_bikeshare.flows.runs import comparison, training_table
from mlops_bikeshare.flows.train import Trained, plan_of, summary, train
from mlops_bikeshare.flows.tune import OBJECTIVE, tune
from mlops_bikeshare.monitoring.metrics import MODEL
from mlops_bikeshare.registry import explain as trees
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.artefact import read_label
from mlops_bikeshare.registry.card import LONGEST
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.simulator.simulate import simulate
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.tuning import score

TOML = """
default_city = "small"
[labels]
threshold = 3
mode = "within"
[training]
rounds = 30
leaves = 15
max_rows = 20000
threads = 1
peer = "xgboost"
[cities.small]
timezone = "America/Toronto"
country = "CA"
"""


def window(text: str) -> Window:
    return Window.parse(text, key="window")


SPLIT = Split(
    window("2025-06-03..2025-06-06"),
    window("2025-06-06..2025-06-07"),
    window("2025-06-07..2025-06-09"),
)


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    home = tmp_path_factory.mktemp("home")
    (home / "bikeshare.toml").write_text(TOML)
    made = simulate(stations=20, days=7, seed=3, start=date(2025, 6, 2), timezone="America/Toronto")
    made.write(home / "recording")
    opened = open_workspace(load(home, {}, {}), simulated=True)
    city = opened.settings.city()
    ingest.import_recording(opened, city, home / "recording")
    features.build(opened, city)
    return opened


@pytest.fixture(scope="module")
def city(ws: Workspace) -> City:
    return ws.settings.city()


@pytest.fixture(scope="module")
def trained(ws: Workspace, city: City) -> Trained:
    return train(ws, city, SPLIT)


@pytest.fixture(scope="module")
def run(trained: Trained) -> Any:
    import mlflow

    return mlflow.get_run(trained.run_id)


@pytest.fixture(scope="module")
def folder(ws: Workspace, city: City, trained: Trained) -> Path:
    return judged.artifacts(ws, city, trained.version)


def artefact(run_id: str, name: str) -> Any:
    import mlflow

    text = mlflow.artifacts.load_text(f"runs:/{run_id}/{name}")
    return json.loads(text) if name.endswith(".json") else text


def test_the_run_says_what_dispatch_feels_beside_the_scores(trained: Trained, run: Any) -> None:
    told = artefact(trained.run_id, "evidence.json")
    for target, part in told.items():
        ten = next(b for b in part["dispatch"]["model"] if b["stations_per_hour"] == 10)
        assert ten["recall"] is not None
        assert 0 < run.data.metrics[f"dispatch_recall_{target}"] <= 1
        low, high = part["figures"]["scores"]["onset_pr_auc"]["interval"]
        assert low < part["figures"]["scores"]["onset_pr_auc"]["model"] < high
        assert set(part["slices"]["slices"]) == {"neighbourhood", "hour", "capacity", "day"}
        assert part["alarms"]["cost_ratio"] == 4
    assert summary(trained).count("10 alerts an hour: precision") == 2


def test_the_peer_is_reported_beside_the_model(trained: Trained, run: Any) -> None:
    for name in ("onset_pr_auc_bikeout_at_30", "log_loss_early_stop_dockout"):
        assert run.data.metrics[f"peer_{name}"] > 0
    assert "XGBoost on the same rows, bikeout" in summary(trained)


def test_the_card_is_in_the_version_and_on_the_page_of_the_run(
    trained: Trained, run: Any, folder: Path
) -> None:
    card = artefact(trained.run_id, "model_card.md")
    assert (folder / "card.md").read_text() == card
    assert card in run.data.tags["mlflow.note.content"]
    assert len(card) <= LONGEST
    for words in ("Intended use", "Limits", "2025-06-03..2025-06-06", "95 % interval", "| 10 |"):
        assert words in card


def test_lineage_and_alarm_thresholds_are_tags_of_the_version(city: City, trained: Trained) -> None:
    tags = versions.find(city.registered_model, trained.version).tags
    assert tags["champion_then"] == "none"
    assert tags["cost_ratio"] == "4"
    assert tags["data"] == "features_offline small 2025-06-03..2025-06-09"
    for target in ("bikeout", "dockout"):
        assert 0 < float(tags[f"alarm_threshold_{target}"]) < 1


def test_a_version_carries_the_label_that_it_was_trained_with(
    ws: Workspace, city: City, trained: Trained, folder: Path
) -> None:
    label = Label(threshold=3, mode="within")
    assert read_label(folder) == label
    tags = versions.find(city.registered_model, trained.version).tags
    assert tags["label"] == str(label) == "at most 3, within dt + horizon"
    assert (
        "at most 3 bikes (bikeout) or docks (dockout) left at some time until then"
        in (folder / "card.md").read_text()
    )
    rows = trained.quality[0].model
    assert rows.base_rate is not None
    usual = replace(city, label=Label())
    table = training_table.load(ws, usual, SPLIT, plan_of(ws.settings), silent)
    chosen = np.arange(len(table.dt))
    at = table.labels("bikeout", chosen, np.full(len(chosen), 10, np.int16))
    assert rows.base_rate > np.nanmean(at), "fewer are out at dt + 10 with at most 2"


def test_a_version_of_another_threshold_is_not_deployed(
    ws: Workspace, city: City, trained: Trained
) -> None:
    with pytest.raises(ModelError, match="was trained on other features"):
        deploy.deploy(ws, replace(city, label=Label()), version=trained.version)


def test_a_retraining_of_another_threshold_is_an_alarm_where_nobody_asked(
    ws: Workspace, city: City, trained: Trained
) -> None:
    own = replace(ws.settings, retrain=replace(ws.settings.retrain, most_days=1))
    aged = Workspace(own, SimulatedClock(SPLIT.window.end))
    versions.move_alias(city.registered_model, versions.CHAMPION, trained.version, expected=None)
    try:
        with pytest.raises(ModelError, match="their errors cannot be compared"):
            retrain(aged, replace(city, label=Label()))
    finally:
        versions.move_alias(
            city.registered_model, versions.CHAMPION, None, expected=trained.version
        )
    failed = aged.metrics.latest(
        MODEL, "RetrainFailures", {"City": city.name}, before=aged.now, within_s=60
    )
    assert failed is not None
    assert failed[1] == 1


def test_a_retraining_without_a_champion_is_an_alarm(
    ws: Workspace, city: City, trained: Trained
) -> None:
    assert trained.version  # there is a challenger, which nobody promoted
    early = Workspace(ws.settings, SimulatedClock(SPLIT.train.start))
    with pytest.raises(ModelError, match="champion"):
        retrain(early, city)
    failed = early.metrics.latest(
        MODEL, "RetrainFailures", {"City": city.name}, before=early.now, within_s=60
    )
    assert failed is not None
    assert failed[1] == 1


def test_a_registered_training_does_not_fail_for_want_of_its_comparison(
    ws: Workspace,
    city: City,
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def away(*_: object) -> None:
        raise MlflowException("the store is away")

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", away)

    assert comparison.try_to_save(ws, city, trained.run_id) is None
    assert "was not saved: the store is away" in caplog.text
    assert "side by side" in summary(trained)
    assert "side by side" not in summary(replace(trained, comparison=None))


def test_features_are_not_mixed_with_those_of_another_threshold(ws: Workspace, city: City) -> None:
    other = replace(city, label=Label(threshold=1))
    with pytest.raises(InputError, match="were built by another definition"):
        features.build(ws, other)
    with pytest.raises(InputError, match="were built by another definition"):
        infer.online_features(ws, other, SPLIT.train.end)
    features.check_definition(ws, replace(city, label=Label(threshold=3, mode="at")))


def test_contributions_sum_to_the_raw_answer_of_the_row_that_was_trained_on(
    ws: Workspace, city: City, folder: Path, trained: Trained
) -> None:
    import lightgbm as lgb

    at = SPLIT.train.end - timedelta(hours=5)
    station = features.station_list(ws, city)["station_id"].iloc[3]
    found = explain.explain(ws, city, station_id=station, at=at, top=4)
    assert found.model_version == trained.version
    stored = ws.lake.read(
        features.OFFLINE, city=city.name, window=Window(at, at + timedelta(minutes=10))
    )
    row = stored[stored["station_id"] == station].iloc[0]
    for target, told in found.targets.items():
        assert len(told.parts) == 4
        parts = sum(p.contribution for p in told.parts)
        assert told.base + parts + told.others == pytest.approx(told.margin)
        booster = lgb.Booster(model_str=(folder / f"{target}_30.txt").read_text())
        values = [*(row[n] for n in booster.feature_name()[:-1]), 30]
        raw = np.asarray(booster.predict(np.array([values], np.float32), raw_score=True))[0]
        assert told.margin == pytest.approx(raw, abs=1e-6)
        assert 0 < told.p < 1
        shown = {p.feature: p.value for p in told.parts if p.feature in row}
        assert shown == pytest.approx({n: row[n] for n in shown}, nan_ok=True)
    assert "bikeout: p = " in explain.summary(found)


def test_a_version_of_other_features_is_named_not_scored(folder: Path) -> None:
    row = dict.fromkeys(json.loads((folder / "scorer.json").read_text())["features"], 1.0)
    row.pop("bikes")
    with pytest.raises(ModelError, match=r"version 1 was trained on other features.*'bikes'"):
        trees.explain(folder, row, horizon_min=30, version="1")


def test_a_version_of_other_features_is_not_deployed(
    ws: Workspace, city: City, trained: Trained
) -> None:
    own = versions.find(city.registered_model, trained.version).tags[versions.FEATURES_TAG]
    changed = {versions.FEATURES_TAG: "0" * 64}
    versions.set_tags(city.registered_model, trained.version, changed)
    try:
        with pytest.raises(ModelError, match="was trained on other features"):
            deploy.deploy(ws, city, version=trained.version)
    finally:
        kept = {versions.FEATURES_TAG: own}
        versions.set_tags(city.registered_model, trained.version, kept)


def test_an_unknown_station_and_a_silent_time_are_explained(ws: Workspace, city: City) -> None:
    with pytest.raises(InputError, match="--station nowhere: not a station of small"):
        explain.explain(ws, city, station_id="nowhere", at=SPLIT.train.end)
    station = features.station_list(ws, city)["station_id"].iloc[0]
    with pytest.raises(InputError, match="no known count at 2025-01-01"):
        explain.explain(ws, city, station_id=station, at=window("2025-01-01..2025-01-02").start)


def test_tuning_nests_its_candidates_and_goes_on_where_it_stopped(
    ws: Workspace, city: City, trained: Trained
) -> None:
    import mlflow

    part = window("2025-06-03..2025-06-08")
    first = tune(ws, city, window=part, trials=1, folds=2)
    again = tune(ws, city, window=part, trials=2, folds=2)
    assert again.run_id == first.run_id
    assert first.complete == 1
    assert again.complete + again.pruned == 2
    assert first.best_onset_pr_auc == first.present_onset_pr_auc == again.present_onset_pr_auc
    assert again.best_onset_pr_auc >= first.best_onset_pr_auc
    experiment = mlflow.get_run(trained.run_id).info.experiment_id
    children = mlflow.search_runs(
        [experiment], f"tags.`mlflow.parentRunId` = '{first.run_id}'", output_format="list"
    )
    assert len(children) == 2
    assert {c.data.tags["state"] for c in children} <= {"complete", "pruned"}
    for child in children:
        assert {"leaves", "learning_rate", "feature_fraction"} <= set(child.data.params)
        assert 0 < child.data.metrics[OBJECTIVE] < 1
    assert tune(ws, city, window=part, trials=2, folds=2) == again


def test_a_candidate_that_was_cut_off_is_asked_again(
    ws: Workspace, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    part = window("2025-06-04..2025-06-09")
    calls: list[int] = []

    def cut(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score(*given)

    monkeypatch.setattr("mlops_bikeshare.flows.tune.score", cut)
    with pytest.raises(KeyboardInterrupt):
        tune(ws, city, window=part, trials=1, folds=2)
    done = tune(ws, city, window=part, trials=1, folds=2)
    assert (done.complete, done.present_onset_pr_auc) == (1, done.best_onset_pr_auc)
    experiment = mlflow.get_run(done.run_id).info.experiment_id
    children = mlflow.search_runs(
        [experiment], f"tags.`mlflow.parentRunId` = '{done.run_id}'", output_format="list"
    )
    assert sorted(c.info.status for c in children) == ["FINISHED", "KILLED"]


def test_a_study_of_other_data_is_another_study(ws: Workspace, city: City) -> None:
    part = window("2025-06-03..2025-06-07")
    first = tune(ws, city, window=part, trials=1, folds=1)
    day = date(2025, 6, 5)
    key = next(iter(ws.lake.keys(features.OFFLINE, city=city.name, day=day)))
    path = ws.path / "lake" / key
    kept = path.read_bytes()
    rows = pd.read_parquet(path)
    try:
        rows.iloc[::-1].to_parquet(path)
        other = tune(ws, city, window=part, trials=1, folds=1)
    finally:
        path.write_bytes(kept)
    assert other.run_id != first.run_id
    assert tune(ws, city, window=part, trials=1, folds=1) == first


def test_two_processes_do_not_search_the_same(ws: Workspace, city: City) -> None:
    part = window("2025-06-03..2025-06-07")
    tune(ws, city, window=part, trials=1, folds=1)
    with ExitStack() as held:
        for path in ws.path.glob("tune-*.lock"):
            lock = held.enter_context(path.open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(Refused, match=r"another process searches small-\w{12}"):
            tune(ws, city, window=part, trials=2, folds=1)


def test_tuning_never_reads_a_day_after_its_window(ws: Workspace, city: City) -> None:
    read: list[date] = []
    lake = ws.lake

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(lake, name)

        def read(self, table: Any, **given: Any) -> pd.DataFrame:
            if table is features.OFFLINE:
                read.extend(given["window"].days())
            return lake.read(table, **given)

    watched = replace(ws)
    object.__setattr__(watched, "__dict__", {**watched.__dict__, "lake": Watched()})
    tune(watched, city, window=window("2025-06-03..2025-06-07"), trials=1, folds=1)
    assert max(read) == date(2025, 6, 6)


def test_too_few_days_to_tune_on_are_refused(ws: Workspace, city: City) -> None:
    with pytest.raises(InputError, match="3 days are too few for 3 folds; give at least 6 days"):
        tune(ws, city, window=window("2025-06-03..2025-06-06"))


def test_days_without_features_are_named(ws: Workspace, city: City) -> None:
    early = Split(window("2024-06-03..2024-06-06"), window("2024-06-06..2024-06-07"))
    with pytest.raises(InputError, match=r"there are features of 2025-06-03\.\.2025-06-0"):
        training_table.load(ws, city, early, plan_of(ws.settings), silent)
