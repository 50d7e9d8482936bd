"""The host on the wire, asked by unmodified boto3 and mlflow.sagemaker."""

import io
import json
import os
import signal
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from botocore.exceptions import ClientError

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.serving import endpoints, launch, predict
from mlops_bikeshare.serving.deploy import Deployment, Hosting, deploy, discard
from mlops_bikeshare.serving.session import Clients

HOSTING = Hosting(
    bucket="bikeshare-models",
    image_url="local/bikeshare:1",
    execution_role_arn="arn:aws:iam::000000000000:role/bikeshare",
)
DT = datetime(2021, 9, 1, 12, tzinfo=UTC)
# `import mlflow` warns about its own type hints


def rows(count: int = 2) -> pd.DataFrame:
    values = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    return pd.DataFrame(values, columns=list("abc"))


def put(clients: Clients, endpoint: str, model: Path, **tags: str) -> Deployment:
    return deploy(clients, endpoint=endpoint, model_uri=str(model), hosting=HOSTING, tags=tags)


def serve(clients: Clients, endpoint: str, model: Path, **tags: str) -> Deployment:
    made = put(clients, endpoint, model, **tags)
    endpoints.wait_in_service(clients, endpoint, config=made.config, timeout_s=30)
    return made


def answer(clients: Clients, endpoint: str) -> float:
    got = predict.invoke(clients, endpoint, rows(1), dt=DT)
    return float(got.frame["p_x_10"].iloc[0])


@pytest.fixture(scope="module")
def shared(endpoint_host: Any, models: Any) -> Any:
    """The shared host with an endpoint `shared` that answers a + 0."""
    serve(endpoint_host.clients, "shared", models(), version="1", digest="d1")
    return endpoint_host


def test_mlflow_creates_replaces_predicts_and_deletes(shared: Any, models: Any) -> None:
    from mlflow.sagemaker import SageMakerDeploymentClient

    clients = shared.clients
    serve(clients, "lifecycle", models(), version="1", digest="d1")
    serve(clients, "lifecycle", models(bias=1.0), version="2", digest="d2")
    with clients.default_session():
        client = SageMakerDeploymentClient("sagemaker:/eu-west-1")
        predictions = client.predict("lifecycle", rows(2))
        names = [entry["EndpointName"] for entry in client.list_deployments()]
        client.delete_deployment("lifecycle", config={"synchronous": False, "archive": True})
    endpoints.wait_gone(clients, "lifecycle", timeout_s=10)
    assert predictions.get_predictions()["p_x_10"].tolist() == [1.0, 4.0]
    assert "lifecycle" in names


def test_identity_is_read_from_model_tags(shared: Any) -> None:
    state = endpoints.describe(shared.clients, "shared")
    variant = state.variant("AllTraffic")
    assert (variant.version, variant.digest, variant.weight) == ("1", "d1", 1.0)


def test_the_deployed_archive_is_the_model_folder(shared: Any, tmp_path: Path) -> None:
    variant = endpoints.describe(shared.clients, "shared").variants[0]
    folder = endpoints.fetch_archive(shared.clients, variant, tmp_path / "out")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"MLmodel", "code/scorer.py", "artifacts/scorer.json"}


def test_the_default_session_of_boto3_comes_back(shared: Any) -> None:
    import boto3

    before = boto3.DEFAULT_SESSION, boto3.Session, dict(os.environ)
    with pytest.raises(RuntimeError), shared.clients.default_session():
        raise RuntimeError
    assert (boto3.DEFAULT_SESSION, boto3.Session, dict(os.environ)) == before


def test_a_model_that_cannot_load_leaves_the_old_config_in_service(
    shared: Any, models: Any
) -> None:
    clients = shared.clients
    good = serve(clients, "restored", models(bias=5.0))
    bad = put(clients, "restored", models(scorer="raise OSError('no such tree')"))
    with pytest.raises(EndpointError, match=r"restored.*no such tree"):
        endpoints.wait_in_service(clients, "restored", config=bad.config, timeout_s=30)
    state = endpoints.describe(clients, "restored")
    assert (state.status, state.config) == ("InService", good.config)
    assert answer(clients, "restored") == 5.0


def test_a_create_that_cannot_load_fails_and_the_next_deploy_makes_room(
    shared: Any, models: Any
) -> None:
    clients = shared.clients
    bad = put(clients, "first", models(scorer="import nothing_of_that_name"))
    with pytest.raises(EndpointError, match=r"Failed.*nothing_of_that_name"):
        endpoints.wait_in_service(clients, "first", config=bad.config, timeout_s=30)
    serve(clients, "first", models(bias=2.0))
    assert answer(clients, "first") == 2.0


