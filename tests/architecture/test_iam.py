"""Rights: what the code calls and the reviewed table, nothing else; simulated."""

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.cloud import permissions, template
from mlops_bikeshare.domain.errors import CloudError
from mlops_bikeshare.flows.cloud_templates import read_rights
from tests.asked_permissions import Need
from tests.recorded_calls import RARE
from tests.roles import allowed

ROOT = Path(__file__).resolve().parents[2]
RIGHTS = read_rights(ROOT)
CALLS = json.loads((ROOT / "ops" / "iam" / "calls.json").read_text())
IMPLIED = (ROOT / "ops" / "iam" / "implied.toml").read_text()
ROLES = template.read((ROOT / "ops" / "cloudformation" / "roles.yaml").read_text())["Resources"]
DEPLOYER = template.read((ROOT / "ops" / "cloudformation" / "deployer.yaml").read_text())
CHECKERS = ROOT / ".ops"
ACCOUNT, REGION = "111122223333", "ca-central-1"
IN_STACK = {
    "AWS::Partition": "aws",
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "Environment": "prod",
    "Workspace": "main",
    "Database": "mlops_bikeshare",
}
# Operations that a permission of another name covers.
NAMED_OTHERWISE = {
    "HeadObject": "GetObject",
    "DownloadFile": "GetObject",
}
KMS_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}


