"""Model Monitor's files of a training: what its features and its own test were."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import fbeta_score, precision_score, recall_score, roc_auc_score

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.training import data_baseline, quality_baseline

NAN = np.nan
ROWS = np.array([[1, 0.5, NAN], [2, -1.5, NAN], [2, NAN, NAN], [9, 4, NAN]], dtype=np.float32)
NAMES = ("bikes", "flow", "wind")
ALL = np.ones(4, dtype=np.bool_)


def test_types_counts_and_moments_are_those_of_the_rows() -> None:
    told = data_baseline.statistics(ROWS, NAMES, among=ALL)
    bikes, flow, wind = told["features"]

    assert told["dataset"] == {"item_count": 4}
    assert [f["inferred_type"] for f in (bikes, flow, wind)] == [
        "Integral",
        "Fractional",
        "Unknown",
    ]
    assert flow["numerical_statistics"]["common"] == {"num_present": 3, "num_missing": 1}
    assert bikes["numerical_statistics"]["mean"] == 3.5
    assert bikes["numerical_statistics"]["sum"] == 14
    assert flow["numerical_statistics"]["min"] == -1.5
    assert bikes["numerical_statistics"]["std_dev"] == pytest.approx(np.std([1, 2, 2, 9]))


def test_rows_that_are_not_among_those_asked_for_count_for_nothing() -> None:
    some = np.array([True, False, False, True])
    told = data_baseline.statistics(ROWS, NAMES, among=some)

    assert told == data_baseline.statistics(ROWS[some], NAMES, among=ALL[:2])
    assert told["dataset"] == {"item_count": 2}


def test_a_feature_without_a_value_has_counts_and_is_asked_nothing() -> None:
    told = data_baseline.statistics(ROWS, NAMES, among=ALL)
    wind = told["features"][2]["numerical_statistics"]
    asked = data_baseline.constraints(told)["features"]

    assert wind == {"common": {"num_present": 0, "num_missing": 4}}
    assert asked[2] == {"name": "wind", "inferred_type": "Unknown"}
    assert asked[1]["completeness"] == 0.75
    assert [f["num_constraints"]["is_non_negative"] for f in asked[:2]] == [True, False]


def test_rows_of_other_columns_are_refused() -> None:
    with pytest.raises(GridError, match="2 names"):
        data_baseline.statistics(ROWS, NAMES[:2], among=ALL)


@given(
    arrays.arrays(
        np.float32,
        st.integers(1, 1500),
        elements=st.floats(-1e6, 1e6, width=32),
        fill=st.floats(-10, 10, width=32),
    )
)
def test_buckets_and_sketch_stand_for_every_row_once_and_ranks_hold(column: np.ndarray) -> None:
    told = data_baseline.statistics(column[:, None], ("x",), among=np.isfinite(column))
    kll = told["features"][0]["numerical_statistics"]["distribution"]["kll"]

    assert sum(bucket["count"] for bucket in kll["buckets"]) == column.size
    weighted = [(v, 2**i) for i, level in enumerate(kll["sketch"]["data"]) for v in level]
    assert sum(weight for _, weight in weighted) == column.size
    for quantile in (0.1, 0.5, 0.9):
        at = float(np.quantile(column, quantile, method="lower"))
        below = sum(weight for value, weight in weighted if value <= at)
        true = np.sum(column <= at)
        assert abs(below - true) <= 3 * max(1, column.size / data_baseline.SKETCH_K)
    json.dumps(told, allow_nan=False)


def answers(rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    p = rng.random(rows).round(2)  # ties
    y = (rng.random(rows) < p).astype(np.float32)
    y[::7] = NAN
    return y, p


def test_figures_are_scikit_learns_on_the_labelled_rows() -> None:
    y, p = answers(1000)
    told = quality_baseline.statistics(y, p, threshold=0.4, seed=1)
    assert told is not None
    metrics, known = told["binary_classification_metrics"], np.isfinite(y)
    truth, called = y[known], p[known] >= 0.4

    assert told["dataset"]["item_count"] == known.sum()
    for name, value in {
        "recall": recall_score(truth, called),
        "precision": precision_score(truth, called),
        "f0_5": fbeta_score(truth, called, beta=0.5),
        "f2": fbeta_score(truth, called, beta=2),
        "auc": roc_auc_score(truth, p[known]),
    }.items():
        assert metrics[name]["value"] == pytest.approx(value)
        assert 0 < metrics[name]["standard_deviation"] < 0.05
    cells = metrics["confusion_matrix"]
    assert cells["1"]["1"] == np.sum((truth == 1) & called)
    assert sum(n for row in cells.values() for n in row.values()) == known.sum()
    curve = metrics["receiver_operating_characteristic_curve"]
    area = np.trapezoid(curve["true_positive_rates"], curve["false_positive_rates"])
    assert area == pytest.approx(metrics["auc"]["value"], abs=0.01)


def test_later_figures_may_lose_the_margin_whichever_way_is_worse() -> None:
    y, p = answers(1000)
    told = quality_baseline.statistics(y, p, threshold=0.4, seed=1)
    assert told is not None
    asked = quality_baseline.constraints(told, margin=0.1)["binary_classification_constraints"]
    metrics = told["binary_classification_metrics"]

    assert asked["f1"]["threshold"] == pytest.approx(metrics["f1"]["value"] - 0.1)
    assert asked["f1"]["comparison_operator"] == "LessThanThreshold"
    alarms = asked["false_positive_rate"]
    assert alarms["threshold"] == pytest.approx(metrics["false_positive_rate"]["value"] + 0.1)
    assert alarms["comparison_operator"] == "GreaterThanThreshold"


def test_what_is_not_known_is_left_out_and_asked_of_nobody() -> None:
    nothing = quality_baseline.statistics(np.full(3, NAN), np.ones(3), threshold=0.5, seed=1)
    quiet = quality_baseline.statistics(np.zeros(300), np.zeros(300), threshold=0.5, seed=1)
    unset = quality_baseline.statistics(*answers(50), threshold=None, seed=1)

    assert nothing is None
    assert quiet is not None
    figures = quiet["binary_classification_metrics"]
    assert not {"auc", "precision", "recall", "f1", "precision_recall_curve"} & set(figures)
    assert figures["accuracy"]["value"] == 1
    asked = quality_baseline.constraints(quiet, margin=0.1)["binary_classification_constraints"]
    assert set(asked) == {"accuracy", "true_negative_rate", "false_positive_rate"}
    assert unset is not None
    metrics = unset["binary_classification_metrics"]
    assert "f1" not in metrics
    assert "standard_deviation" not in metrics["auc"]  # of fewer than 200 rows
