"""What somebody expects to be released, against what would be.

Input    Expected: a version and the names of endpoints, each of them or None (anything).
Raises   Refused, before anything is done: whoever approved a release approved that one.

Only what is asked inside the release's lock holds until the move. A training moves the challenger
without that lock, so the plan itself is looked at too: it names the version that it moves.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import Refused
from mlops_bikeshare.flows import records, tracking
from mlops_bikeshare.flows.releasing import execute
from mlops_bikeshare.registry import versions
from mlops_bikeshare.release import plan as release
from mlops_bikeshare.release.plan import Plan

if TYPE_CHECKING:
    from mlops_bikeshare.settings import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What was approved; None: anything."""

    version: str | None = None
    staging: str | None = None
    prod: str | None = None


ANYTHING = Expected()


def check(ws: Workspace, city: City, expected: Expected) -> None:
    """Refuse what differs."""
    named: dict[Stage, str | None] = {"staging": expected.staging, "prod": expected.prod}
    for stage, name in named.items():
        is_ = ws.settings.endpoint(stage, city.name)
        if name is not None and name != is_:
            raise Refused(f"{city.name}: {stage} is {is_}, not {name}; nothing was done")
    if expected.version is None:
        return
    what, moves = _next(ws, city)
    if expected.version != moves:
        raise Refused(f"{city.name}: {what} is version {moves or 'none'}, not {expected.version}")


def check_plan(plan: Plan, expected: Expected) -> None:
    """Refuse a plan that moves another version."""
    moves = plan.target["version"]
    if expected.version not in {None, moves}:
        msg = f"{plan.target['city']}: the challenger became version {moves} just now"
        raise Refused(f"{msg}, not {expected.version}; nothing was done")


def _next(ws: Workspace, city: City) -> tuple[str, str | None]:
    """What a promotion would move: a plan under way goes first, else it is the challenger.

    A champion is never meant: beside a newer challenger its number would let that one pass.
    """
    plan = execute.unfinished(ws, ws.settings.endpoint("prod", city.name))
    if plan is not None and _goes_on(ws, plan):
        return "the promotion under way", str(plan.target["version"])
    tracking.connect(ws)
    challenger = versions.find_if_any(city.registered_model, versions.CHALLENGER)
    return "the challenger", None if challenger is None else challenger.version


def _goes_on(ws: Workspace, plan: Plan) -> bool:
    """A promotion that failed is taken back first, and then begun anew."""
    return plan.kind == "promotion" and not release.given_up(plan, records.journal(ws, plan))