def test_waiting_ends_and_what_never_served_can_be_discarded(shared: Any, models: Any) -> None:
    clients = shared.clients
    made = put(clients, "slow", models(scorer="import time; time.sleep(1.5); no"))
    with pytest.raises(EndpointError, match="still Creating after 0 s"):
        endpoints.wait_in_service(clients, "slow", config=made.config, timeout_s=0)
    discard(clients, made)  # it may still come up
    assert endpoints.find(clients, "slow") is not None
    with pytest.raises(EndpointError, match="is Failed"):
        endpoints.wait_in_service(clients, "slow", config=made.config, timeout_s=30)
    discard(clients, made)
    assert endpoints.find(clients, "slow") is None
    with pytest.raises(ClientError, match="Could not find model"):
        clients.sagemaker.describe_model(ModelName=made.model)
    serving = serve(clients, "slow", models(bias=2.0))
    discard(clients, serving)
    assert answer(clients, "slow") == 2.0


def test_rollback_to_an_earlier_config(shared: Any, models: Any) -> None:
    clients = shared.clients
    old = serve(clients, "back", models(bias=1.0))
    serve(clients, "back", models(bias=2.0))
    endpoints.restore_config(clients, "back", old.config)
    endpoints.wait_in_service(clients, "back", config=old.config, timeout_s=30)
    assert answer(clients, "back") == 1.0


def test_no_request_is_lost_while_an_endpoint_is_updated(shared: Any, models: Any) -> None:
    clients = shared.clients
    serve(clients, "busy", models(bias=1.0))
    clients.runtime  # noqa: B018 - made once, before threads share it
    done, seen, failures = threading.Event(), set(), []

    def ask() -> None:
        patience = predict.Patience(attempts=1, in_flight=1)
        while not done.is_set():
            try:
                got = predict.invoke(clients, "busy", rows(1), dt=DT, patience=patience)
                seen.add(float(got.frame["p_x_10"].iloc[0]))
            except EndpointError as error:
                failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    serve(clients, "busy", models(bias=2.0))
    answer(clients, "busy")
    done.set()
    thread.join()
    assert failures == []
    assert seen == {1.0, 2.0}


def test_weights_and_targets_decide_which_variant_answers(shared: Any, models: Any) -> None:
    clients = shared.clients
    first = serve(clients, "split-a", models(bias=0.0))
    second = serve(clients, "split-b", models(bias=100.0))
    variants = [
        {
            "VariantName": name,
            "ModelName": made.model,
            "InitialVariantWeight": weight,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
        for name, made, weight in (("Baseline", first, 0.75), ("Candidate", second, 0.25))
    ]
    sagemaker = clients.sagemaker
    sagemaker.create_endpoint_config(EndpointConfigName="split", ProductionVariants=variants)
    sagemaker.create_endpoint(EndpointName="split", EndpointConfigName="split")
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName="split", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    patience = predict.Patience(in_flight=1)
    got = predict.invoke(
        clients, "split", rows(8), dt=DT, max_bytes=rows(1).size * 4, patience=patience
    )
    assert list(got.variants).count("Candidate") == 2
    assert np.array_equal(got.variants == "Candidate", got.frame["p_x_10"] >= 100)
    endpoints.set_weights(clients, "split", {"Baseline": 1.0, "Candidate": 0.0})
    assert set(predict.invoke(clients, "split", rows(4), dt=DT, max_bytes=12).variants) == {
        "Baseline"
    }
    targeted = predict.invoke(clients, "split", rows(1), dt=DT, target_variant="Candidate")
    assert targeted.variants[0] == "Candidate"
    with pytest.raises(EndpointError, match="Nobody not found"):
        predict.invoke(clients, "split", rows(1), dt=DT, target_variant="Nobody")


def test_metrics_equal_acknowledged_responses(shared: Any, models: Any) -> None:
    serve(shared.clients, "metered", models())
    predict.invoke(shared.clients, "metered", rows(20), dt=DT, max_bytes=12)
    values: dict[str, list[float]] = {}
    for name, dimensions, _, value in shared.points():
        if dimensions == {"EndpointName": "metered", "VariantName": "AllTraffic"}:
            values.setdefault(name, []).append(value)
    assert {name: len(points) for name, points in values.items()} == dict.fromkeys(
        [
            "Invocations",
            "Invocation4XXErrors",
            "Invocation5XXErrors",
            "ModelLatency",
            "OverheadLatency",
        ],
        20,
    )
    assert sum(values["Invocations"]) == 20
    assert sum(values["Invocation4XXErrors"]) == sum(values["Invocation5XXErrors"]) == 0
    assert 0 < min(values["ModelLatency"]) < 60e6


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_missing_values_travel_as_missing(shared: Any, kind: Any) -> None:
    frame = rows(3)
    frame.loc[1, "a"] = np.nan
    got = predict.invoke(shared.clients, "shared", frame, dt=DT, body=kind)
    assert np.isnan(got.frame["p_x_10"]).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"secret-4711", "application/json", 400),
        (b"secret-4711", predict.ARROW, 400),
        (b"secret-4711", predict.PARQUET, 400),
        (b"secret-4711", "text/secret-4711", 415),
        (b'{"instances": [{"secret-4711": 1}]}', "application/json", 400),
        (b'{"instances": [{"a": "secret-4711", "b": 1, "c": 1}]}', "application/json", 400),
        (b'{"dataframe_split": {"columns": ["a"], "data": []}}', "application/json", 400),
        (b'{"nothing": 1}', "application/json", 400),
    ],
)
def test_a_bad_body_is_a_4xx_that_echoes_nothing(
    shared: Any, body: bytes, content_type: str, status: int
) -> None:
    with pytest.raises(ClientError) as caught:
        shared.clients.runtime.invoke_endpoint(
            EndpointName="shared", Body=body, ContentType=content_type
        )
    response = caught.value.response
    assert response["Error"]["Code"] == "ModelError"
    assert response["OriginalStatusCode"] == status
    assert "4711" not in json.dumps(response)


