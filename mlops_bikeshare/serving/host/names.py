"""Amazon resource names and the rules for names, as far as the host needs them."""

import re
from typing import Any

from mlops_bikeshare.serving.host.faults import invalid

ACCOUNT = "000000000000"
REGION = "local"
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


def arn(kind: str, name: str) -> str:
    """The ARN of a model, an endpoint-config or an endpoint."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name.lower()}"


def required(request: dict[str, Any], key: str) -> Any:
    """A parameter that must be there; ApiError otherwise."""
    if request.get(key) in (None, "", []):
        raise invalid(f"1 validation error detected: {key} must not be null")
    return request[key]


def named(request: dict[str, Any], key: str) -> str:
    """A parameter that must be text; ApiError otherwise."""
    value = required(request, key)
    if not isinstance(value, str):
        raise invalid(f"1 validation error detected: {key} must be a string")
    return value


def new_name(request: dict[str, Any], key: str) -> str:
    """A name that SageMaker would accept for a new resource; ApiError otherwise."""
    name = named(request, key)
    if not _NAME.fullmatch(name):
        raise invalid(f"1 validation error detected: {key} must match {_NAME.pattern}")
    return name
