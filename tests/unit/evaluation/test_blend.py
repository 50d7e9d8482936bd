import numpy as np
import pytest

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.blend import Blend
from mlops_bikeshare.evaluation.scores import log_loss

RNG = np.random.default_rng(1)
A, B = RNG.normal(-1, 1.5, (2, 20_000))
SUM = A + B
Y = (RNG.random(20_000) < 1 / (1 + np.exp(-SUM))).astype(float)


def probability(logit: np.ndarray) -> np.ndarray:
    answer: np.ndarray = 1 / (1 + np.exp(-logit))
    return answer


def test_a_blend_recovers_the_weights_that_made_the_outcomes() -> None:
    blend = Blend.fit(Y, [probability(A), probability(B)])
    np.testing.assert_allclose(blend.weights, [1, 1, 0], atol=0.1)


def test_a_blend_is_better_than_its_parts_on_what_it_learned_from() -> None:
    parts = [probability(A), probability(B)]
    blended = log_loss(Y, Blend.fit(Y, parts).apply(parts))
    assert blended is not None
    assert blended < min(log_loss(Y, p) or 0 for p in parts)


def test_rows_without_a_label_or_a_part_teach_nothing_and_get_no_answer() -> None:
    a, b, y = probability(A), probability(B), Y.copy()
    blend = Blend.fit(y, [a, b])
    holed = np.append(a, [np.nan, 0.5]), np.append(b, [0.5, 0.5])
    again = Blend.fit(np.append(y, [1.0, np.nan]), holed)
    assert again == blend
    assert np.isnan(blend.apply(holed)[-2])


def test_certain_parts_stay_finite() -> None:
    y = np.array([0.0, 1.0, 0.0, 1.0])
    sure = np.array([0.0, 1.0, 0.0, 1.0])
    answer = Blend.fit(y, [sure, sure]).apply([sure, sure])
    assert ((answer > 0) & (answer < 1)).all()


def test_one_class_and_unequal_parts_are_errors() -> None:
    with pytest.raises(GridError, match="both classes"):
        Blend.fit(np.zeros(3), [np.full(3, 0.5)])
    with pytest.raises(GridError, match="differ in length"):
        Blend.fit(np.zeros(3), [np.full(3, 0.5), np.full(2, 0.5)])