def test_json_split_and_inputs_are_understood(shared: Any) -> None:
    for document in (
        {"dataframe_split": {"columns": ["a", "b", "c"], "data": [[7, 0, 0]]}},
        {"inputs": {"a": [7], "b": [0], "c": [0]}},
    ):
        got = shared.clients.runtime.invoke_endpoint(
            EndpointName="shared", Body=json.dumps(document), ContentType="application/json"
        )
        assert json.loads(got["Body"].read()) == {"predictions": [{"p_x_10": 7.0}]}
        assert got["InvokedProductionVariant"] == "AllTraffic"


def test_a_body_over_six_megabytes_is_refused(shared: Any) -> None:
    with pytest.raises(ClientError) as caught:
        shared.clients.runtime.invoke_endpoint(EndpointName="shared", Body=bytes(6 * 1024**2 + 1))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


@pytest.mark.parametrize("a", [666, 668])
def test_a_model_that_fails_is_a_5xx_and_the_endpoint_lives_on(shared: Any, a: int) -> None:
    patience = predict.Patience(attempts=2, in_flight=1)
    with pytest.raises(EndpointError, match="the model failed"):
        predict.invoke(shared.clients, "shared", rows(2).assign(a=a), dt=DT, patience=patience)
    assert answer(shared.clients, "shared") == 0.0


def test_a_worker_that_dies_is_replaced(shared: Any, models: Any) -> None:
    serve(shared.clients, "crashing", models())
    with pytest.raises(EndpointError, match="process ended"):
        predict.invoke(
            shared.clients,
            "crashing",
            rows(1).assign(a=667),
            dt=DT,
            patience=predict.Patience(attempts=1),
        )
    patient = predict.Patience(attempts=30)
    got = predict.invoke(shared.clients, "crashing", rows(1), dt=DT, patience=patient)
    assert got.frame["p_x_10"].iloc[0] == 0.0


def test_a_chunk_that_fails_is_missing_and_the_others_are_not(shared: Any) -> None:
    frame = rows(4)
    frame.loc[2, "a"] = 666
    once = predict.Patience(attempts=1)
    got = predict.invoke(shared.clients, "shared", frame, dt=DT, max_bytes=12, patience=once)
    assert got.answered.tolist() == [True, True, False, True]
    assert np.isnan(got.frame["p_x_10"].iloc[2])
    assert "the model failed" in str(got.chunks[2].failure)


def test_a_lightgbm_booster_answers_as_it_does_in_process(
    shared: Any, models: Any, boosted_scorer: str
) -> None:
    import lightgbm as lgb

    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)).astype(np.float32)
    data = lgb.Dataset(x, (x[:, 0] > 0).astype(float), feature_name=list("abc"))
    booster = lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 5)
    folder = models(scorer=boosted_scorer)
    booster.save_model(folder / "artifacts" / "x.txt")
    serve(shared.clients, "boosted", folder)
    frame = pd.DataFrame(x, columns=list("abc"))
    got = predict.invoke(shared.clients, "boosted", frame, dt=DT, max_bytes=2000)
    assert np.array_equal(got.frame["p_x_10"], booster.predict(x))


