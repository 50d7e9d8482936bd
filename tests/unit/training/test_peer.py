"""The peer and the SHAP summary, on the table of the candidate's tests."""

from dataclasses import replace

import numpy as np
import pytest

from mlops_bikeshare.domain.targets import PROMISE_MIN
from mlops_bikeshare.evaluation.scores import pr_auc
from mlops_bikeshare.training.candidate import HORIZON_FEATURE, Candidate, train_candidate
from mlops_bikeshare.training.fit import FitParams, Rows, fit_targets
from mlops_bikeshare.training.peer import fit_peer
from tests.unit.training.test_candidate import PLAN, SPLIT, table

PARAMS = FitParams(
    rounds=40, early_stopping=5, leaves=7, learning_rate=0.3, feature_fraction=1.0, threads=1
)


@pytest.fixture(scope="module")
def candidate() -> Candidate:
    return train_candidate(table(), SPLIT, plan=replace(PLAN, with_peer=True))


def rows(*, seed: int, unknown: bool = False) -> Rows:
    rng = np.random.default_rng(seed)
    matrix = rng.random((3000, 3)).astype(np.float32)
    y = (matrix[:, 0] + rng.normal(0, 0.2, 3000) > 0.8).astype(np.float32)
    if unknown:
        y[::3] = np.nan
    return Rows(matrix=matrix, labels={"bikeout": y})


def test_the_peer_is_as_good_as_ours_where_both_can_learn_all_there_is() -> None:
    train, stop, unseen = rows(seed=1), rows(seed=2), rows(seed=3)
    ours = fit_targets(train, stop, names=["a", "b", "c"], params=PARAMS)["bikeout"]
    peer = fit_peer(train, stop, params=PARAMS)["bikeout"]
    y = unseen.labels["bikeout"]
    mine, theirs = (pr_auc(y, b.predict(unseen.matrix, threads=1)) for b in (ours, peer))
    assert mine == pytest.approx(theirs, abs=0.03)
    assert len(peer.curve) >= peer.best_iteration >= 1


def test_rows_without_a_label_weigh_nothing_for_the_peer() -> None:
    train, stop = rows(seed=1, unknown=True), rows(seed=2)
    flipped = train.labels["bikeout"].copy()
    known = np.isfinite(flipped)
    bare = Rows(matrix=train.matrix[known], labels={"bikeout": flipped[known]})
    whole, less = (fit_peer(r, stop, params=PARAMS)["bikeout"] for r in (train, bare))
    unseen = rows(seed=3)
    y = unseen.labels["bikeout"]
    found = [pr_auc(y, b.predict(unseen.matrix, threads=1)) for b in (whole, less)]
    assert found[0] == pytest.approx(found[1], abs=0.02)


def test_trees_of_one_horizon_do_not_see_which_horizon_was_drawn() -> None:
    train, stop = (
        replace(r, labels={"here": r.labels["bikeout"]}) for r in (rows(seed=1), rows(seed=2))
    )
    for part in (train, stop):  # the last column alone would tell
        part.matrix[:, -1] = part.labels["here"]
    unseen = rows(seed=3).matrix
    other = unseen.copy()
    other[:, -1] = 1 - other[:, -1].round()

    blind = fit_peer(train, stop, params=PARAMS, of_one_horizon=["here"])["here"]
    seeing = fit_peer(train, stop, params=PARAMS)["here"]

    assert (blind.predict(unseen, threads=1) == blind.predict(other, threads=1)).all()
    assert (seeing.predict(unseen, threads=1) != seeing.predict(other, threads=1)).any()


def test_the_promised_horizons_peer_is_told_no_more_than_ours(candidate: Candidate) -> None:
    import xgboost as xgb

    assert candidate.peer is not None
    for trees in candidate.peer.boosters.values():
        promised = xgb.Booster()
        promised.load_model(bytearray(trees.parts[PROMISE_MIN,].raw))
        assert "f3" not in promised.get_score(importance_type="weight")  # the horizon


def test_the_peer_is_tested_on_the_rows_of_the_model(candidate: Candidate) -> None:
    assert candidate.peer is not None
    for ours, theirs in zip(candidate.quality, candidate.peer.quality, strict=True):
        assert (ours.target, ours.horizon_min) == (theirs.target, theirs.horizon_min)
        assert ours.model.rows == theirs.model.rows
        assert ours.persistence.brier == theirs.persistence.brier


def test_a_peer_changes_nothing_of_the_model(candidate: Candidate) -> None:
    alone = train_candidate(table(), SPLIT, plan=PLAN)
    assert alone.peer is None
    assert alone.quality == candidate.quality
    assert alone.calibrations == candidate.calibrations


def test_the_features_that_matter_contribute_most(candidate: Candidate) -> None:
    for shares in candidate.contributions.values():
        assert set(shares) == {"bikes", "flow", "hour", HORIZON_FEATURE}
        assert set(list(shares)[:2]) == {"bikes", "flow"}
        assert shares["hour"] < 0.1 * shares["flow"]
