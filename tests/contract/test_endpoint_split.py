"""A split of traffic and back, on a real host, with no request lost on the way."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.errors import EndpointError, Refused
from mlops_bikeshare.flows import production
from mlops_bikeshare.serving import configs, endpoints, split
from mlops_bikeshare.settings import load
from tests.contract.models import create_endpoint, put_model, variant
from tests.contract.test_host_variants import ask

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def host(endpoint_host: Any, models: Any) -> Any:
    """A host with an endpoint `canary` of version 1, and a model of version 2."""
    clients = endpoint_host.clients
    put_model(clients, "one", models(), version="1", digest="d1")
    put_model(clients, "two", models(bias=100.0), version="2", digest="d2")
    put_model(clients, "no-use", models(scorer="no"), version="3")
    create_endpoint(clients, "canary", variant("AllTraffic", "one"))
    return endpoint_host


def answers(host: Any, count: int) -> list[str]:
    return [ask(host.clients, "canary")[0] for _ in range(count)]


def test_a_candidate_gets_its_share_then_half_then_all_then_nothing(host: Any) -> None:
    clients = host.clients
    split.split(clients, "canary", model="two", share=0.1, config="canary-split", timeout_s=30)
    assert answers(host, 20).count("Candidate") == 2
    state = endpoints.describe(clients, "canary")
    assert {v.name: v.version for v in state.variants} == {"Baseline": "1", "Candidate": "2"}
    endpoints.set_weights(clients, "canary", {"Baseline": 0.5, "Candidate": 0.5})
    assert answers(host, 10).count("Candidate") == 5
    endpoints.set_weights(clients, "canary", {"Baseline": 0.0, "Candidate": 1.0})
    assert set(answers(host, 5)) == {"Candidate"}
    with pytest.raises(EndpointError, match="split already"):
        split.split(clients, "canary", model="two", share=0.1, config="again", timeout_s=30)
    assert split.merge(clients, "canary", timeout_s=30) == "canary"
    assert set(answers(host, 5)) == {"AllTraffic"}
    with pytest.raises(ClientError, match="Could not find"):
        clients.sagemaker.describe_endpoint_config(EndpointConfigName="canary-split")


def test_what_was_never_split_cannot_be_merged(host: Any) -> None:
    with pytest.raises(EndpointError, match="canary is not a split"):
        split.merge(host.clients, "canary", timeout_s=30)


def test_a_candidate_that_cannot_load_leaves_the_endpoint_and_no_config(host: Any) -> None:
    with pytest.raises(EndpointError, match="refused config bad-split"):
        split.split(
            host.clients, "canary", model="no-use", share=0.1, config="bad-split", timeout_s=30
        )
    assert endpoints.describe(host.clients, "canary").config == "canary"
    with pytest.raises(ClientError, match="Could not find"):
        host.clients.sagemaker.describe_endpoint_config(EndpointConfigName="bad-split")


def described(host: Any, config: str) -> dict[str, Any]:
    found: dict[str, Any] = host.clients.sagemaker.describe_endpoint_config(
        EndpointConfigName=config
    )
    return found


def test_a_config_made_from_another_keeps_its_capture_and_its_shadow(host: Any) -> None:
    capture = {
        "InitialSamplingPercentage": 20, "DestinationS3Uri": "s3://bikeshare-models/seen",
        "CaptureOptions": [{"CaptureMode": "Input"}], "EnableCapture": True,
    }  # fmt: skip
    host.clients.sagemaker.create_endpoint_config(
        EndpointConfigName="watched",
        ProductionVariants=[variant("AllTraffic", "one")],
        ShadowProductionVariants=[variant("Shadow", "two", 0.5)],
        DataCaptureConfig=capture,
    )
    small = {"AllTraffic": ("one", 1.0)}
    configs.create(
        host.clients, "small", like="watched", variants=small, instance_type="ml.t2.medium"
    )

    made = described(host, "small")

    assert made["ProductionVariants"][0]["InstanceType"] == "ml.t2.medium"
    for key in ("ShadowProductionVariants", "DataCaptureConfig"):
        assert made[key] == described(host, "watched")[key]
    two = {"Baseline": ("one", 1.0), "Candidate": ("two", 0.0)}
    with pytest.raises(EndpointError, match="end the shadow's test"):
        configs.create(host.clients, "two", like="watched", variants=two)


def test_a_config_that_starts_with_other_weights_is_copied_once_and_never_changed(
    host: Any,
) -> None:
    two = {"Baseline": ("one", 1.0), "Candidate": ("two", 0.0)}
    configs.create(host.clients, "landed", like="canary", variants=two)
    landed = {"Baseline": 0.0, "Candidate": 1.0}

    name = configs.starting_with(host.clients, "landed", landed)

    found = {v.name: (v.version, v.weight) for v in endpoints.config_variants(host.clients, name)}
    assert found == {"Baseline": ("1", 0.0), "Candidate": ("2", 1.0)}
    assert configs.starting_with(host.clients, "landed", landed) == name
    assert configs.starting_with(host.clients, name, landed) == name
    assert configs.starting_with(host.clients, "canary", {"AllTraffic": 0.7}) == "canary"


def test_a_config_that_was_made_anew_under_its_name_is_not_taken_for_the_one_before(
    host: Any,
) -> None:
    found = []
    for model, share in (("one", 1.0), ("two", 0.5)):
        configs.create(
            host.clients, "again", like="canary", variants={"AllTraffic": (model, share)}
        )
        (there,) = endpoints.config_variants(host.clients, "again")
        found.append((there.version, there.weight))
        host.clients.sagemaker.delete_endpoint_config(EndpointConfigName="again")

    assert found == [("1", 1.0), ("2", 0.5)]


def test_staging_that_was_stopped_starts_with_the_config_that_it_had(
    host: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    ws = open_workspace(load(tmp_path, {}, {}), simulated=True)
    city = ws.settings.city("boston")
    monkeypatch.setattr(Workspace, "clients", property(lambda _: host.clients))
    create_endpoint(host.clients, "bikeshare-staging", variant("AllTraffic", "two"))
    with pytest.raises(Refused, match="never stopped"):
        production.start_staging(ws, ws.settings.city("paris"))

    assert not production.stop_staging(ws, city).running
    assert endpoints.find(host.clients, "bikeshare-staging") is None
    for _ in range(2):  # again: it runs, nothing to do
        assert production.start_staging(ws, city).running

    state = endpoints.describe(host.clients, "bikeshare-staging")
    assert (state.status, state.config, state.leading.version) == (
        "InService",
        "bikeshare-staging",
        "2",
    )
