"""Channels on the wire: a webhook by apprise, a topic of SNS, and what is never told of either."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.flows import doctor
from mlops_bikeshare.flows import notify as flow
from mlops_bikeshare.monitoring import notify_sns
from mlops_bikeshare.monitoring.notify import Bounded, LogChannel, Message
from mlops_bikeshare.monitoring.notify_apprise import AppriseChannel
from mlops_bikeshare.monitoring.notify_sns import SnsChannel
from mlops_bikeshare.settings import load
from tests import watched
from tests.aws_wire import aws_on_the_wire

ROOT = Path(__file__).resolve().parents[2]
SECRET = "T0PS3CRET"  # noqa: S105 - the one that must not be told
MESSAGE = Message(title="bikeshare boston: ALARM é", body="ALARM a\nOK b", severity="critical")


@dataclass
class Webhook:
    """A service that takes messages; `status` 500: refuses them; `hold`: answers when set."""

    url: str = ""
    status: int = 200
    bodies: list[dict[str, Any]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"json://{self.url}/hooks/{SECRET}"


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = Webhook()
    state.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.hold.wait()
            state.bodies.append({**json.loads(body), "path": self.path})
            self.send_response(state.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_webhook_gets_title_and_lines(webhook: Webhook) -> None:
    assert AppriseChannel(webhook.address).send(MESSAGE) is None

    (body,) = webhook.bodies
    assert (body["title"], body["message"]) == (MESSAGE.title, MESSAGE.body)
    assert (body["type"], body["path"]) == ("failure", f"/hooks/{SECRET}")


def test_nothing_tells_more_of_an_address_than_its_scheme(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook.status = 500
    channel = AppriseChannel(webhook.address)

    said = channel.send(MESSAGE)

    assert said == "the service did not take it"
    assert channel.name == "json"
    assert SECRET not in f"{caplog.text} {said} {channel.key}"
    settings = load(ROOT, {}, {"notify.urls": f"{webhook.address} slack://{SECRET}"})
    assert doctor.shown(settings, "notify.urls") == "json://*** slack://***"
    with pytest.raises(SettingsError, match="scheme 'slakc'") as raised:
        AppriseChannel(f"slakc://{SECRET}")
    assert SECRET not in str(raised.value)


def test_a_channel_that_hangs_is_given_up_and_given_nothing_more(webhook: Webhook) -> None:
    webhook.hold.clear()
    channel = Bounded(AppriseChannel(webhook.address), timeout_s=0.2)

    assert channel.send(MESSAGE) == "no answer within 0.2 s"
    assert channel.send(MESSAGE) == "still busy with the message before"


def test_a_failing_channel_keeps_no_other_from_being_told(
    webhook: Webhook, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    urls = f"slakc://{SECRET} {webhook.address} json://127.0.0.1:9"
    ws, city = watched.empty(tmp_path, **{"notify.urls": urls})
    watched.serve(ws, "bikeshare-prod", "1")

    told = flow.tell(ws, city)

    assert [(one.channel, one.failure is None) for one in told] == [
        ("log", True),
        ("slakc", False),
        ("json", True),
        ("json", False),
    ]
    assert "deployed: bikeshare-prod, version 1" in webhook.bodies[0]["message"]
    assert SECRET not in caplog.text
    again = [one.channel for one in flow.tell(ws, city)]
    assert again == ["slakc", "json"], "only what failed is due"


def test_a_topic_delivers_to_its_queues_by_severity() -> None:
    import boto3

    with aws_on_the_wire() as wire:
        given: dict[str, Any] = {
            "region_name": "ca-central-1",
            "endpoint_url": wire.url,
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
        }
        sqs, sns = boto3.client("sqs", **given), notify_sns.client("ca-central-1", url=wire.url)
        queue = sqs.create_queue(QueueName="people")["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        topic = sns.create_topic(Name="bikeshare")["TopicArn"]
        sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=asked["Attributes"]["QueueArn"],
            Attributes={"FilterPolicy": '{"severity": ["critical"]}'},
        )
        channel = SnsChannel(sns, topic)

        assert channel.send(MESSAGE) is None
        assert channel.send(Message(title="news", body="b", severity="info")) is None

        (got,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
        body = json.loads(got["Body"])
        assert (body["Subject"], body["Message"]) == ("bikeshare boston: ALARM ?", MESSAGE.body)
        assert SnsChannel(sns, f"{topic}-gone").send(MESSAGE) == "NotFound"
        for client in (sqs, sns):
            client.close()


def test_the_log_takes_every_line(caplog: pytest.LogCaptureFixture) -> None:
    assert LogChannel().send(MESSAGE) is None

    assert [record.getMessage() for record in caplog.records] == ["ALARM a", "OK b"]


def test_the_command_tries_every_channel_and_fails_with_one(
    webhook: Webhook, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "bikeshare.toml", tmp_path)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIKESHARE", "MLFLOW"))}
    urls = f"{webhook.address} json://127.0.0.1:9/{SECRET}"
    done = subprocess.run(
        [sys.executable, "-m", "mlops_bikeshare", "notify", "test"],
        cwd=tmp_path,
        env={**kept, "BIKESHARE_HOME": str(tmp_path), "BIKESHARE_NOTIFY__URLS": urls},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "log: taken",
        "json: taken",
        "json: the service did not take it",
    ]
    assert SECRET not in done.stdout + done.stderr
    assert "test of `bikeshare notify test`" in webhook.bodies[0]["message"]
