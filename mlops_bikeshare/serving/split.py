"""Two models behind one endpoint: Baseline, what was served alone before, and Candidate.

Input    Clients, an endpoint, the name of the candidate's model, the candidate's share of traffic.
Output   the name of the EndpointConfig that splits; the config before it is kept in its tags, and
         is what `before` finds again.
Raises   EndpointError: the endpoint is split already, or was never split. A config that could not
         be used is deleted.
"""

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.domain.variants import BASELINE, CANDIDATE
from mlops_bikeshare.serving import configs, endpoints
from mlops_bikeshare.serving.session import Clients

_BEFORE = "before"


def split(
    clients: Clients, endpoint: str, *, model: str, share: float, config: str, timeout_s: float
) -> None:
    """Give `share` of an endpoint's traffic to `model`, and wait until it is so."""
    old = endpoints.describe(clients, endpoint).config
    with clients.spoken(f"endpoint config {old}"):
        document = clients.sagemaker.describe_endpoint_config(EndpointConfigName=old)
    if len(document["ProductionVariants"]) != 1:
        raise EndpointError(f"endpoint {endpoint} is split already ({old}): merge it first")
    alone = document["ProductionVariants"][0]
    made = {BASELINE: (alone["ModelName"], 1 - share), CANDIDATE: (model, share)}
    configs.create(clients, config, like=old, variants=made, tags={_BEFORE: old})
    try:
        endpoints.restore_config(clients, endpoint, config)
        endpoints.wait_in_service(clients, endpoint, config=config, timeout_s=timeout_s)
    except EndpointError:
        _delete(clients, config)
        raise


def before(clients: Clients, config: str) -> str:
    """The config that a split came from."""
    with clients.spoken(f"endpoint config {config}"):
        found = clients.sagemaker.describe_endpoint_config(EndpointConfigName=config)
        pages = clients.sagemaker.get_paginator("list_tags").paginate(
            ResourceArn=found["EndpointConfigArn"]
        )
        tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
    if _BEFORE not in tags:
        raise EndpointError(f"{config} is not a split: there is nothing to merge")
    return str(tags[_BEFORE])


def merge(clients: Clients, endpoint: str, *, timeout_s: float) -> str:
    """Give all traffic back to what was served before the split; the config's name."""
    split_config = endpoints.describe(clients, endpoint).config
    old = before(clients, split_config)
    endpoints.restore_config(clients, endpoint, old)
    endpoints.wait_in_service(clients, endpoint, config=old, timeout_s=timeout_s)
    _delete(clients, split_config)
    return old


def _delete(clients: Clients, config: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        clients.sagemaker.delete_endpoint_config(EndpointConfigName=config)
    except (ClientError, BotoCoreError):
        # It may still be in use after a time-out; the failure that led here is the one to report.
        return