def test_an_archive_that_leaves_its_folder_is_refused(shared: Any, models: Any) -> None:
    clients = shared.clients
    made = serve(clients, "escape", models())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("../../escaped.txt")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    clients.s3.put_object(Bucket="bikeshare-models", Key="evil.tar.gz", Body=packed.getvalue())
    clients.sagemaker.create_model(
        ModelName="evil",
        PrimaryContainer={"Image": "x", "ModelDataUrl": "s3://bikeshare-models/evil.tar.gz"},
        ExecutionRoleArn=HOSTING.execution_role_arn,
    )
    variant = {"VariantName": "AllTraffic", "ModelName": "evil", "InitialVariantWeight": 1}
    clients.sagemaker.create_endpoint_config(
        EndpointConfigName="evil", ProductionVariants=[variant]
    )
    endpoints.restore_config(clients, "escape", "evil")
    with pytest.raises(EndpointError, match=r"escaped\.txt' leaves its folder"):
        endpoints.wait_in_service(clients, "escape", config="evil", timeout_s=30)
    assert endpoints.describe(clients, "escape").config == made.config
    assert not list(shared.root.rglob("escaped.txt"))


def test_a_big_archive_goes_up_in_parts_and_comes_back_whole(shared: Any) -> None:
    s3, content = shared.clients.s3, np.random.default_rng(0).bytes(17 * 1024**2)
    s3.upload_fileobj(io.BytesIO(content), "bucket-of-parts", "a/b.bin")
    back = io.BytesIO()
    s3.download_fileobj("bucket-of-parts", "a/b.bin", back)
    assert back.getvalue() == content
    assert s3.head_object(Bucket="bucket-of-parts", Key="a/b.bin")["ContentLength"] == len(content)
    tags = {"TagSet": [{"Key": "k", "Value": "<v>"}]}
    s3.put_object_tagging(Bucket="bucket-of-parts", Key="a/b.bin", Tagging=tags)
    assert (
        s3.get_object_tagging(Bucket="bucket-of-parts", Key="a/b.bin")["TagSet"] == tags["TagSet"]
    )
    s3.put_object(Bucket="bucket-of-parts", Key="a/c", Body=b"c")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="bucket-of-parts", Prefix="a/", PaginationConfig={"PageSize": 1}
    )
    assert [item["Key"] for page in pages for item in page["Contents"]] == ["a/b.bin", "a/c"]
    s3.delete_object(Bucket="bucket-of-parts", Key="a/b.bin")
    with pytest.raises(ClientError, match=r"404|NoSuchKey|Not Found"):
        s3.head_object(Bucket="bucket-of-parts", Key="a/b.bin")


def test_an_upload_in_signed_chunks_is_put_together(shared: Any) -> None:
    import httpx

    url, chunked = f"{shared.facts.url}/bucket/chunked", {"Content-Encoding": "aws-chunked"}
    body = b"3;chunk-signature=0\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:x\r\n\r\n"
    assert httpx.put(url, content=body, headers=chunked).status_code == 200
    assert httpx.get(url).content == b"abcde"
    assert httpx.put(url, content=b"zz\r\n", headers=chunked).status_code == 400
    damaged = httpx.put(url, content=b"abc", headers={"x-amz-checksum-crc32": "AAAAAA=="})
    assert (damaged.status_code, "BadDigest" in damaged.text) == (400, True)
    assert httpx.get(url).content == b"abcde"


def test_lists_come_in_pages_and_tags_can_be_changed(shared: Any) -> None:
    sagemaker = shared.clients.sagemaker
    container = {"Image": "x", "ModelDataUrl": "s3://bikeshare-models/none"}
    names = [f"paged-{number}" for number in range(3)]
    for name in names:
        made = sagemaker.create_model(ModelName=name, PrimaryContainer=container)
    pages = sagemaker.get_paginator("list_models").paginate(
        NameContains="paged", SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 2}
    )
    assert [model["ModelName"] for page in pages for model in page["Models"]] == names
    owner = made["ModelArn"]
    sagemaker.add_tags(ResourceArn=owner, Tags=[{"Key": "x", "Value": "1"}])
    sagemaker.delete_tags(ResourceArn=owner, TagKeys=["x"])
    assert sagemaker.list_tags(ResourceArn=owner)["Tags"] == []
    for name in names:
        sagemaker.delete_model(ModelName=name)
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName=names[0])


def test_what_serves_cannot_be_deleted(shared: Any) -> None:
    state = endpoints.describe(shared.clients, "shared")
    with pytest.raises(ClientError, match="endpoint shared uses it"):
        shared.clients.sagemaker.delete_endpoint_config(EndpointConfigName=state.config)
    with pytest.raises(ClientError, match="endpoint shared uses it"):
        shared.clients.sagemaker.delete_model(ModelName=state.variants[0].model)


