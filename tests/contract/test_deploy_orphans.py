"""Whichever call of a deploy fails, or works while its answer is lost: nothing is left unused."""

from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import pytest
from botocore.awsrequest import AWSResponse

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.serving import deploy as deploying
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.deploy import Hosting, deploy
from mlops_bikeshare.serving.session import Clients
from tests.contract.models import BUCKET, ROLE

HOSTING = Hosting(bucket=BUCKET, image_url="local/bikeshare:1", execution_role_arn=ROLE)
REFUSED = b'{"__type": "ValidationException", "message": "told to fail"}'


class _Raw:
    def stream(self) -> list[bytes]:
        return [REFUSED]


@dataclass(frozen=True, eq=False)
class Trouble(Clients):
    """Clients whose `fails`-th request inside a deploy is refused, or done and its answer lost."""

    fails: int = -1
    how: Literal["refused", "lost"] = "refused"
    seen: list[str] = field(default_factory=list)

    def _botocore(self, created: Any) -> Any:
        session = super()._botocore(created)
        session.register("before-send", self._send)
        return session

    def _send(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        name = event_name.rpartition(".")[2]
        # what an undo deletes and a look around is not what fails here
        if not name.startswith(("Create", "Update", "Put")):
            return None
        self.seen.append(name)
        if len(self.seen) != self.fails + 1:
            return None
        if self.how == "refused":
            return AWSResponse(request.url, 400, {}, _Raw())
        body = request.body.read() if hasattr(request.body, "read") else request.body
        headers = {k: v for k, v in request.headers.items() if k.lower() != "expect"}
        httpx.request(request.method, request.url, content=body, headers=headers, timeout=30)
        return AWSResponse(request.url, 500, {}, _Raw())


def everything(clients: Clients) -> set[str]:
    """Names of all models, configs and endpoints, keys of all archives."""
    found = set()
    for kind in ("model", "endpoint_config", "endpoint"):
        pages = clients.sagemaker.get_paginator(f"list_{kind}s").paginate()
        key = "".join(word.title() for word in kind.split("_"))
        found |= {f"{kind} {e[f'{key}Name']}" for page in pages for e in page[f"{key}s"]}
    objects = clients.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return found | {f"archive {item['Key']}" for item in objects}


def attempt(host: Any, name: str, model: str, **trouble: Any) -> tuple[Trouble, bool]:
    clients = Trouble(url=host.facts.url, region="eu-west-1", **trouble)
    try:
        made = deploy(clients, endpoint=name, model_uri=model, hosting=HOSTING, tags={})
    except EndpointError:
        return clients, False
    endpoints.wait_in_service(host.clients, name, config=made.config, timeout_s=60)
    return clients, True


@pytest.mark.parametrize("exists", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("how", ["refused", "lost"])
def test_no_failed_call_leaves_a_model_a_config_or_an_archive_that_nothing_uses(
    endpoint_host: Any, models: Any, how: Any, exists: bool
) -> None:
    model, name = str(models()), f"orphans-{how}-{exists}".lower()
    if exists:
        attempt(endpoint_host, name, model)
    made = {"archive", "endpoint_config", "model", *([] if exists else ["endpoint"])}
    last = "UpdateEndpoint" if exists else "CreateEndpoint"
    for number in range(20):
        before = everything(endpoint_host.clients)
        clients, worked = attempt(endpoint_host, name, model, fails=number, how=how)
        new = sorted(everything(endpoint_host.clients) - before)
        expected = sorted(made) if worked else []
        assert [word.split()[0] for word in new] == expected, (clients.seen, new)
        assert how == "lost" or not worked
        if worked and not exists:
            endpoints.delete_endpoint(endpoint_host.clients, name, timeout_s=30)
        if clients.seen[number] == last:
            break
    assert clients.seen[number] == last


def test_an_endpoint_that_still_moves_when_patience_ends_may_be_taking_the_config(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moving = endpoints.EndpointState(
        name="e", status="Updating", config="old", variants=(), failure_reason=None
    )
    monkeypatch.setattr(deploying, "find", lambda *_: moving)
    monkeypatch.setattr(endpoints, "find", lambda *_: moving)
    monkeypatch.setattr(deploying, "SETTLED_S", 0.0)
    assert deploying._took(Clients(url="http://127.0.0.1:9", region="r"), "e", ["new"])


def test_an_endpoint_that_does_not_say_whether_it_took_the_config_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent(*_: object) -> None:
        raise EndpointError("no connection")

    monkeypatch.setattr(deploying, "find", silent)
    assert deploying._took(Clients(url="http://127.0.0.1:9", region="r"), "e", ["new"])
    assert not deploying._took(Clients(url="http://127.0.0.1:9", region="r"), "e", [])
