import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.serving.host import bodies

FRAME = pd.DataFrame({"a": np.array([1, np.nan], np.float32), "b": np.array([3, 4], np.float32)})


@pytest.mark.parametrize("kind", [bodies.ARROW, bodies.PARQUET])
def test_binary_bodies_keep_types_and_missing_values(kind: str) -> None:
    content_type, body = bodies.encode(FRAME, kind)
    assert content_type == kind
    pd.testing.assert_frame_equal(bodies.decode(body, f"{kind}; charset=x"), FRAME)


def test_json_says_null_for_a_missing_value() -> None:
    assert bodies.encode(FRAME, "*/*") == (
        bodies.JSON,
        b'{"predictions": [{"a": 1.0, "b": 3.0}, {"a": null, "b": 4.0}]}',
    )


def test_an_unknown_accept_type_is_not_acceptable() -> None:
    with pytest.raises(bodies.BodyError) as caught:
        bodies.encode(FRAME, "text/html")
    assert caught.value.status == 406


@given(body=st.binary(max_size=200), kind=st.sampled_from([bodies.JSON, bodies.PARQUET]))
def test_noise_is_a_bad_request(body: bytes, kind: str) -> None:
    with pytest.raises(bodies.BodyError) as caught:
        bodies.decode(body, kind)
    assert caught.value.status == 400


@given(cut=st.integers(min_value=0, max_value=400))
def test_a_truncated_arrow_stream_is_a_bad_request(cut: int) -> None:
    _, body = bodies.encode(FRAME, bodies.ARROW)
    with pytest.raises(bodies.BodyError) as caught:
        bodies.decode(body[:cut], bodies.ARROW)
    assert caught.value.status == 400


def test_more_cells_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_CELLS", 3)
    for kind in (bodies.ARROW, bodies.PARQUET):
        _, body = bodies.encode(FRAME, kind)
        with pytest.raises(bodies.BodyError) as caught:
            bodies.decode(body, kind)
        assert caught.value.status == 413
