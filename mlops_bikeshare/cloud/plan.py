"""What should be in an account, what would change to bring it there, and what was changed by hand.

Input    templates and parameters (Stack); entries as CloudFormation answers them.
Output   Plan, Change, Drift: plain values.
Source   AWS, CloudFormation API reference, "ResourceChange", "StackResourceDrift".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mlops_bikeshare.cloud.template import Document

Action = Literal["create", "create again", "update", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What should be there. `kept`: it holds what cannot be made again."""

    name: str
    document: Document
    parameters: Mapping[str, str] = field(default_factory=dict)
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One resource: Add, Modify, Remove; `replaced`: yes, no, perhaps."""

    action: str
    resource: str
    kind: str
    replaced: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What applying would do."""

    stack: Stack
    action: Action
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """A resource that is not as its template says: MODIFIED or DELETED."""

    resource: str
    kind: str
    state: str
    properties: tuple[str, ...] = ()


def all_of(stack: Stack) -> tuple[Change, ...]:
    """Adding every resource of a stack that is not there."""
    found = stack.document["Resources"].items()
    return tuple(Change("Add", name, entry["Type"]) for name, entry in found)


def read_change(entry: Mapping[str, Any]) -> Change:
    """An entry of a change set."""
    told = entry["ResourceChange"]
    replaced = {"True": "yes", "Conditional": "perhaps"}.get(told.get("Replacement", ""), "")
    return Change(told["Action"], told["LogicalResourceId"], told["ResourceType"], replaced)


def read_drift(found: Mapping[str, Any]) -> Drift:
    """An entry of DescribeStackResourceDrifts."""
    paths = tuple(one["PropertyPath"] for one in found.get("PropertyDifferences", []))
    state = found["StackResourceDriftStatus"]
    return Drift(found["LogicalResourceId"], found["ResourceType"], state, paths)
