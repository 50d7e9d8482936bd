"""A channel of Amazon SNS.

Input    a boto3 client of SNS (`client` makes one), the ARN of a topic.
Output   one Publish for each message; its attribute `severity` is what subscriptions filter by.
Source   AWS, SNS API reference, Publish: a subject is ASCII, one line, at most 100 characters.
"""

from typing import Any

from mlops_bikeshare.monitoring.notify import Message

SUBJECT = 100
PATIENCE_S = 3


def client(region: str, *, url: str | None = None) -> Any:
    """A boto3 client that gives up soon; `url` is for tests on the wire."""
    from boto3.session import Session
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": 2}
    config = Config(connect_timeout=PATIENCE_S, read_timeout=PATIENCE_S, retries=retries)
    dummy: dict[str, Any] = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return Session().client(
        "sns",
        region_name=region,
        endpoint_url=url,
        config=config.merge(Config(proxies={})) if url else config,
        **(dummy if url else {}),
    )


class SnsChannel:
    """A topic."""

    name = "sns"

    def __init__(self, client_: Any, topic: str) -> None:
        self._client = client_
        self._topic = topic
        self.key = f"sns-{topic.rpartition(':')[2]}"

    def send(self, message: Message) -> str | None:
        """Whether the topic took it."""
        from botocore.exceptions import BotoCoreError, ClientError

        subject = message.title.encode("ascii", "replace").decode()[:SUBJECT]
        severity = {"DataType": "String", "StringValue": message.severity}
        try:
            self._client.publish(
                TopicArn=self._topic,
                Subject=subject,
                Message=message.body,
                MessageAttributes={"severity": severity},
            )
        except ClientError as error:
            return str(error.response.get("Error", {}).get("Code", "refused"))
        except BotoCoreError as error:
            return type(error).__name__
        return None