def resolved(value: Any) -> Any:
    """A part of a template as an account would see it."""
    if isinstance(value, list):
        return [resolved(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([\w:]+)\}", lambda m: IN_STACK[m[1]], value["Fn::Sub"])
    return {key: resolved(inner) for key, inner in value.items()}


def name_of(job: str) -> str:
    return job.title().replace("_", "") + "Policy"


POLICIES = {
    job: resolved(ROLES[name_of(job)]["Properties"]["PolicyDocument"]) for job in RIGHTS.jobs
}


def example(resource: str) -> str:
    """An ARN of the account that a pattern means."""
    text = resolved({"Fn::Sub": permissions.named(resource)})
    return text.replace("*", "boston-x") if resource != "*" else resource


def context(condition: str) -> dict[str, Any]:
    """Keys of a request that meets a condition."""
    found: dict[str, Any] = {}
    for operator, keys in json.loads(condition or "{}").items():
        for key, values in keys.items():
            told = [example(value) for value in values]
            found[key] = told if operator.startswith("ForAny") else told[0]
    return found


def case(job: str, action: str, resource: str, **told: Any) -> dict[str, Any]:
    return {
        "policy": POLICIES[job],
        "principal": f"arn:aws:iam::{ACCOUNT}:role/bikeshare-prod-{job}",
        "account": ACCOUNT,
        "action": action,
        "resource": resource,
        "context": told.get("context", {}),
        **({"resourcePolicy": KMS_POLICY} if action.startswith("kms:") else {}),
    }


def simulated(cases: list[dict[str, Any]]) -> list[str]:
    done = subprocess.run(
        ["node", str(ROOT / "ops" / "iam" / "simulate.mjs"), str(CHECKERS)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdicts: list[str] = json.loads(done.stdout)
    return verdicts


def on_the_wire(asked: dict[str, Any]) -> bool:
    """What the server in IAM's place, which tests on the wire stand behind, says to a case."""
    need = Need(asked["action"], asked["resource"], asked["context"])
    return allowed(asked["policy"]["Statement"], need)


simulator = pytest.mark.skipif(
    shutil.which("node") is None or not (CHECKERS / "node_modules").is_dir(),
    reason="no simulator of IAM: make check-ops installs it",
)


def test_policies_hold_what_is_called_and_implied_and_nothing_else() -> None:
    for job in RIGHTS.jobs:
        held = {
            (action, resource)
            for statement in POLICIES[job]["Statement"]
            for action in statement["Action"]
            for resource in statement["Resource"]
        }
        called = {
            (entry["action"], resource) for entry in CALLS[job] for resource in entry["resources"]
        }
        implied = {
            (grant.action, resource)
            for grant in RIGHTS.of(job)
            if grant.document
            for resource in grant.resources
        }
        wanted = {
            (action, resolved({"Fn::Sub": permissions.named(resource)}))
            for action, resource in called | implied
        }
        assert held == wanted, job


def test_no_action_has_a_wildcard_and_no_resource_is_everything_without_need() -> None:
    for policy in POLICIES.values():
        for statement in policy["Statement"]:
            assert statement["Effect"] == "Allow"
            assert not [action for action in statement["Action"] if "*" in action]
            if "*" in statement["Resource"]:
                assert set(statement["Action"]) <= permissions.WITHOUT_RESOURCE


@pytest.mark.parametrize("job", RIGHTS.jobs)
def test_a_policy_fits_into_what_iam_takes(job: str) -> None:
    longest = json.dumps(POLICIES[job], separators=(",", ":")).replace("-prod-", "-staging-")

    assert len(longest) <= 6144


def test_every_operation_of_aws_in_the_code_is_some_jobs_permission() -> None:
    """A client's method that no recording knows means a job that would be denied."""
    known = {entry["action"].partition(":")[2] for entries in CALLS.values() for entry in entries}
    known |= {grant.action.partition(":")[2] for grant in RIGHTS.grants}
    found: dict[str, str] = {}
    for folder in ("lake", "monitoring", "serving"):
        for path in sorted((ROOT / "mlops_bikeshare" / folder).rglob("*.py")):
            for operation in operations(path):
                found[NAMED_OTHERWISE.get(operation, operation)] = path.name
    unknown = {name: where for name, where in found.items() if name not in known}

    assert {name for name, where in unknown.items() if where != "glue.py"} <= BY_PEOPLE
    assert {"PutObject", "InvokeEndpoint", "PutMetricData", "Publish"} <= set(found)


# What only commands of people ask (`bikeshare alarms apply`), and methods of mlflow's own client.
BY_PEOPLE = {
    *("PutMetricAlarm", "DeleteAlarms", "DescribeAlarms"),
    *("ListTagsForResource", "TagResource"),
}
MLFLOWS = {"CreateDeployment", "UpdateDeployment"}
CLIENTS = {"_client", "_reader", "_writer", "client", "sagemaker", "runtime", "s3"}


def operations(path: Path) -> set[str]:
    """The operations that a module asks of clients, as AWS spells them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        called = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
        if called in CLIENTS and re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+|publish", node.attr):
            words = [word.capitalize() for word in node.attr.split("_")]
            found.add("".join(words))
    return found - {"GetPaginator", *MLFLOWS}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"action": "s3:*", "resources": ["arn:aws:s3:::<bucket>"]}, "not one whole action"),
        ({"action": "s3:GetObject", "resources": ["*"]}, "has resources"),
        ({"action": "s3:GetObject", "resources": ["arn:aws:s3:::<bukcet>"]}, "no stack knows"),
    ],
)
def test_a_call_that_is_too_wide_or_means_nothing_is_refused(
    entry: dict[str, Any], said: str
) -> None:
    with pytest.raises(CloudError, match=said):
        permissions.derive({**CALLS, "infer": [entry]}, IMPLIED)


def test_an_implied_right_without_a_document_of_aws_is_refused() -> None:
    bare = '[[permission]]\njobs = ["infer"]\nactions = ["s3:GetObject"]\nresources = ["*"]\n'

    with pytest.raises(CloudError, match="a document below"):
        permissions.derive(CALLS, bare)


@pytest.mark.parametrize(("role", "variable"), [("Deployer", "Release"), ("Gate", "Gate")])
def test_github_is_trusted_for_one_repository_and_one_environment(role: str, variable: str) -> None:
    trust = DEPLOYER["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]
    (statement,) = trust["Statement"]

    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": {
                "Fn::Sub": f"repo:${{Repository}}:environment:${{{variable}Environment}}"
            },
        }
    }


def test_what_is_kept_as_rare_still_names_a_place_in_the_code() -> None:
    places = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("mlops_bikeshare/**/*.py")}
    for job, action, _, where in RARE:
        for name in re.findall(r"[\w/]+\.py", where):
            assert any(place.endswith(f"/{name}") for place in places), (job, action, where)


@simulator
def test_each_role_may_do_what_its_job_does() -> None:
    asked = [
        (grant.job, case(grant.job, grant.action, example(r), context=context(grant.condition)))
        for grant in RIGHTS.grants
        for r in grant.resources
    ]

    verdicts = simulated([one for _, one in asked])

    assert all(on_the_wire(one) for _, one in asked)
    wrong = [
        (job, one["action"], one["resource"], verdict)
        for (job, one), verdict in zip(asked, verdicts, strict=True)
        if verdict != "Allowed"
    ]
    assert wrong == []
    assert len(asked) > 100


@simulator
def test_no_role_may_do_what_is_another_jobs() -> None:
    samples = {grant.action: grant for grant in RIGHTS.grants}
    asked = [
        (job, case(job, action, example(g.resources[0]), context=context(g.condition)))
        for job in RIGHTS.jobs
        for action, g in samples.items()
        if action not in {grant.action for grant in RIGHTS.of(job)}
    ]

    verdicts = simulated([one for _, one in asked])

    assert set(verdicts) == {"ImplicitlyDenied"}
    assert not [one for _, one in asked if on_the_wire(one)]


@simulator
@pytest.mark.parametrize(
    ("job", "action", "resource", "told"),
    [
        ("infer", "s3:PutObject", "arn:aws:s3:::somebodys-bucket/main/x", {}),
        (
            "infer",
            "s3:PutObject",
            f"arn:aws:s3:::bikeshare-dev-lake-{ACCOUNT}-{REGION}/main/raw/x",
            {},
        ),
        (
            "infer",
            "sagemaker:InvokeEndpoint",
            f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/x",
            {},
        ),
        ("ingest", "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/SageMaker"}),
        (
            "deployer",
            "iam:PassRole",
            f"arn:aws:iam::{ACCOUNT}:role/admin",
            {"iam:PassedToService": "sagemaker.amazonaws.com"},
        ),
        (
            "deployer",
            "iam:PassRole",
            f"arn:aws:iam::{ACCOUNT}:role/bikeshare-prod-sagemaker_execution",
            {"iam:PassedToService": "lambda.amazonaws.com"},
        ),
        (
            "infer",
            "kms:Decrypt",
            f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
            {"kms:ResourceAliases": ["alias/other"]},
        ),
        (
            "gate",
            "sagemaker:UpdateEndpoint",
            f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/bikeshare-prod",
            {},
        ),
    ],
)
def test_what_lies_outside_is_denied(
    job: str, action: str, resource: str, told: dict[str, Any]
) -> None:
    asked = case(job, action, resource, context=told)

    assert simulated([asked]) == ["ImplicitlyDenied"]
    assert not on_the_wire(asked)
