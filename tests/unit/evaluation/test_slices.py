import numpy as np
import pytest

from mlops_bikeshare.domain.errors import GridError
from mlops_bikeshare.evaluation.slices import Rows, slices, worst

N, DAY = 8000, 86_400


def rows(*, days: int = 8) -> tuple[Rows, np.ndarray]:
    """In the south the model knows no more than persistence does; elsewhere it knows all."""
    rng = np.random.default_rng(5)
    p = rng.random(N) ** 3
    where = rng.choice(["north", "south", "tiny"], N, p=[0.5, 0.497, 0.003])
    persistence = np.full(N, p.mean())
    found, chosen = Rows.of(
        (rng.random(N) < p).astype(np.float32),
        np.where(where == "south", persistence, p),
        persistence,
        already_out=rng.random(N) < 0.1,
        dt=np.sort(rng.integers(0, days * DAY, N)),
        seed=1,
    )
    return found, where[chosen]


def test_the_slice_where_the_model_adds_nothing_is_the_worst() -> None:
    given, where = rows()
    found = slices(given, {"neighbourhood": where})
    bad = worst(found)["neighbourhood"]
    assert (bad.name, bad.skill) == ("south", 0.0)
    north = found["neighbourhood"][1]
    assert north.skill is not None
    assert north.interval is not None
    assert 0 < north.interval[0] < north.skill < north.interval[1]
    assert sum(part.rows for part in found["neighbourhood"]) == len(given.y)


def test_too_few_onsets_are_neither_scored_nor_the_worst() -> None:
    given, where = rows()
    tiny = slices(given, {"neighbourhood": where})["neighbourhood"][-1]
    assert (tiny.name, tiny.skill, tiny.interval, tiny.onset_pr_auc) == ("tiny", None, None, None)
    assert 0 < tiny.onsets < 50
    assert worst(slices(given, {"all": where}, least_onsets=N)) == {}


def test_one_block_of_time_has_no_interval() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(500) < 0.5).astype(float)
    given, _ = Rows.of(y, y, y * 0.5, already_out=np.zeros(500, bool), dt=np.arange(500), seed=1)
    found = slices(given, {"day": np.full(500, "weekday")})["day"][0]
    assert found.skill == 1.0
    assert found.interval is None


def test_columns_of_different_lengths_are_refused() -> None:
    y = np.zeros(3)
    with pytest.raises(GridError, match="differ in length"):
        Rows.of(y, y[:2], y, already_out=y, dt=y, seed=1)
