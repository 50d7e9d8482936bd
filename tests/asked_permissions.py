"""Which permissions a request of AWS asks for, read from its bytes on the wire.

Input    the WSGI environment of a signed request, and its body unpacked.
Output   Needs: every action, resource and context that IAM would be asked about. With the service's
         own permission come those that it asks for in the caller's name: handing a role on, tags
         at creation, the environment's key for objects and messages.
Source   AWS, Service Authorization Reference: actions, resource types and dependent actions.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

ENVIRONMENT, REGION, ACCOUNT = "dev", "ca-central-1", "123456789012"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
_KEYS_NAME = {"kms:ResourceAliases": [f"alias/bikeshare-{ENVIRONMENT}"]}
_SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_NAMED = {
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
    "ProcessingJobName": "processing-job",
    "TrainingJobName": "training-job",
}


@dataclass(frozen=True)
class Need:
    """One question to IAM."""

    action: str
    resource: str = "*"
    context: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Signed:
    """Who asks what, and where."""

    key: str
    region: str
    service: str


def signed(environ: Mapping[str, Any]) -> Signed | None:
    """The scope of the signature; None for a request that nobody signed."""
    found = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    return Signed(*found.groups()) if found else None


def needs(service: str, environ: Mapping[str, Any], body: bytes) -> list[Need]:
    """Everything that IAM is asked about."""
    return list(_READ[service](environ, body))


def _s3(environ: Mapping[str, Any], body: bytes) -> Iterator[Need]:
    bucket, _, key = unquote(environ["PATH_INFO"]).removeprefix("/").partition("/")
    asked = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    method, place = environ["REQUEST_METHOD"], f"arn:aws:s3:::{bucket}"
    if not key:
        if "delete" in asked:
            for name in re.findall(r"<Key>([^<]+)</Key>", body.decode()):
                yield Need("s3:DeleteObject", f"{place}/{name}")
        else:
            action = "GetBucketLocation" if "location" in asked else "ListBucket"
            yield Need(f"s3:{action}", place)
        return
    if "tagging" in asked:
        yield Need(f"s3:{method.capitalize()}ObjectTagging", f"{place}/{key}")
    elif method == "DELETE":
        action = "AbortMultipartUpload" if "uploadId" in asked else "DeleteObject"
        yield Need(f"s3:{action}", f"{place}/{key}")
    elif method in {"GET", "HEAD"}:
        yield Need("s3:GetObject", f"{place}/{key}")
        yield Need("kms:Decrypt", KEY, _KEYS_NAME)
    else:
        yield Need("s3:PutObject", f"{place}/{key}")
        yield Need("kms:GenerateDataKey", KEY, _KEYS_NAME)


def _sns(_: Mapping[str, Any], body: bytes) -> Iterator[Need]:
    asked = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    yield Need(f"sns:{asked['Action']}", asked["TopicArn"])
    yield Need("kms:GenerateDataKey", KEY, _KEYS_NAME)
    yield Need("kms:Decrypt", KEY, _KEYS_NAME)


def _nothing(_: Mapping[str, Any], __: bytes) -> Iterator[Need]:
    """GetCallerIdentity needs no permission at all."""
    yield from ()


def _sagemaker(environ: Mapping[str, Any], body: bytes) -> Iterator[Need]:
    of_packages = "ModelPackage" in environ.get("HTTP_X_AMZ_TARGET", "")
    yield from (_packages if of_packages else _endpoints_and_jobs)(environ, body)


def _endpoints_and_jobs(environ: Mapping[str, Any], body: bytes) -> Iterator[Need]:
    invoked = re.fullmatch(r"/endpoints/([^/]+)/invocations", environ["PATH_INFO"])
    if invoked:
        yield Need("sagemaker:InvokeEndpoint", _arn("sagemaker", f"endpoint/{invoked[1]}"))
        return
    operation, asked = _target(environ), json.loads(body)
    made = [key for key in _NAMED if key in asked]
    if operation == "CreateEndpointConfig":
        made = ["EndpointConfigName"]
    places = [_arn("sagemaker", f"{_NAMED[key]}/{asked[key].lower()}") for key in made]
    if "ResourceArn" in asked:  # of no account where the endpoint host made it
        places.append(_arn("sagemaker", asked["ResourceArn"].split(":", 5)[5]))
    for place in places or ["*"]:
        yield Need(f"sagemaker:{operation}", place)
    if asked.get("Tags") and operation.startswith("Create"):
        yield Need("sagemaker:AddTags", places[0])
    for role in (asked.get("ExecutionRoleArn"), asked.get("RoleArn")):
        if role:
            yield Need("iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})


def _packages(environ: Mapping[str, Any], body: bytes) -> Iterator[Need]:
    """Of a package, or of a group; what is made or listed in a group is a question of both."""
    operation, asked = _target(environ), json.loads(body)
    package = asked.get("ModelPackageArn") or asked.get("ModelPackageName")
    places = [package] if package else []
    if not package:
        group = asked["ModelPackageGroupName"]
        places = [_arn("sagemaker", f"model-package-group/{group}")]
        if not operation.endswith("Group"):
            places.append(_arn("sagemaker", f"model-package/{group}/1"))
    for place in places:
        yield Need(f"sagemaker:{operation}", place)


def _cloudwatch(environ: Mapping[str, Any], body: bytes) -> Iterator[Need]:
    operation, asked = _target(environ), json.loads(body)
    if operation == "PutMetricData":
        yield Need("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": asked["Namespace"]})
    else:
        yield Need(f"cloudwatch:{operation}")


def _athena(environ: Mapping[str, Any], body: bytes) -> Iterator[Need]:
    group = json.loads(body).get("WorkGroup", f"bikeshare-{ENVIRONMENT}")
    yield Need(f"athena:{_target(environ)}", _arn("athena", f"workgroup/{group}"))


def _glue(environ: Mapping[str, Any], body: bytes) -> Iterator[Need]:
    operation, asked = _target(environ), json.loads(body)
    of_tables = "Table" in operation
    told = asked.get("TableInput" if of_tables else "DatabaseInput", asked)
    database = asked["DatabaseName"] if of_tables else told["Name"]
    places = ["catalog", f"database/{database}"]
    places += [f"table/{database}/{told.get('Name', '*')}"] if of_tables else []
    for place in places:
        yield Need(f"glue:{operation}", _arn("glue", place))


def _arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}"


def _target(environ: Mapping[str, Any]) -> str:
    return str(environ["HTTP_X_AMZ_TARGET"]).rpartition(".")[2]


_READ: Mapping[str, Callable[[Mapping[str, Any], bytes], Iterator[Need]]] = {
    "s3": _s3,
    "sns": _sns,
    "sts": _nothing,
    "sagemaker": _sagemaker,
    "monitoring": _cloudwatch,
    "athena": _athena,
    "glue": _glue,
}
