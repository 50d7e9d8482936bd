"""The roles of ops/cloudformation/roles.yaml as IAM would apply them: who signs a request as one of
them is refused whatever its policy does not allow.

Input    the template, resolved for an account of environment `dev`; requests on the wire, whose
         access key is the role's name. Nothing limits OWNERS, nor TESTS while no role works.
Output   `guard` puts IAM before an application. `refused`: what was denied, and to whom. `asked`:
         how often which role asked for what.
Source   AWS, IAM user guide, "Policy evaluation logic": without a statement that allows it a
         request is denied.
"""

import gzip
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3

from mlops_bikeshare.cloud import template
from tests.asked_permissions import ACCOUNT, ENVIRONMENT, REGION, Need, needs, signed
from tests.wire import Application, Environ, said, sent

ROOT = Path(__file__).resolve().parents[1]
TESTS = "testing"  # what a test does by itself
OWNERS = {"owner", "local"}  # who made the account; a service that works in its own name
WORKSPACE, DATABASE = "w", "mlops_bikeshare"
_IN_STACK = {
    "AWS::Partition": "aws",
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "Environment": ENVIRONMENT,
    "Workspace": WORKSPACE,
    "Database": DATABASE,
}
Statements = list[dict[str, Any]]


def policies(values: Mapping[str, str] | None = None) -> dict[str, Statements]:
    """Role → the statements of its policy, as `roles.yaml` makes them in an account."""
    text = (ROOT / "ops" / "cloudformation" / "roles.yaml").read_text(encoding="utf-8")
    resources = template.read(text)["Resources"]
    found = {}
    for entry in resources.values():
        if entry["Type"] == "AWS::IAM::ManagedPolicy":
            told = resolved(entry["Properties"], {**_IN_STACK, **(values or {})})
            role = told["ManagedPolicyName"].partition(f"-{ENVIRONMENT}-")[2]
            found[role] = told["PolicyDocument"]["Statement"]
    return found


def resolved(value: Any, values: Mapping[str, str]) -> Any:
    """A part of a template as an account would see it."""
    if isinstance(value, list):
        return [resolved(inner, values) for inner in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([\w:]+)\}", lambda match: values[match[1]], value["Fn::Sub"])
    return {key: resolved(inner, values) for key, inner in value.items()}


def allowed(statements: Statements, need: Need) -> bool:
    """Whether a statement allows it."""
    return any(
        need.action in one["Action"]
        and any(_like(pattern, need.resource) for pattern in one["Resource"])
        and all(
            _holds(operator, key, wanted, need.context)
            for operator, keys in one.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
        for one in statements
    )


@dataclass
class Roles:
    """IAM of one account."""

    policies: dict[str, Statements] = field(default_factory=policies)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    working: str | None = None
    enforced: bool = True

    @contextmanager
    def as_role(self, role: str) -> Iterator[None]:
        """This process works as a role: clients that are made in the block sign as it."""
        before, key = self.working, os.environ["AWS_ACCESS_KEY_ID"]
        self.working = os.environ["AWS_ACCESS_KEY_ID"] = role
        _forget_clients()
        try:
            yield
        finally:
            self.working, os.environ["AWS_ACCESS_KEY_ID"] = before, key
            _forget_clients()

    def guard(self, application: Application) -> Application:
        """The application behind IAM."""

        def guarded(environ: Environ, start_response: Any) -> Iterable[bytes]:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = BytesIO(body)
            denied = self._denied(environ, body)
            if denied is None:
                return application(environ, start_response)
            self.refused.append(denied)
            return _refusal(environ, start_response, denied)

        return guarded

    def _denied(self, environ: Environ, body: bytes) -> str | None:
        """Why not; None if it may be done."""
        who = signed(environ)
        if who is None or who.key in OWNERS:
            return None
        if who.key == TESTS:
            return f"a client of {TESTS} works for {self.working}" if self.working else None
        if who.key not in self.policies or who.region != REGION:
            return f"{who.key} in {who.region} is nobody here"
        packed = environ.get("HTTP_CONTENT_ENCODING") == "gzip"
        for need in needs(who.service, environ, gzip.decompress(body) if packed else body):
            self.asked[who.key, need.action] += 1
            if self.enforced and not allowed(self.policies[who.key], need):
                return f"{who.key} is not allowed {need.action} on {need.resource}"
        return None


def _forget_clients() -> None:
    """Clients that are kept for the whole process sign as who made them."""
    boto3.DEFAULT_SESSION = None
    artefacts = sys.modules.get("mlflow.store.artifact.s3_artifact_repo")
    if artefacts is not None:
        artefacts._cached_get_s3_client.cache_clear()


def _refusal(environ: Environ, start_response: Any, denied: str) -> list[bytes]:
    """AccessDenied as the service's protocol says it."""
    if "HTTP_X_AMZ_TARGET" in environ:
        told = {"__type": "AccessDeniedException", "message": denied}
        return said(start_response, 400, told)
    if "/invocations" in environ["PATH_INFO"]:
        return said(start_response, 403, {"Code": "AccessDeniedException", "Message": denied})
    inner = f"<Code>AccessDenied</Code><Message>{denied}</Message>"
    if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] == "/":
        text = f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>"
    else:
        text = f"<Error>{inner}</Error>"
    return sent(start_response, 403, "application/xml", text)


def _like(pattern: str, text: str) -> bool:
    """IAM's wildcards: any text, any one character."""
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text))


def _holds(operator: str, key: str, wanted: list[str], context: Mapping[str, Any]) -> bool:
    if key not in context:
        return False
    told = context[key] if isinstance(context[key], list) else [context[key]]
    like = operator.endswith("StringLike")
    return any(_like(want, one) if like else want == one for want in wanted for one in told)
