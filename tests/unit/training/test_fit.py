import logging

import lightgbm as lgb
import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import InputError
from mlops_bikeshare.evaluation.scores import pr_auc
from mlops_bikeshare.training.fit import FitParams, FittedBooster, Rows, fit_targets

NAMES = ["count", "noise", "horizon_min"]
PARAMS = FitParams(
    rounds=40, early_stopping=5, leaves=7, learning_rate=0.3, feature_fraction=1.0, threads=1
)


def rows(*, seed: int, n: int = 3000) -> Rows:
    rng = np.random.default_rng(seed)
    matrix = np.column_stack(
        [rng.integers(0, 20, n), rng.random(n), rng.choice([10, 30, 120], n)]
    ).astype(np.float32)
    drift = rng.normal(0, np.sqrt(matrix[:, 2]) / 2, n)
    labels = {"bikeout": matrix[:, 0] + drift <= 4, "dockout": matrix[:, 0] + drift >= 16}
    return Rows(matrix=matrix, labels={t: y.astype(np.float32) for t, y in labels.items()})


def fit(
    train: Rows | None = None, stop: Rows | None = None, **given: object
) -> dict[str, FittedBooster]:
    return fit_targets(
        train or rows(seed=1),
        stop or rows(seed=2),
        names=NAMES,
        params=PARAMS,
        **given,  # type: ignore[arg-type]
    )


def with_labels(given: Rows, **labels: NDArray[np.float32]) -> Rows:
    return Rows(matrix=given.matrix, labels={**given.labels, **labels})


def test_a_cut_booster_answers_by_its_first_trees_alone() -> None:
    whole, unseen = fit()["bikeout"], rows(seed=3).matrix
    cut = whole.cut(3)
    first = lgb.Booster(model_str=whole.text).predict(unseen, num_iteration=3, num_threads=1)
    np.testing.assert_array_equal(cut.predict(unseen, threads=1), first)
    assert cut.best_iteration == 3
    assert sum(cut.importance.values()) < sum(whole.importance.values())
    assert whole.cut(10**6).best_iteration == whole.best_iteration


def test_each_target_learns_its_own_labels() -> None:
    fitted, unseen = fit(), rows(seed=3)
    for target, booster in fitted.items():
        p = booster.predict(unseen.matrix, threads=1)
        assert (pr_auc(unseen.labels[target], p) or 0) > 0.7
        assert max(booster.importance, key=lambda name: booster.importance[name]) == "count"


def test_a_shared_dataset_gives_the_trees_of_a_dataset_of_its_own() -> None:
    train, stop = rows(seed=1), rows(seed=2)
    both = fit(train, stop)
    alone = fit(
        Rows(matrix=train.matrix, labels={"dockout": train.labels["dockout"]}),
        Rows(matrix=stop.matrix, labels={"dockout": stop.labels["dockout"]}),
    )
    assert alone["dockout"].text == both["dockout"].text


def test_equal_input_gives_equal_trees() -> None:
    assert {t: b.text for t, b in fit().items()} == {t: b.text for t, b in fit().items()}


def test_trees_stop_at_the_best_iteration() -> None:
    for booster in fit().values():
        assert booster.best_iteration == 1 + int(np.argmin(booster.curve)) < PARAMS.rounds
        assert lgb.Booster(model_str=booster.text).num_trees() == booster.best_iteration


def test_an_unknown_label_weighs_nothing() -> None:
    train = rows(seed=1)
    unknown = np.random.default_rng(0).random(3000) < 0.3
    label = train.labels["bikeout"]
    zero, one = (
        fit(with_labels(train, bikeout=np.where(unknown, x, label).astype(np.float32)))
        for x in (np.nan, np.inf)
    )
    assert zero["bikeout"].text == one["bikeout"].text
    p = zero["bikeout"].predict(train.matrix, threads=1)
    assert p[unknown].mean() == pytest.approx(label[unknown].mean(), abs=0.03)


def test_rows_without_a_label_are_left_out_where_they_are_many() -> None:
    train, few = rows(seed=1), np.arange(3000) % 3 == 0
    label = np.where(few, train.labels["bikeout"], np.nan).astype(np.float32)
    grown = fit(with_labels(train, bikeout=label))
    first = lgb.Booster(model_str=grown["bikeout"].text).dump_model()["tree_info"][0]
    assert first["tree_structure"]["internal_count"] == few.sum()
    assert grown["dockout"].text == fit()["dockout"].text


def test_progress_is_told_for_each_target() -> None:
    seen: list[tuple[str, int, int]] = []
    fit(progress=lambda *step: seen.append(step))
    assert seen[0] == ("bikeout", 1, 40)
    assert {target for target, _, _ in seen} == {"bikeout", "dockout"}


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    fit()
    assert capfd.readouterr() == ("", "")


def test_a_feature_that_is_always_missing_is_named_in_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    train = rows(seed=1)
    train.matrix[:, 1] = np.nan
    with caplog.at_level(logging.WARNING):
        fitted = fit(train)
    assert "['noise']" in caplog.text
    assert fitted["bikeout"].importance["noise"] == 0


def test_a_feature_that_never_changes_is_never_asked() -> None:
    train = rows(seed=1)
    train.matrix[:, 1] = 7
    assert fit(train)["bikeout"].importance["noise"] == 0


def test_trees_of_one_horizon_never_ask_for_it() -> None:
    fitted = fit(of_one_horizon=["dockout"])
    assert fitted["dockout"].importance["horizon_min"] == 0 < fitted["dockout"].importance["count"]
    assert fitted["bikeout"].text == fit()["bikeout"].text
    assert fitted["bikeout"].importance["horizon_min"] > 0


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.zeros(3000), "bikeout: of 3000 training rows 3000 have a label and 0 of those are out"),
        (np.ones(3000), "3000 of those are out"),
        (np.full(3000, np.nan), "3000 training rows 0 have a label"),
        (np.zeros(7), "bikeout: 7 labels for 3000 training rows"),
    ],
)
def test_labels_that_teach_nothing_are_refused(label: NDArray[np.float64], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(with_labels(rows(seed=1), bikeout=label.astype(np.float32)))


def test_no_early_stopping_rows_are_refused() -> None:
    with pytest.raises(InputError, match="of 0 early-stopping rows"):
        fit(stop=rows(seed=2, n=0))


def test_no_target_is_refused() -> None:
    with pytest.raises(InputError, match="no target"):
        fit(Rows(matrix=rows(seed=1).matrix, labels={}))


def test_a_matrix_of_another_width_is_refused() -> None:
    given = rows(seed=1)
    with pytest.raises(InputError, match=r"shape \(3000, 2\); expected \(rows, 3\)"):
        fit(Rows(matrix=given.matrix[:, :2], labels=given.labels))
