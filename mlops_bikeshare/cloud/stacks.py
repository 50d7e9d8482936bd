"""Stacks of CloudFormation: planned, applied, deleted, compared with the account.

Input    a boto3 client (`client`), a Stack: its name, template and parameters.
Output   `plan`: what would change, from a change set of CloudFormation itself; for a stack that is
         not there yet, all of its template. `apply`: the state it ended in. `drift`: what somebody
         changed by hand since.
Raises   CloudError, with the reason of the resource that failed first.
Source   AWS, CloudFormation user guide, "Stack status codes", "Update stacks using change sets",
         "Detect unmanaged configuration changes with drift detection".

Everything may be interrupted and run again: a stack on its way is waited for, what remains of a
creation that failed is deleted and created anew, an update that cannot be taken back is continued.
What is left of a deletion that failed is deleted too, unless it holds what cannot be made again.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from mlops_bikeshare.cloud import template
from mlops_bikeshare.cloud.cloudformation import spoken
from mlops_bikeshare.cloud.plan import (
    Action,
    Change,
    Drift,
    Plan,
    Stack,
    all_of,
    read_change,
    read_drift,
)
from mlops_bikeshare.domain.errors import CloudError

POLL_S = 3.0
PROTECTED = "Protected"
HALF_CREATED = (
    "REVIEW_IN_PROGRESS",
    "ROLLBACK_COMPLETE",
    "ROLLBACK_FAILED",
    "CREATE_FAILED",
    "DELETE_FAILED",
)
_BEGUN = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")


def change_set(name: str) -> str:
    """The name of our change set of a stack."""
    return f"{name}-plan"


class Stacks:
    """The stacks of one account and region."""

    def __init__(
        self,
        client: Any,
        *,
        timeout_s: float = 3600,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._monotonic = monotonic
        self._pause = pause

    def status(self, name: str) -> str | None:
        """The stack's state; None if there is none, or it was deleted."""
        found = self._found(name)
        return None if found is None else str(found["StackStatus"])

    def protected(self, stack: Stack) -> bool:
        """Whether it is there with resources that refuse to be deleted."""
        asks = PROTECTED in stack.document.get("Parameters", {})
        found = self._found(stack.name) if asks else None
        if found is None or found["StackStatus"] == "DELETE_FAILED":
            return False
        told = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
        return told.get(PROTECTED) != "false"

    def plan(self, stack: Stack) -> Plan:
        """What applying would do; a stack on its way is waited for first."""
        state = self.settled(stack.name)
        if state == "DELETE_FAILED" and stack.kept:
            msg = f"stack {stack.name} is {state}, and holds what cannot be made again"
            raise CloudError(f"{msg}: {self._reason(stack.name)}; end it by `destroy --data`")
        if state is None or state in HALF_CREATED:
            action: Action = "create again" if state else "create"
            return Plan(stack=stack, action=action, changes=all_of(stack))
        if state == "UPDATE_ROLLBACK_FAILED":
            with spoken(stack.name):
                self._client.continue_update_rollback(StackName=stack.name)
            self.settled(stack.name)
        changes = self._changes(stack, kind="UPDATE")
        return Plan(stack=stack, action="update" if changes else "nothing", changes=changes)

    def apply(self, plan: Plan) -> str:
        """Do it, and wait; the state afterwards."""
        name = plan.stack.name
        if plan.action == "nothing":
            return self.status(name) or ""
        if plan.action == "create again":
            self.delete(name)
        if plan.action != "update":
            self._changes(plan.stack, kind="CREATE")
        with spoken(name):
            self._client.execute_change_set(StackName=name, ChangeSetName=change_set(name))
        state = self.settled(name, begun=True)
        if state not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            raise CloudError(f"stack {name} is {state}: {self._reason(name)}; mend it, run again")
        return state

    def delete(self, name: str) -> bool:
        """Delete it, and wait; False if there was none."""
        if self.settled(name) is None:
            return False
        with spoken(name):
            self._client.delete_stack(StackName=name)
        state = self.settled(name, begun=True)
        if state is not None:
            raise CloudError(f"stack {name} is {state}: {self._reason(name)}")
        return True

    def there(self, prefix: str) -> list[str]:
        """Names of the stacks that begin so, whoever made them."""
        with spoken(f"{prefix}*"):
            pages = self._client.get_paginator("describe_stacks").paginate()
            names = [one["StackName"] for page in pages for one in page["Stacks"]]
        return sorted(name for name in names if name.startswith(prefix))

    def drift(self, name: str) -> list[Drift]:
        """What is not as the stack's template says."""
        with spoken(name):
            told = self._client.detect_stack_drift(StackName=name)
            self._detected(name, told["StackDriftDetectionId"])
            found: list[dict[str, Any]] = []
            more: dict[str, str] = {}
            while True:
                page = self._client.describe_stack_resource_drifts(
                    StackName=name,
                    StackResourceDriftStatusFilters=["MODIFIED", "DELETED"],
                    **more,
                )
                found += page["StackResourceDrifts"]
                if not page.get("NextToken"):
                    return [read_drift(one) for one in found]
                more = {"NextToken": page["NextToken"]}

    def settled(self, name: str, *, begun: bool = False) -> str | None:
        """The state once nothing is under way; `begun`: something was just started."""
        deadline = self._monotonic() + self._timeout_s
        while True:
            state = self.status(name)
            waiting = state is not None and state.endswith("_IN_PROGRESS")
            # A stack under review is waited for only while its change set is being executed.
            if not waiting or (state == "REVIEW_IN_PROGRESS" and not begun):
                return state
            self._wait(f"stack {name} is still {state}", deadline)

    def _found(self, name: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with spoken(name):
            try:
                found: dict[str, Any] = self._client.describe_stacks(StackName=name)["Stacks"][0]
            except ClientError as error:
                if "does not exist" in error.response["Error"]["Message"]:
                    return None
                raise
        return None if found["StackStatus"] == "DELETE_COMPLETE" else found

    def _changes(self, stack: Stack, *, kind: str) -> tuple[Change, ...]:
        """A new change set under our name: what it would change."""
        from botocore.exceptions import ClientError

        with spoken(stack.name):
            self._forget(stack.name)
            try:
                self._create_change_set(stack, kind)
            except ClientError as error:
                if _says_no_changes(error.response["Error"]["Message"]):
                    return ()
                raise
            return self._described(stack.name)

    def _create_change_set(self, stack: Stack, kind: str) -> None:
        self._client.create_change_set(
            StackName=stack.name,
            ChangeSetName=change_set(stack.name),
            ChangeSetType=kind,
            TemplateBody=template.body(stack.document, stack.name),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in stack.parameters.items()
            ],
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Tags=[{"Key": "project", "Value": "bikeshare"}],
        )

    def _forget(self, name: str) -> None:
        """Delete the change set of a plan that was looked at and left."""
        if self.status(name) is None:
            return
        pages = self._client.get_paginator("list_change_sets").paginate(StackName=name)
        there = {one["ChangeSetName"] for page in pages for one in page["Summaries"]}
        if change_set(name) in there:
            self._client.delete_change_set(StackName=name, ChangeSetName=change_set(name))

    def _described(self, name: str) -> tuple[Change, ...]:
        deadline = self._monotonic() + self._timeout_s
        while True:
            pages = list(self._pages(name))
            state, reason = pages[0]["Status"], pages[0].get("StatusReason", "")
            if state == "FAILED":
                if not _says_no_changes(reason):
                    raise CloudError(f"stack {name}: CloudFormation made no plan: {reason}")
                self._client.delete_change_set(StackName=name, ChangeSetName=change_set(name))
                return ()
            if state == "CREATE_COMPLETE":
                return tuple(
                    read_change(entry) for page in pages for entry in page.get("Changes", [])
                )
            self._wait(f"the plan of stack {name} is still {state}", deadline)

    def _pages(self, name: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("describe_change_set")
        yield from pages.paginate(StackName=name, ChangeSetName=change_set(name))

    def _detected(self, name: str, detection: str) -> None:
        deadline = self._monotonic() + self._timeout_s
        while True:
            told = self._client.describe_stack_drift_detection_status(
                StackDriftDetectionId=detection
            )
            state = told["DetectionStatus"]
            if state == "DETECTION_COMPLETE":
                return
            if state == "DETECTION_FAILED":
                reason = told.get("DetectionStatusReason", "no reason was given")
                raise CloudError(f"stack {name}: its drift could not be detected: {reason}")
            self._wait(f"looking for drift in stack {name} is still {state}", deadline)

    def _wait(self, still: str, deadline: float) -> None:
        if self._monotonic() >= deadline:
            msg = f"{still} after {self._timeout_s:.0f} s"
            raise CloudError(f"{msg}; it goes on by itself, run the same command again")
        self._pause(POLL_S)

    def _reason(self, name: str) -> str:
        """Why the first resource failed since the stack last began to change."""
        said = "no resource failed by itself"
        with spoken(name):
            pages = self._client.get_paginator("describe_stack_events").paginate(StackName=name)
            for event in (event for page in pages for event in page["StackEvents"]):
                if event["ResourceStatus"].endswith("_FAILED"):
                    reason = event.get("ResourceStatusReason", "no reason was given")
                    said = f"{event['LogicalResourceId']} ({event['ResourceType']}): {reason}"
                if event["LogicalResourceId"] == name and event["ResourceStatus"] in _BEGUN:
                    break  # the newest come first: what is older is another time's
        return said


def _says_no_changes(reason: str) -> bool:
    return any(words in reason for words in _NO_CHANGES)
