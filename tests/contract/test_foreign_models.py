"""Models of other flavours than ours on the host: logged by mlflow itself, asked over the wire."""

import io
import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.contract.models import create_endpoint, put_model, variant

FROM_CODE = """
import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

class Twice(PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"twice": 2 * model_input["x"], "kind": model_input["kind"]})

mlflow.models.set_model(Twice())
"""
ROWS = pd.DataFrame({"x": [1.0, 2.5], "y": [0.0, 4.0]})
JSON = "application/json"


def serve(host: Any, name: str, folder: Path) -> Callable[..., Any]:
    """Ask an endpoint made of a model folder."""
    put_model(host.clients, name, folder)
    create_endpoint(host.clients, name, variant("AllTraffic", name))

    def ask(body: Any, content_type: str = JSON, accept: str = JSON) -> Any:
        content = json.dumps(body).encode() if content_type == JSON else body
        got = host.clients.runtime.invoke_endpoint(
            EndpointName=name, Body=content, ContentType=content_type, Accept=accept
        )
        return got["Body"].read()

    return ask


def arrow(frame: pd.DataFrame) -> bytes:
    table, sink = pa.Table.from_pandas(frame, preserve_index=False), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_a_lightgbm_model_answers_as_mlflow_does(endpoint_host: Any, tmp_path: Path) -> None:
    import lightgbm as lgb
    import mlflow.lightgbm

    x = np.random.default_rng(0).normal(size=(300, 2))
    data = lgb.Dataset(x, (x[:, 0] > 0).astype(float), feature_name=["x", "y"])
    booster = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 5)
    signature = mlflow.models.infer_signature(ROWS, booster.predict(ROWS))
    mlflow.lightgbm.save_model(booster, tmp_path / "model", signature=signature)
    ask = serve(endpoint_host, "foreign-lightgbm", tmp_path / "model")
    expected = booster.predict(ROWS)
    # whole numbers where the signature says double, as JSON clients send them
    rows = {"dataframe_split": {"columns": ["y", "x"], "data": [[0, 1], [4, 2.5]]}}
    assert json.loads(ask(rows))["predictions"] == pytest.approx(expected)
    kind = "application/vnd.apache.arrow.stream"
    with pa.ipc.open_stream(ask(arrow(ROWS), kind, kind)) as reader:
        assert reader.read_all()["0"].to_pylist() == pytest.approx(expected)
    for wrong in ({"inputs": {"x": [4711.5]}}, {"inputs": {"x": ["secret"], "y": [1]}}):
        with pytest.raises(ClientError) as caught:
            ask(wrong)
        assert caught.value.response["OriginalStatusCode"] == 400
        assert "secret" not in json.dumps(caught.value.response)


@pytest.mark.filterwarnings("ignore:.*type hints:UserWarning")
def test_a_pyfunc_from_code_answers_with_text_and_numbers(
    endpoint_host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    # as on a machine that keeps modules compiled: mlflow archives them with the model
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "twice.py").write_text(textwrap.dedent(FROM_CODE))
    mlflow.pyfunc.save_model(tmp_path / "model", python_model=str(tmp_path / "twice.py"))
    ask = serve(endpoint_host, "foreign-pyfunc", tmp_path / "model")
    records = [{"x": 3, "kind": "bus"}, {"x": 4, "kind": None}]
    assert json.loads(ask({"dataframe_records": records})) == {
        "predictions": [{"twice": 6, "kind": "bus"}, {"twice": 8, "kind": None}]
    }


@pytest.mark.long
def test_a_pickled_model_is_refused_by_name_unless_the_owner_allows_it(
    endpoint_host: Any, own_host: Callable[..., Any], tmp_path: Path
) -> None:
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit(ROWS.to_numpy(), [1.0, 2.0])
    for kind in ("cloudpickle", "skops"):
        mlflow.sklearn.save_model(fitted, tmp_path / kind, serialization_format=kind)
    with pytest.raises(WaiterError, match="Failed"):
        serve(endpoint_host, "foreign-pickle", tmp_path / "cloudpickle")
    described = endpoint_host.clients.sagemaker.describe_endpoint(EndpointName="foreign-pickle")
    assert "'model.pkl' is a pickle" in described["FailureReason"]
    # skops names every type that it makes, and runs no code of the file
    rows = {"instances": ROWS.to_numpy().tolist()}
    ask = serve(endpoint_host, "foreign-skops", tmp_path / "skops")
    assert json.loads(ask(rows))["predictions"] == pytest.approx([1.0, 2.0])
    trusting = serve(own_host("allow-pickle"), "trusted", tmp_path / "cloudpickle")
    assert json.loads(trusting(rows))["predictions"] == pytest.approx([1.0, 2.0])
