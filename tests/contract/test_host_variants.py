"""Ten variants, shadows, data capture and /metrics, asked by unmodified boto3."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from mlops_bikeshare.serving.session import Clients
from tests.contract.models import create_endpoint, put_model, variant
from tests.full_disk import command_on_small_disk, fill

BODY = b'{"inputs": {"a": [7], "b": [0], "c": [0]}}'


def capturing(**what: Any) -> dict[str, Any]:
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://captured/here",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        **what,
    }


@pytest.fixture(scope="module")
def host(endpoint_host: Any, models: Any) -> Any:
    """The shared host, which has models that answer a + 0 and a + 100, and one that fails."""
    for name, model in {
        "zero": models(),
        "hundred": models(bias=100.0),
        "broken": models(scorer="no"),
    }.items():
        put_model(endpoint_host.clients, name, model)
    return endpoint_host


def endpoint(clients: Clients, name: str, variants: list[dict[str, Any]], **config: Any) -> None:
    create_endpoint(clients, name, *variants, **config)


def ask(clients: Clients, name: str, body: bytes = BODY, **more: Any) -> tuple[str, float]:
    got = clients.runtime.invoke_endpoint(
        EndpointName=name, Body=body, ContentType="application/json", **more
    )
    value = json.loads(got["Body"].read())["predictions"][0]["p_x_10"]
    return got["InvokedProductionVariant"], value


def samples(host: Any, endpoint: str) -> dict[str, float]:
    lines = httpx.get(f"{host.facts.url}/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if f'endpoint="{endpoint}"' in line)
    return {name: float(value) for name, value in pairs}


def wait_until(true: Any, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ten_variants_serve_and_eleven_are_refused(host: Any) -> None:
    ten = [variant(f"v{number}", "zero", weight=float(number == 3)) for number in range(10)]
    endpoint(host.clients, "ten", ten)
    assert {ask(host.clients, "ten")[0] for _ in range(5)} == {"v3"}
    # a weight of 0 takes no traffic, but answers whoever asks for it by name
    assert ask(host.clients, "ten", TargetVariant="v9")[0] == "v9"
    host.clients.sagemaker.delete_endpoint(EndpointName="ten")
    with pytest.raises(ClientError, match="1 to 10 variants"):
        host.clients.sagemaker.create_endpoint_config(
            EndpointConfigName="eleven", ProductionVariants=[*ten, variant("v10", "zero")]
        )


def test_a_shadow_sees_its_share_and_answers_nobody(host: Any) -> None:
    shadow = variant("Shadow", "hundred", weight=0.5)
    endpoint(
        host.clients, "shaded", [variant("AllTraffic", "zero")], ShadowProductionVariants=[shadow]
    )
    assert {ask(host.clients, "shaded") for _ in range(10)} == {("AllTraffic", 7.0)}
    count = 'bikeshare_invocations_total{endpoint="shaded",status="200",variant="%s"}'.__mod__
    wait_until(lambda: samples(host, "shaded").get(count("Shadow")) == 5)
    assert samples(host, "shaded")[count("AllTraffic")] == 10
    seen = host.clients.sagemaker.describe_endpoint(EndpointName="shaded")
    assert [v["VariantName"] for v in seen["ShadowProductionVariants"]] == ["Shadow"]
    with pytest.raises(ClientError, match="Shadow not found"):
        ask(host.clients, "shaded", TargetVariant="Shadow")


def test_a_shadow_that_cannot_load_fails_the_endpoint_and_two_production_variants_have_none(
    host: Any,
) -> None:
    sagemaker, broken = host.clients.sagemaker, [variant("Shadow", "broken")]
    sagemaker.create_endpoint_config(
        EndpointConfigName="dim",
        ProductionVariants=[variant("AllTraffic", "zero")],
        ShadowProductionVariants=broken,
    )
    sagemaker.create_endpoint(EndpointName="dim", EndpointConfigName="dim")
    wait_until(
        lambda: sagemaker.describe_endpoint(EndpointName="dim")["EndpointStatus"] == "Failed"
    )
    with pytest.raises(ClientError, match="beside exactly one"):
        sagemaker.create_endpoint_config(
            EndpointConfigName="dimmer",
            ProductionVariants=[variant("a", "zero"), variant("b", "zero")],
            ShadowProductionVariants=broken,
        )


def test_capture_writes_sagemakers_lines_for_the_share_asked_for(host: Any) -> None:
    header = {"JsonContentTypes": ["application/json"]}
    config = capturing(InitialSamplingPercentage=50, CaptureContentTypeHeader=header)
    endpoint(host.clients, "kept", [variant("AllTraffic", "zero")], DataCaptureConfig=config)
    for number in range(6):
        ask(host.clients, "kept", CustomAttributes=f"number={number}")
    objects = host.clients.s3.list_objects_v2(Bucket="captured", Prefix="here/kept/AllTraffic/")
    (key,) = [item["Key"] for item in objects["Contents"]]
    assert key.count("/") == 7
    assert key.endswith(".jsonl")
    text = host.clients.s3.get_object(Bucket="captured", Key=key)["Body"].read()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["eventMetadata"]["customAttributes"] for line in lines] == [
        ["number=1"],
        ["number=3"],
        ["number=5"],
    ]
    assert {line["eventVersion"] for line in lines} == {"0"}
    assert lines[0]["captureData"]["endpointInput"] == {
        "observedContentType": "application/json",
        "mode": "INPUT",
        "data": BODY.decode(),
        "encoding": "JSON",
    }
    answer = json.loads(lines[0]["captureData"]["endpointOutput"]["data"])
    assert answer == {"predictions": [{"p_x_10": 7.0}]}
    described = host.clients.sagemaker.describe_endpoint(EndpointName="kept")["DataCaptureConfig"]
    assert (described["CaptureStatus"], described["CurrentSamplingPercentage"]) == ("Started", 50)


def test_capture_of_an_unnamed_type_is_base64_and_what_cannot_be_written_costs_no_answer(
    host: Any,
) -> None:
    config = capturing(DestinationS3Uri="s3://captured", CaptureOptions=[{"CaptureMode": "Input"}])
    endpoint(host.clients, "raw", [variant("AllTraffic", "zero")], DataCaptureConfig=config)
    ask(host.clients, "raw")
    folder: Path = host.root / "s3" / "captured" / "raw" / "AllTraffic"
    (file,) = folder.rglob("*.jsonl")
    kept = json.loads(file.read_text())["captureData"]["endpointInput"]
    assert (kept["encoding"], base64.b64decode(kept["data"])) == ("BASE64", BODY)
    file.unlink()
    file.mkdir()  # nothing can be written there any more
    assert ask(host.clients, "raw") == ("AllTraffic", 7.0)


def test_captures_older_than_a_month_go_and_what_is_no_capture_stays(host: Any) -> None:
    there = host.root / "s3" / "captured" / "month"
    old, recent, other = (
        there / name / "AllTraffic" / day / "07" / "a.jsonl"
        for name, day in (("gone", "2021/01/31"), ("monthly", "2999/01/31"), ("monthly", "notes"))
    )
    for file in (old, recent, other):
        file.parent.mkdir(parents=True)
        file.touch()
    config = capturing(DestinationS3Uri="s3://captured/month")
    endpoint(host.clients, "monthly", [variant("AllTraffic", "zero")], DataCaptureConfig=config)

    ask(host.clients, "monthly")

    assert not list((there / "gone" / "AllTraffic").iterdir())
    assert recent.is_file()
    assert other.is_file()
    assert len(list(there.rglob("*.jsonl"))) == 3


def test_on_a_full_disk_captured_lines_and_objects_are_whole_or_absent_and_answers_go_on(
    own_host: Callable[..., Any], models: Any, tmp_path: Path
) -> None:
    objects = tmp_path / "var" / "s3"
    objects.mkdir(parents=True)
    host = own_host(before=command_on_small_disk(objects, 256))
    disk = Path(f"/proc/{host.facts.pid}/root{objects}")
    put_model(host.clients, "zero", models())
    config = capturing(DestinationS3Uri="s3://captured", CaptureOptions=[{"CaptureMode": "Input"}])
    endpoint(host.clients, "full", [variant("AllTraffic", "zero")], DataCaptureConfig=config)

    def kept() -> int:
        (file,) = disk.rglob("*.jsonl")
        return len([json.loads(line) for line in file.read_text().splitlines()])

    ask(host.clients, "full")
    filler = fill(disk, leave=4096)
    long, large = BODY + b" " * 9_000, f"{host.facts.url}/bucket/large"
    assert {ask(host.clients, "full", body=long) for _ in range(3)} == {("AllTraffic", 7.0)}
    assert kept() == 1
    refused = httpx.put(large, content=bytes(50_000))
    assert (refused.status_code, "No space left on device" in refused.text) == (500, True)
    assert (list((disk / ".incoming").iterdir()), (disk / "bucket").exists()) == ([], False)
    filler.unlink()
    ask(host.clients, "full", body=long)
    assert kept() == 2
    assert httpx.put(large, content=bytes(50_000)).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"CaptureOptions": []}, "CaptureOptions"),
        ({"InitialSamplingPercentage": 101}, "from 0 to 100"),
        ({"DestinationS3Uri": "file:///etc"}, "s3://bucket/prefix"),
        ({"DestinationS3Uri": "s3://bucket/../../up"}, "no path below|not a path below"),
    ],
)
def test_a_capture_that_cannot_be_followed_is_refused(
    host: Any, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(Exception, match=words):
        host.clients.sagemaker.create_endpoint_config(
            EndpointConfigName="x",
            ProductionVariants=[variant("AllTraffic", "zero")],
            DataCaptureConfig=capturing(**wrong),
        )


def test_prometheus_reads_what_was_acknowledged(host: Any) -> None:
    endpoint(host.clients, "read", [variant("AllTraffic", "zero")])
    for _ in range(3):
        ask(host.clients, "read")
    with pytest.raises(ClientError):
        host.clients.runtime.invoke_endpoint(EndpointName="read", Body=b"no")
    seen = samples(host, "read")
    of = '{endpoint="read",variant="AllTraffic"}'
    by = '{endpoint="read",status="%s",variant="AllTraffic"}'.__mod__
    assert seen["bikeshare_invocations_total" + by("200")] == 3
    assert seen["bikeshare_invocations_total" + by("415")] == 1
    assert seen["bikeshare_model_latency_seconds_count" + of] == 4
    assert 0 < seen["bikeshare_model_latency_seconds_sum" + of] < 60
