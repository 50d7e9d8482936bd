"""A version on an endpoint.

Input    a workspace, a city, a registered version, the endpoint's name.
Output   what the endpoint is once the version's config itself is in service.
Raises   ModelError for a version of another city; EndpointError when the endpoint does not take it:
         what was made for it is gone then.
"""

import tempfile
from pathlib import Path

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.flows import records
from mlops_bikeshare.flows.features import LEARNED_TAGS
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.serving import deploy as serving
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.endpoints import EndpointState


def place(ws: Workspace, city: City, version: ModelVersion, *, endpoint: str) -> EndpointState:
    """Put a version on an endpoint and wait until its config itself is in service."""
    version.check_city(city.name)
    settings = ws.settings.serving
    tags = {
        "city": city.name,
        "version": version.version,
        "digest": version.digest,
        "run": version.run_id,
        "git": version.tags.get("git", "unknown"),
        "who": records.who(),
        # What a batch must send it; a batch is refused where the features are others by then.
        **{tag: version.tags[tag] for tag in LEARNED_TAGS if tag in version.tags},
    }
    hosting = serving.Hosting(
        bucket=settings.bucket,
        image_url=settings.image_url,
        execution_role_arn=settings.execution_role_arn,
        instance_type=settings.instance_type,
    )
    with tempfile.TemporaryDirectory(prefix="bikeshare-") as scratch:
        folder = versions.download(version, Path(scratch))
        made = serving.deploy(
            ws.clients, endpoint=endpoint, model_uri=str(folder), hosting=hosting, tags=tags
        )
    try:
        return endpoints.wait_in_service(
            ws.clients, endpoint, config=made.config, timeout_s=settings.timeout_s
        )
    except EndpointError:
        serving.discard(ws.clients, made)
        raise
