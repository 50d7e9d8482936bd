import contextlib
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.serving.host import bodies, sizes
from mlops_bikeshare.serving.host.bodies import Answer
from mlops_bikeshare.serving.host.sizes import BodyError

TABLE = pa.table(
    {"a": pa.array([1, None], pa.float32()), "b": pa.array([3.0, float("nan")], pa.float32())}
)


def arrow(table: pa.Table, codec: str | None = None) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def refused(body: bytes, kind: str) -> BodyError:
    with pytest.raises(BodyError) as caught:
        bodies.decode(body, kind)
    return caught.value


@pytest.mark.parametrize("kind", [bodies.ARROW, bodies.PARQUET])
def test_binary_bodies_keep_types_and_missing_values(kind: str) -> None:
    content_type, body = bodies.encode(Answer(TABLE), kind)
    assert content_type == kind
    assert str(bodies.decode(body, f"{kind}; charset=x")) == str(TABLE)


def test_json_says_null_for_a_missing_value() -> None:
    assert bodies.encode(Answer(TABLE), "*/*") == (
        bodies.JSON,
        b'{"predictions": [{"a": 1.0, "b": 3.0}, {"a": null, "b": null}]}',
    )


def test_an_answer_without_names_is_rows_or_plain_values_in_json() -> None:
    rows, values = Answer(TABLE, named=False), Answer(TABLE.select(["a"]), named=False)
    assert bodies.encode(rows, "")[1] == b'{"predictions": [[1.0, 3.0], [null, null]]}'
    assert bodies.encode(values, "")[1] == b'{"predictions": [1.0, null]}'


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2.5], [None, 4]]}},
        {"dataframe_records": [{"a": 1, "b": 2.5}, {"b": 4}]},
        {"instances": [{"a": 1, "b": 2.5}, {"b": 4}]},
        {"inputs": {"a": [1, None], "b": [2.5, 4]}},
    ],
)
def test_each_shape_of_json_is_the_same_table(document: dict[str, Any]) -> None:
    table = bodies.decode(json.dumps(document).encode(), bodies.JSON)
    assert table.to_pydict() == {"a": [1, None], "b": [2.5, 4.0]}


def test_an_unknown_accept_type_is_not_acceptable() -> None:
    with pytest.raises(BodyError) as caught:
        bodies.encode(Answer(TABLE), "text/html")
    assert caught.value.status == 406


@given(body=st.binary(max_size=200), kind=st.sampled_from([bodies.JSON, bodies.PARQUET]))
def test_noise_is_a_bad_request(body: bytes, kind: str) -> None:
    assert refused(body, kind).status == 400


@given(cut=st.integers(min_value=0, max_value=300))
def test_a_truncated_arrow_stream_is_a_bad_request(cut: int) -> None:
    assert refused(arrow(TABLE, "zstd")[:cut], bodies.ARROW).status == 400


@given(data=st.data())
def test_an_arrow_stream_with_changed_bytes_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(arrow(TABLE, data.draw(st.sampled_from([None, "zstd", "lz4"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BodyError):
        bodies.decode(bytes(body), bodies.ARROW)


@pytest.mark.parametrize("kind", [bodies.ARROW, bodies.PARQUET, bodies.JSON])
def test_more_cells_than_the_limit_are_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MAX_CELLS", 3)
    _, body = bodies.encode(Answer(TABLE), kind)
    assert refused(body.replace(b"predictions", b"instances"), kind).status == 413


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_compressed_arrow_stream_is_measured_before_it_is_unpacked(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"a": np.zeros(2_000_000, np.float32)})
    body, before = arrow(table, codec), pa.total_allocated_bytes()
    assert len(body) < 40_000
    assert bodies.decode(body, bodies.ARROW).num_rows == 2_000_000
    monkeypatch.setattr(sizes, "MAX_UNPACKED", 7_999_999)
    assert refused(body, bodies.ARROW).status == 413
    assert pa.total_allocated_bytes() - before < 1_000_000


def test_a_compressed_dictionary_of_an_arrow_stream_counts_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = pa.array(["x" * 100_000, "y" * 100_000]).dictionary_encode()
    body = arrow(pa.table({"a": words}), "zstd")
    assert len(body) < 2000
    monkeypatch.setattr(sizes, "MAX_UNPACKED", 199_999)
    assert refused(body, bodies.ARROW).status == 413


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli"])
def test_parquet_whose_unpacked_size_has_no_bound_is_refused(codec: str) -> None:
    bad = refused(parquet(TABLE, compression=codec), bodies.PARQUET)
    assert (bad.status, "none and snappy" in str(bad)) == (415, True)
    assert bodies.decode(parquet(TABLE, compression="snappy"), bodies.PARQUET).num_rows == 2


def test_parquet_text_which_a_dictionary_multiplies_is_refused() -> None:
    body = parquet(pa.table({"a": ["x" * 1000] * 1000}))
    assert len(body) < 10_000
    assert refused(body, bodies.PARQUET).status == 415


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1.0], [2.0]]),
        pa.array([{"x": 1}]),
        pa.RunEndEncodedArray.from_arrays(pa.array([2_000_000_000], pa.int32()), pa.array([1.0])),
    ],
)
def test_nested_and_run_length_columns_are_refused(column: pa.Array) -> None:
    body = arrow(pa.table({"a": column.slice(0, 1)}))
    assert refused(body, bodies.ARROW).status == 400


def test_a_name_that_is_there_twice_is_a_bad_request() -> None:
    twice = pa.Table.from_arrays([TABLE["a"], TABLE["b"]], names=["a", "a"])
    assert refused(arrow(twice), bodies.ARROW).status == 400
    document = {"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}
    assert refused(json.dumps(document).encode(), bodies.JSON).status == 400


def test_json_records_of_many_names_are_refused_before_a_column_is_made() -> None:
    records = json.dumps({"instances": [{str(number): 0} for number in range(5000)]})
    assert refused(records.encode(), bodies.JSON).status == 413
