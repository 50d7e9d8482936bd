"""Who AWS takes this process for.

Output   the ARN of the caller.
Raises   EndpointError in one line: no credentials, expired ones, a clock that is wrong.
Source   AWS, STS API reference, GetCallerIdentity: it needs no permission at all.
"""

from mlops_bikeshare.domain import aws_errors
from mlops_bikeshare.domain.errors import EndpointError


def identity(region: str) -> str:
    """The ARN of the user or role."""
    from boto3.session import Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    try:
        asked = Session().client("sts", region_name=region, config=config)
        return str(asked.get_caller_identity()["Arn"])
    except (BotoCoreError, ClientError) as error:
        raise EndpointError(aws_errors.said(error)) from error
