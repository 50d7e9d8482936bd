import json
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.evaluation.calibration import BetaCalibrator
from mlops_bikeshare.registry.artefact import TargetFiles, write_artifacts
from mlops_bikeshare.registry.scorer import Scorer, forest

HORIZONS = (10, 20, 30, 60, 120)
INPUTS = ("count", "flow", "hour", "horizon_min")


@pytest.fixture(scope="module")
def scorer(artifacts: Path) -> Scorer:
    return Scorer.load(str(artifacts))


def test_an_answer_is_the_booster_then_the_calibrator_of_that_horizon(
    scorer: Scorer, artifacts: Path, rows: pd.DataFrame
) -> None:
    booster = lgb.Booster(model_file=str(artifacts / "dockout.txt"))
    matrix = np.column_stack([rows.to_numpy(), np.full(len(rows), 30, np.float32)])
    expected = BetaCalibrator(a=0.9, b=1.1, c=-0.2).apply(booster.predict(matrix, num_threads=1))
    assert scorer.predict(rows)["p_dockout_30"].to_numpy() == pytest.approx(expected, abs=1e-9)


def test_there_is_a_column_for_every_target_and_horizon(scorer: Scorer, rows: pd.DataFrame) -> None:
    answer = scorer.predict(rows)
    assert list(answer.columns) == [
        f"p_{t}_{h}" for t in ("bikeout", "dockout") for h in (10, 20, 30)
    ]
    assert (answer.dtypes == np.float64).all()
    assert answer.index.equals(rows.index)
    assert ((answer > 0) & (answer < 1)).all(axis=None)


def test_columns_are_taken_by_name_not_by_position(scorer: Scorer, rows: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        scorer.predict(rows[rows.columns[::-1]]), scorer.predict(rows), check_exact=True
    )


@given(order=st.permutations(range(12)))
def test_rows_do_not_depend_on_their_neighbours(scorer: Scorer, order: list[int]) -> None:
    values = np.linspace(0, 30, 36, dtype=np.float32).reshape(12, 3)
    rows = pd.DataFrame(values, columns=list(scorer.features))
    whole = scorer.predict(rows)
    shuffled = scorer.predict(rows.iloc[order])
    pd.testing.assert_frame_equal(shuffled, whole.iloc[order], check_exact=True)


def test_neither_chunks_nor_rows_one_by_one_change_anything(
    scorer: Scorer, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scorer.predict(rows)
    monkeypatch.setattr(forest, "CHUNK_ROWS", 7)
    pd.testing.assert_frame_equal(scorer.predict(rows), whole, check_exact=True)
    monkeypatch.setattr(forest, "FEW_ROWS", len(rows))
    pd.testing.assert_frame_equal(scorer.predict(rows), whole, check_exact=True)


def test_no_rows_give_no_answers(scorer: Scorer, rows: pd.DataFrame) -> None:
    assert scorer.predict(rows.iloc[:0]).shape == (0, 6)


def test_a_missing_and_an_unexpected_column_are_named(scorer: Scorer, rows: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"missing \['hour'\], not expected \['weather'\]"):
        scorer.predict(rows.rename(columns={"hour": "weather"}))


def test_a_column_given_twice_is_refused(scorer: Scorer, rows: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="each once"):
        scorer.predict(pd.concat([rows, rows[["hour"]]], axis=1))


def test_text_is_not_taken_for_a_number(scorer: Scorer, rows: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"\['hour'\] are not"):
        scorer.predict(rows.assign(hour="noon"))


def test_trees_grown_on_other_features_do_not_load(artifacts: Path, tmp_path: Path) -> None:
    for path in artifacts.iterdir():
        text = path.read_text(encoding="utf-8")
        if path.name == "scorer.json":
            text = text.replace('"utilisation"', '"fill"')
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"bikeout\.txt was grown on .*utilisation"):
        Scorer.load(str(tmp_path))


def test_an_unknown_format_does_not_load(artifacts: Path, tmp_path: Path) -> None:
    text = (artifacts / "scorer.json").read_text(encoding="utf-8")
    (tmp_path / "scorer.json").write_text(text.replace('"format": 2', '"format": 9'), "utf-8")
    with pytest.raises(ValueError, match="format 9, expected one of"):
        Scorer.load(str(tmp_path))


def written(folder: Path, booster: str, **apart: str) -> Scorer:
    """A scorer around one booster, its probabilities as they are; h30=…: trees of 30 min."""
    same = {"horizons_min": list(HORIZONS), "a": 1.0, "b": 1.0, "c": 0.0}
    alone: dict[tuple[int, ...], str] = {(int(name[1:]),): text for name, text in apart.items()}
    rest = tuple(h for h in HORIZONS if (h,) not in alone)
    boosters = {**alone, rest: booster}
    target = TargetFiles(
        boosters=boosters,
        column="p_x",
        calibrators=[same],
        threshold=0.5,
        persistence={},
    )
    write_artifacts(
        folder,
        targets={"x": target},
        features=INPUTS[:-1],
        horizon_feature=INPUTS[-1],
        horizons_min=HORIZONS,
        reference={},
    )
    return Scorer.load(str(folder))


