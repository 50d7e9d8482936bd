"""What each role may do: the calls that its job makes, and what AWS does in its name.

Input    `calls`: job → entries of action and resources (ops/iam/calls.json, recorded from the
         code); the reviewed table ops/iam/implied.toml.
Output   grants with their origin; policies of IAM; ops/cloudformation/roles.yaml as a document;
         docs/iam.md as text.
Raises   CloudError for an action with a wildcard, a placeholder that no stack knows, "*" as the
         resource of an action that has resources, an entry without a document of AWS.
Source   AWS, Service Authorization Reference: which actions know resources.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_bikeshare.cloud.template import Document, sub
from mlops_bikeshare.domain.errors import CloudError

NAMES: Mapping[str, str] = {
    "environment": "${Environment}",
    "region": "${AWS::Region}",
    "account": "${AWS::AccountId}",
    "workspace": "${Workspace}",
    "database": "${Database}",
    "bucket": "bikeshare-${Environment}-lake-${AWS::AccountId}-${AWS::Region}",
    "models": "bikeshare-${Environment}-models-${AWS::AccountId}-${AWS::Region}",
}
WITHOUT_RESOURCE = {
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "cloudwatch:ListMetrics",
    "cloudwatch:PutMetricData",
    "ecr:GetAuthorizationToken",
    "sagemaker:ListEndpointConfigs",
    "sagemaker:ListEndpoints",
    "sagemaker:ListModels",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
TRUSTED: Mapping[str, str] = {
    **dict.fromkeys(("ingest", "infer", "monitor", "drift", "compact"), "lambda.amazonaws.com"),
    **dict.fromkeys(("sagemaker_execution", "sagemaker_jobs"), "sagemaker.amazonaws.com"),
    "dashboard": "ecs-tasks.amazonaws.com",
}
# Their roles trust GitHub (deployer.yaml).
FROM_GITHUB = ("deployer", "gate")
_DOCUMENTS = "https://docs.aws.amazon.com/"
_ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An action on resources, and why: recorded calls, or a row of the table."""

    job: str
    action: str
    resources: tuple[str, ...]
    condition: str = ""
    why: str = "called"
    document: str = ""


@dataclass(frozen=True, slots=True)
class Rights:
    """All grants, in the order of jobs."""

    jobs: tuple[str, ...]
    grants: tuple[Grant, ...]

    def of(self, job: str) -> list[Grant]:
        """The grants of a job."""
        return [grant for grant in self.grants if grant.job == job]


def derive(calls: Mapping[str, Sequence[Mapping[str, Any]]], implied: str) -> Rights:
    """Calls and table as grants, each of them checked."""
    table = tomllib.loads(implied)
    scopes = {scope["action"]: scope for scope in table.get("scope", [])}
    grants = [
        _called(job, entry, scopes.get(entry["action"]))
        for job, entries in calls.items()
        for entry in entries
    ]
    grants += [grant for row in table["permission"] for grant in _implied(row)]
    unknown = {grant.job for grant in grants} - set(calls)
    if unknown:
        raise CloudError(f"implied.toml: jobs {sorted(unknown)} are not in calls.json")
    for grant in grants:
        _check(grant)
    return Rights(tuple(calls), tuple(grants))


def policy(grants: Iterable[Grant]) -> Document:
    """Statements: one for each set of resources and each condition, actions sorted."""
    groups: dict[tuple[tuple[str, ...], str], set[str]] = {}
    for grant in grants:
        groups.setdefault((grant.resources, grant.condition), set()).add(grant.action)
    statements = [
        {
            "Effect": "Allow",
            "Action": sorted(actions),
            "Resource": [named(resource) for resource in resources],
            **({"Condition": json.loads(named(condition))} if condition else {}),
        }
        for (resources, condition), actions in sorted(groups.items())
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def document(rights: Rights) -> Document:
    """The template: a policy for each job, and the roles that services of AWS take."""
    resources: Document = {}
    for job in rights.jobs:
        called = job.title().replace("_", "")
        resources[f"{called}Policy"] = {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {
                "ManagedPolicyName": sub(f"bikeshare-${{Environment}}-{job}"),
                "Description": f"What {job} calls, and what AWS does in its name; docs/iam.md.",
                "PolicyDocument": sub(policy(rights.of(job))),
            },
        }
        if job in TRUSTED:
            resources[f"{called}Role"] = _role(job, {"Ref": f"{called}Policy"})
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "A role for each job, with what it calls and what its calls imply.",
        "Parameters": {
            "Environment": {"Type": "String", "AllowedValues": ["dev", "staging", "prod"]},
            "Workspace": {"Type": "String"},
            "Database": {"Type": "String"},
        },
        "Resources": resources,
    }