def test_a_deploy_that_fails_leaves_no_orphans(shared: Any, models: Any) -> None:
    clients = shared.clients
    before = clients.sagemaker.list_models(MaxResults=100)["Models"]
    with pytest.raises(EndpointError, match="cannot deploy"):
        deploy(
            clients,
            endpoint="bad--" + "x" * 70,
            model_uri=str(models()),
            hosting=HOSTING,
            tags={},
        )
    assert clients.sagemaker.list_models(MaxResults=100)["Models"] == before
    assert not list((shared.root / "s3" / "bikeshare-models").glob("bad*"))


def test_an_unknown_endpoint_is_one_clear_error(shared: Any) -> None:
    assert endpoints.find(shared.clients, "nowhere") is None
    with pytest.raises(EndpointError, match="no endpoint nowhere"):
        endpoints.describe(shared.clients, "nowhere")
    with pytest.raises(EndpointError, match=r"Endpoint nowhere of account .* not found"):
        predict.invoke(shared.clients, "nowhere", rows(1), dt=DT)


def test_a_host_that_is_not_running_says_how_to_start_it() -> None:
    clients = Clients(url="http://127.0.0.1:9", region="eu-west-1")
    with pytest.raises(EndpointError, match=r"make serve.*bikeshare serve"):
        endpoints.describe(clients, "shared")
    once = predict.Patience(attempts=1)
    with pytest.raises(EndpointError, match=r"make serve.*bikeshare serve"):
        predict.invoke(clients, "shared", rows(1), dt=DT, patience=once)


def test_a_replay_stamps_metrics_with_dt(own_host: Callable[..., Any], models: Any) -> None:
    host = own_host("replay")
    serve(host.clients, "replayed", models())
    answer(host.clients, "replayed")
    assert {at for _, _, at, _ in host.points()} == {DT.isoformat()}
    with pytest.raises(ClientError, match="CustomAttributes must hold dt="):
        host.clients.runtime.invoke_endpoint(EndpointName="replayed", Body=b"{}")


def test_a_killed_front_leaves_no_worker_and_a_restart_brings_endpoints_back(
    own_host: Callable[..., Any], models: Any
) -> None:
    host = own_host()
    made = serve(host.clients, "survivor", models(bias=3.0), version="9")
    assert len(host.workers()) == 1
    os.kill(host.facts.pid, signal.SIGKILL)
    host.process.wait()
    deadline = time.monotonic() + 10
    while host.workers():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    host.start()
    state = endpoints.describe(host.clients, "survivor")
    assert (state.status, state.config) == ("InService", made.config)
    assert state.variants[0].version == "9"
    assert answer(host.clients, "survivor") == 3.0
    host.stop()
    assert host.workers() == []
    assert not (host.root / "host.json").exists()


def test_the_facts_of_a_killed_host_do_not_count(own_host: Callable[..., Any]) -> None:
    host = own_host()
    assert launch.running(host.root) == host.facts
    os.kill(host.facts.pid, signal.SIGKILL)
    host.process.wait()
    # the pid in the file is somebody else's now: ours
    facts = {**asdict(host.facts), "pid": os.getpid()}
    (host.root / "host.json").write_text(json.dumps(facts))
    assert launch.running(host.root) is None


def test_a_host_that_cannot_start_says_why(own_host: Callable[..., Any]) -> None:
    host = own_host()
    with pytest.raises(EndpointError, match=r"did not start.*another endpoint host"):
        launch.start(host.process.args, host.root, timeout_s=20)


def test_a_taken_port_and_a_served_workspace_are_refused(
    own_host: Callable[..., Any], tmp_path: Path
) -> None:
    from mlops_bikeshare.serving.host.server import run_host

    host = own_host()

    def refused(root: Path, address: str, port: int, words: str) -> None:
        with pytest.raises(EndpointError, match=words):
            run_host(root=root, host=address, port=port, sink=lambda _: None, replay_clock=False)

    refused(tmp_path / "other", "127.0.0.1", host.facts.port, f"port {host.facts.port}.*choose")
    refused(host.root, "127.0.0.1", 0, "another endpoint host")
    refused(tmp_path / "other", "0.0.0.0", 0, "127.0.0.1 only")  # noqa: S104 - refused


def test_a_foreign_host_header_is_refused(shared: Any) -> None:
    import httpx

    reply = httpx.get(f"{shared.facts.url}/ping", headers={"Host": "evil.example"})
    assert reply.status_code == 400