def grown(*, leaves: int, holes: bool, rounds: int = 20, **native: Any) -> lgb.Booster:
    """Trees on counts (ties at thresholds), with or without holes in what they learn from."""
    rng = np.random.default_rng(leaves)
    matrix = rng.integers(0, 12, (6000, len(INPUTS))).astype(np.float32)
    matrix[:, 1] = rng.normal(size=len(matrix))
    matrix[:, -1] = rng.choice(HORIZONS, len(matrix))
    label = rng.random(len(matrix)) < 1 / (1 + np.exp(matrix[:, 0] - 5 + 30 / matrix[:, -1]))
    if holes:
        matrix[:, :-1][rng.random((len(matrix), 3)) < 0.2] = np.nan
    told = {"objective": "binary", "num_leaves": leaves, "min_data_in_leaf": 3, "verbosity": -1}
    dataset = lgb.Dataset(matrix, label=label.astype(float), feature_name=list(INPUTS))
    return lgb.train({**told, "num_threads": 1, **native}, dataset, num_boost_round=rounds)


@pytest.mark.parametrize("holes", [True, False])
@pytest.mark.parametrize("leaves", [2, 31, 63, 64, 65, 200])
def test_every_row_and_horizon_is_answered_as_lightgbm_does(
    tmp_path: Path, leaves: int, holes: bool
) -> None:
    booster = grown(leaves=leaves, holes=holes)
    rng = np.random.default_rng(1)
    matrix = rng.integers(-2, 14, (500, 3)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    matrix[0] = np.inf
    rows = pd.DataFrame(matrix, columns=list(INPUTS[:-1]))
    answer = written(tmp_path, booster.model_to_string()).predict(rows)
    for horizon in HORIZONS:
        inputs = np.column_stack([matrix, np.full(len(matrix), horizon, np.float32)])
        expected = booster.predict(inputs, num_threads=1)
        assert answer[f"p_x_{horizon}"].to_numpy() == pytest.approx(expected, abs=1e-9)


def test_each_horizon_is_answered_by_its_own_trees(tmp_path: Path) -> None:
    promised, others = grown(leaves=15, holes=True), grown(leaves=40, holes=True)
    scorer = written(tmp_path, others.model_to_string(), h30=promised.model_to_string())
    rng = np.random.default_rng(1)
    matrix = rng.integers(-2, 14, (500, 3)).astype(np.float32)
    answer = scorer.predict(pd.DataFrame(matrix, columns=list(INPUTS[:-1])))
    for horizon in HORIZONS:
        inputs = np.column_stack([matrix, np.full(len(matrix), horizon, np.float32)])
        trees = promised if horizon == 30 else others
        expected = trees.predict(inputs, num_threads=1)
        assert answer[f"p_x_{horizon}"].to_numpy() == pytest.approx(expected, abs=1e-9)


def test_a_version_of_before_answers_as_it_did(tmp_path: Path) -> None:
    booster = grown(leaves=15, holes=True).model_to_string()
    rows = pd.DataFrame(np.arange(30, dtype=np.float32).reshape(10, 3), columns=list(INPUTS[:-1]))
    now = written(tmp_path, booster).predict(rows)
    path = tmp_path / "scorer.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    del spec["targets"]["x"]["boosters"]
    spec["targets"]["x"]["booster"] = "x.txt"
    path.write_text(json.dumps({**spec, "format": 1}), encoding="utf-8")
    pd.testing.assert_frame_equal(Scorer.load(str(tmp_path)).predict(rows), now, check_exact=True)


def test_a_horizon_without_trees_does_not_load(tmp_path: Path) -> None:
    booster = grown(leaves=7, holes=False, rounds=2).model_to_string()
    written(tmp_path, booster, h30=booster)
    path = tmp_path / "scorer.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    del spec["targets"]["x"]["boosters"][0]
    path.write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(ValueError, match=r"trees for horizons \[10, 20, 60, 120\], but answers"):
        Scorer.load(str(tmp_path))


def test_a_tree_that_never_splits_answers_its_only_leaf(tmp_path: Path) -> None:
    booster = grown(leaves=7, holes=False, min_data_in_leaf=6000)
    rows = pd.DataFrame(np.zeros((1, 3), np.float32), columns=list(INPUTS[:-1]))
    answer = written(tmp_path, booster.model_to_string()).predict(rows)
    expected = booster.predict(np.zeros((1, 4)))
    assert answer["p_x_10"].to_numpy() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("native", "words"),
    [
        ({"linear_tree": True}, "linear leaves"),
        ({"zero_as_missing": True}, "zeros for missing"),
        ({"objective": "regression"}, "no trees of a binary classifier, only regression"),
    ],
)
def test_trees_that_it_could_answer_wrongly_do_not_load(
    tmp_path: Path, native: dict[str, Any], words: str
) -> None:
    booster = grown(leaves=7, holes=False, **native)
    with pytest.raises(ValueError, match=words):
        written(tmp_path, booster.model_to_string())