def report(rights: Rights) -> str:
    """docs/iam.md: calls and implied permissions, which together are all permissions."""
    counts = [_derivation(job, rights.of(job)) for job in rights.jobs]
    parts = [_INTRODUCTION, _DERIVATION, *counts, ""]
    for job in rights.jobs:
        mine = sorted(rights.of(job), key=lambda g: (g.action, g.resources))
        parts += [f"## {job}\n", _HEAD, *map(_row, mine), ""]
    return "\n".join(parts)


def _derivation(job: str, grants: Sequence[Grant]) -> str:
    """A row: what is called, what is implied, what the policy holds; CloudError if they differ."""
    called = {(g.action, r) for g in grants if not g.document for r in g.resources}
    implied = {(g.action, r) for g in grants if g.document for r in g.resources}
    allowed = {
        (action, resource)
        for statement in policy(grants)["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    if {(action, named(resource)) for action, resource in called | implied} != allowed:
        raise CloudError(f"{job}: its policy is not what is called and implied")
    both = len(called & implied)
    return f"| {job} | {len(called)} | {len(implied)} | {both} | {len(allowed)} |"


_INTRODUCTION = """# Rights

This page is generated (`make docs`) from `ops/iam/calls.json`, which tests record from what the
code sends, and `ops/iam/implied.toml`, which people review; so is `ops/cloudformation/roles.yaml`,
whose policies hold exactly these rows. No action has a wildcard. `*` as a resource stands only
where AWS knows no resource for the action; conditions narrow it where there is one.
"""
_DERIVATION = """Pairs of an action and a resource; for each role
called + implied - both = permissions.

| role | called | implied | both | permissions |
|---|--:|--:|--:|--:|"""
_HEAD = "| action | resources | condition | why |\n|---|---|---|---|"


def _row(grant: Grant) -> str:
    why = f"[{grant.why}]({grant.document})" if grant.document else grant.why
    where = "<br>".join(f"`{resource}`" for resource in grant.resources)
    return f"| `{grant.action}` | {where} | {_spoken(grant.condition)} | {why} |"


def _spoken(condition: str) -> str:
    if not condition:
        return ""
    parts = [
        f"`{key}` {operator.rpartition(':')[2]} {', '.join(values)}"
        for operator, keys in json.loads(condition).items()
        for key, values in keys.items()
    ]
    return "; ".join(parts)


def _called(job: str, entry: Mapping[str, Any], scope: Mapping[str, Any] | None) -> Grant:
    return Grant(
        job=job,
        action=entry["action"],
        resources=tuple(sorted(entry["resources"])),
        condition=_text(scope["condition"]) if scope else "",
    )


def _implied(row: Mapping[str, Any]) -> list[Grant]:
    if not row.get("document", "").startswith(_DOCUMENTS) or not row.get("why"):
        msg = f"implied.toml, {row.get('actions')}: expected why, and a document below {_DOCUMENTS}"
        raise CloudError(msg)
    return [
        Grant(
            job=job,
            action=action,
            resources=tuple(sorted(row["resources"])),
            condition=_text(row["condition"]) if "condition" in row else "",
            why=row["why"],
            document=row["document"],
        )
        for job in row["jobs"]
        for action in row["actions"]
    ]


def _text(condition: Mapping[str, Any]) -> str:
    return json.dumps(condition, sort_keys=True)


def _check(grant: Grant) -> None:
    if not _ACTION.fullmatch(grant.action):
        raise CloudError(f"{grant.job}: {grant.action} is not one whole action")
    if "*" in grant.resources and grant.action not in WITHOUT_RESOURCE:
        raise CloudError(f"{grant.job}: {grant.action} has resources; name them instead of *")
    unknown = set(re.findall(r"<(\w+)>", " ".join(grant.resources))) - set(NAMES)
    if unknown:
        known = ", ".join(f"<{name}>" for name in NAMES)
        msg = f"{grant.job}, {grant.action}: no stack knows {sorted(unknown)}; known: {known}"
        raise CloudError(msg)


def named(text: str) -> str:
    """Placeholders as a stack knows them; the partition is whatever the account is in."""
    found = re.sub(r"<(\w+)>", lambda match: NAMES[match[1]], text)
    return found.replace("arn:aws:", "arn:${AWS::Partition}:")


def _role(job: str, managed: Document) -> Document:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": sub(f"bikeshare-${{Environment}}-{job}"),
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": TRUSTED[job]},
                        "Action": "sts:AssumeRole",
                        **_only_here(TRUSTED[job]),
                    }
                ],
            },
            "ManagedPolicyArns": [managed],
        },
    }


def _only_here(service: str) -> Document:
    """Lambda takes its role without saying for whom; the others say it."""
    if service == "lambda.amazonaws.com":
        return {}
    return {"Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}}
