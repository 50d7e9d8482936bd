"""CloudFormation on the wire: moto's server, and what moto leaves out.

`states`: stack → states that DescribeStacks tells next, each once, before moto's own again.
`drifted`: stack → resources that DetectStackDrift then finds. `events`: stack → what happened to
it, the newest first. `planning`: no change set is ever made. `log`: the actions that were asked.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from tests.aws_wire import aws_on_the_wire
from tests.wire import body_of, sent

_STACK = """<DescribeStacksResponse><DescribeStacksResult><Stacks><member>
<StackName>{name}</StackName><StackStatus>{state}</StackStatus>
<CreationTime>2026-01-01T00:00:00Z</CreationTime></member></Stacks></DescribeStacksResult>
</DescribeStacksResponse>"""
_DETECTING = """<DetectStackDriftResponse><DetectStackDriftResult>
<StackDriftDetectionId>{name}</StackDriftDetectionId></DetectStackDriftResult>
</DetectStackDriftResponse>"""
_DETECTED = """<DescribeStackDriftDetectionStatusResponse><DescribeStackDriftDetectionStatusResult>
<DetectionStatus>DETECTION_COMPLETE</DetectionStatus>
</DescribeStackDriftDetectionStatusResult></DescribeStackDriftDetectionStatusResponse>"""
_CONTINUED = """<ContinueUpdateRollbackResponse><ContinueUpdateRollbackResult/>
</ContinueUpdateRollbackResponse>"""
_DRIFTS = """<DescribeStackResourceDriftsResponse><DescribeStackResourceDriftsResult>
<StackResourceDrifts>{drifts}</StackResourceDrifts></DescribeStackResourceDriftsResult>
</DescribeStackResourceDriftsResponse>"""
_DRIFT = """<member><LogicalResourceId>{0}</LogicalResourceId><ResourceType>{1}</ResourceType>
<StackResourceDriftStatus>MODIFIED</StackResourceDriftStatus><PropertyDifferences><member>
<PropertyPath>{2}</PropertyPath></member></PropertyDifferences></member>"""
_EVENTS = """<DescribeStackEventsResponse><DescribeStackEventsResult>
<StackEvents>{events}</StackEvents></DescribeStackEventsResult></DescribeStackEventsResponse>"""
_EVENT = """<member><LogicalResourceId>{0}</LogicalResourceId><ResourceType>{1}</ResourceType>
<ResourceStatus>{2}</ResourceStatus><ResourceStatusReason>{3}</ResourceStatusReason></member>"""
_PLANNING = """<DescribeChangeSetResponse><DescribeChangeSetResult>
<Status>CREATE_PENDING</Status></DescribeChangeSetResult></DescribeChangeSetResponse>"""


@dataclass
class Account:
    """moto behind what it does not do."""

    url: str = ""
    inner: Any = None
    states: dict[str, list[str]] = field(default_factory=dict)
    drifted: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    events: dict[str, list[tuple[str, str, str, str]]] = field(default_factory=dict)
    planning: bool = False
    log: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = body_of(environ)
        environ["wsgi.input"] = BytesIO(body)
        asked = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        action, name = asked.get("Action", ""), asked.get("StackName", "")
        self.log.append((action, name))
        answer = self._answer(action, name, asked.get("StackDriftDetectionId", ""))
        if answer is None:
            answered: Iterable[bytes] = self.inner(environ, start_response)
            return answered
        return sent(start_response, 200, "text/xml", answer)

    def _answer(self, action: str, name: str, detection: str) -> str | None:
        if action == "DescribeStacks" and self.states.get(name):
            return _STACK.format(name=name, state=self.states[name].pop(0))
        if action == "DescribeStackEvents" and name in self.events:
            events = "".join(_EVENT.format(*one) for one in self.events[name])
            return _EVENTS.format(events=events)
        if action == "DescribeStackResourceDrifts":
            drifts = "".join(_DRIFT.format(*one) for one in self.drifted.get(name, []))
            return _DRIFTS.format(drifts=drifts)
        always = {
            "DetectStackDrift": _DETECTING.format(name=name),
            "DescribeStackDriftDetectionStatus": _DETECTED.format(name=detection),
            "ContinueUpdateRollback": _CONTINUED,
        }
        return (always | ({"DescribeChangeSet": _PLANNING} if self.planning else {})).get(action)

    def asked(self, action: str) -> list[str]:
        """The stacks of which this was asked."""
        return [name for found, name in self.log if found == action]


@contextmanager
def account() -> Iterator[Account]:
    """A server of its own, gone with the block."""
    with aws_on_the_wire() as wire:
        found = Account(url=wire.url, inner=wire.application)
        wire.application = found
        yield found
