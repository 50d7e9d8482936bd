"""CloudFormation's client, and its refusals as one line.

Input    a region; `url` is for tests on the wire.
Output   a boto3 client.
Raises   CloudError from `spoken`: no botocore exception leaves the block.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlops_bikeshare.domain.errors import CloudError


def client(region: str, *, url: str | None = None) -> Any:
    """A boto3 client of CloudFormation; `url` is for tests on the wire."""
    from boto3.session import Session
    from botocore.config import Config

    retries: Any = {"mode": "standard", "total_max_attempts": 5}
    config = Config(connect_timeout=5, read_timeout=60, retries=retries)
    dummy: dict[str, Any] = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return Session().client(
        "cloudformation",
        region_name=region,
        endpoint_url=url,
        config=config.merge(Config(proxies={})) if url else config,
        **(dummy if url else {}),
    )


@contextmanager
def spoken(name: str) -> Iterator[None]:
    """Turn botocore's exceptions into one CloudError."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {}).get("Message", str(error))
        raise CloudError(f"stack {name}: CloudFormation refused: {said}") from error
    except BotoCoreError as error:
        raise CloudError(f"stack {name}: AWS cannot be asked: {error}") from error
