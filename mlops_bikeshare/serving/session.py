"""boto3 clients of a profile, and the boto3 default session that mlflow.sagemaker needs.

Input    url of the local host (None: AWS itself), its token if it has one, a region, and a profile
         of ~/.aws (None: as boto3 finds its own).
Output   clients; `default_session()` yields the names of what was created inside it.
Raises   EndpointError from `spoken()`: one line instead of a botocore exception.

Locally the address and dummy credentials are set on each client: neither os.environ nor ~/.aws is
written or asked for them, and no proxy stands between a laptop and itself. mlflow.sagemaker calls
plain `boto3.client` and `boto3.Session`; both are redirected while it runs and put back afterwards,
one thread at a time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from threading import RLock
from typing import Any

from mlops_bikeshare.domain import aws_errors
from mlops_bikeshare.domain.errors import EndpointError

START_HINT = "start it with `make serve` or `bikeshare serve`"
_REDIRECTING = RLock()


@dataclass(slots=True)
class Created:
    """Names that left for SageMaker inside a `default_session()`, in order."""

    models: list[str] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)
    archives: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Clients:
    """SageMaker, its runtime and S3 in one place."""

    url: str | None
    region: str
    token: str | None = None
    profile: str | None = None

    @cached_property
    def sagemaker(self) -> Any:
        """The control plane."""
        return self._client("sagemaker", attempts=5)

    @cached_property
    def runtime(self) -> Any:
        """InvokeEndpoint; `predict` does its own retries."""
        return self._client("sagemaker-runtime", attempts=1)

    @cached_property
    def s3(self) -> Any:
        """Archives."""
        return self._client("s3", attempts=3)

    @contextmanager
    def default_session(self) -> Iterator[Created]:
        """Make plain `boto3.client` and `boto3.Session` mean this place, until the block ends."""
        import boto3

        created = Created()
        with _REDIRECTING:
            session, make = boto3.DEFAULT_SESSION, boto3.Session

            def ours(**options: Any) -> Any:
                return make(botocore_session=self._botocore(created), **options)

            boto3.DEFAULT_SESSION = ours(region_name=self.region)
            boto3.Session = ours
            try:
                yield created
            finally:
                boto3.DEFAULT_SESSION, boto3.Session = session, make

    @contextmanager
    def spoken(self, what: str) -> Iterator[None]:
        """Turn botocore's exceptions into one EndpointError about `what`."""
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            HTTPClientError,
        )
        from botocore.exceptions import (
            ConnectionError as NoConnection,
        )

        try:
            yield
        except ClientError as error:
            raise EndpointError(f"{what}: {aws_errors.said(error)}") from error
        except (HTTPClientError, NoConnection) as error:
            hint = START_HINT if self.url else "check the network"
            where = self.url or f"AWS in {self.region}"
            raise EndpointError(f"{what}: nothing answers at {where}; {hint}") from error
        except BotoCoreError as error:
            raise EndpointError(f"{what}: {aws_errors.said(error)}") from error

    def _client(self, service: str, *, attempts: int) -> Any:
        from boto3.session import Session
        from botocore.config import Config

        config = Config(
            connect_timeout=5,
            read_timeout=65,
            retries={"mode": "standard", "total_max_attempts": attempts},
        )
        session = Session(botocore_session=self._botocore(Created()))
        return session.client(service, region_name=self.region, config=config)

    def _botocore(self, created: Created) -> Any:
        import botocore.session

        if self.url:
            session = _local_session(self.url, self.token)
        else:
            session = botocore.session.Session(profile=self.profile)
        _note(session, created)
        return session


def _local_session(url: str, token: str | None) -> Any:
    import botocore.session
    from botocore.config import Config

    # no proxies, path-style buckets, and no checksum trailers the local store would have to strip
    local = Config(proxies={}, s3={"addressing_style": "path"}, max_pool_connections=32)

    class LocalSession(botocore.session.Session):  # type: ignore[misc]
        """Sends every client to the local host."""

        def create_client(self, *args: Any, **options: Any) -> Any:
            options["endpoint_url"] = url
            given = options.get("config")
            options["config"] = local.merge(given) if given else local
            return super().create_client(*args, **options)

    files = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    session = LocalSession(session_vars={"profile": (None, None, None, None), **files})
    session.set_credentials(token or "local", "local")
    # reading SageMaker's service model takes most of a second; sessions may share what was read
    session.register_component("data_loader", _service_models())
    return session


@cache
def _service_models() -> Any:
    from botocore.loaders import create_loader

    return create_loader()


def _note(session: Any, created: Created) -> None:
    def model(params: dict[str, Any], **_: Any) -> None:
        created.models.append(params["ModelName"])

    def config(params: dict[str, Any], **_: Any) -> None:
        created.configs.append(params["EndpointConfigName"])

    def archive(params: dict[str, Any], **_: Any) -> None:
        created.archives.append((params["Bucket"], params["Key"]))

    session.register("provide-client-params.sagemaker.CreateModel", model)
    session.register("provide-client-params.sagemaker.CreateEndpointConfig", config)
    session.register("provide-client-params.s3.PutObject", archive)
    session.register("provide-client-params.s3.CreateMultipartUpload", archive)
