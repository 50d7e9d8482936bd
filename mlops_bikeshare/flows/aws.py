"""An environment in an account of AWS: deployed, compared, destroyed.

Input    settings, an environment's name, Stacks of its region; `image`: tag of the jobs' image.
Output   `plan`: Plans in order. `deploy`: stack → what was done. `diff`: plans and drift.
         `destroy`: stack → `deleted`, `was not there`, `kept`.
Raises   CloudError.

A city that is taken out of the environment's file leaves its stacks behind, which go on polling and
being paid for: they are a difference, and are destroyed by the city's name or with all others.

What cannot be made again (the stacks `data`: buckets and their key, and `mlflow`: runs and
versions) is destroyed only when asked for by name, and CloudFormation refuses as long as a bucket
holds anything. A stack that is protected is not begun to be deleted, nor is any other then.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_bikeshare.cloud import environment, template
from mlops_bikeshare.cloud.environment import Environment, Known
from mlops_bikeshare.cloud.plan import Drift, Plan, Stack
from mlops_bikeshare.cloud.stacks import Stacks
from mlops_bikeshare.domain.errors import CloudError
from mlops_bikeshare.flows.cloud_templates import FOLDER
from mlops_bikeshare.settings import Settings

_NOTHING_BY_HAND = "nothing was changed by hand"
_SIGNS = {"Add": "+", "Modify": "~", "Remove": "-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What template and account disagree on."""

    plans: tuple[Plan, ...]
    drift: dict[str, list[Drift]]
    left: tuple[str, ...] = ()

    @property
    def none(self) -> bool:
        """Whether there is nothing to do, nothing left over, and nothing changed by hand."""
        idle = all(one.action == "nothing" for one in self.plans)
        return idle and not self.left and not any(self.drift.values())


def load(settings: Settings, name: str) -> Environment:
    """The environment's file; its cities must be known."""
    path = settings.root / FOLDER / "environments" / f"{name}.toml"
    if name not in environment.NAMES or not path.is_file():
        raise CloudError(f"--env: expected one of {', '.join(environment.NAMES)}, got {name!r}")
    found = environment.read(name, path.read_text(encoding="utf-8"))
    for city in found.cities:
        settings.city(city)
    return found


def wanted(settings: Settings, env: Environment, *, image: str | None = None) -> list[Stack]:
    """The stacks that should be there."""
    known = _known(settings, env, image)
    return environment.stacks(env, known, _templates(settings.root))


def made(settings: Settings, env: Environment) -> list[Stack]:
    """The stacks that may be there, whatever the environment's file says today."""
    known = _known(settings, env, None)
    return environment.may_be_there(env, known, _templates(settings.root))


def left_over(stacks: Stacks, env: Environment, made: Sequence[Stack]) -> list[Stack]:
    """Stacks of the environment that nothing in its file asks for any more."""
    known = {one.name for one in made}
    names = stacks.there(environment.stack_name(env, "", "") + "-")
    return [Stack(name=name, document={}) for name in names if name not in known]


def of_city(env: Environment, city: str) -> list[Stack]:
    """The stacks of one city, whether or not the file still names it."""
    names = [environment.stack_name(env, kind, city) for kind in environment.PER_CITY]
    return [Stack(name=name, document={}) for name in names]


def _known(settings: Settings, env: Environment, image: str | None) -> Known:
    return Known(
        workspace=settings.workspace,
        database=settings.lake.database,
        first_date=settings.lake.first_date,
        default_city=settings.default_city,
        endpoints={
            city: (settings.endpoint("staging", city), settings.endpoint("prod", city))
            for city in env.cities
        },
        image=image,
    )


def plan(stacks: Stacks, wanted: Sequence[Stack]) -> list[Plan]:
    """What would be done."""
    return [stacks.plan(stack) for stack in wanted]


def deploy(
    stacks: Stacks, plans: Sequence[Plan], *, told: Callable[[str], object]
) -> dict[str, str]:
    """Apply every plan; each stack is told as it is done."""
    done = {}
    for one in plans:
        if one.action != "nothing":
            told(f"{one.stack.name}: {one.action} ({len(one.changes)} resources) ...")
        done[one.stack.name] = f"{one.action}: {stacks.apply(one)}"
    return done


def diff(stacks: Stacks, wanted: Sequence[Stack], *, left: Sequence[Stack] = ()) -> Difference:
    """Plans, the drift of the stacks that are there, and what is left over."""
    plans = plan(stacks, wanted)
    there = [one.stack.name for one in plans if one.action in {"update", "nothing"}]
    drift = {name: stacks.drift(name) for name in there}
    return Difference(plans=tuple(plans), drift=drift, left=tuple(one.name for one in left))


def destroy(stacks: Stacks, made: Sequence[Stack], *, data: bool = False) -> dict[str, str]:
    """Delete the stacks, the newest first; `data`: what cannot be made again, too."""
    protected = [one.name for one in made if (data or not one.kept) and stacks.protected(one)]
    if protected:
        msg = f"{', '.join(protected)}: protected against deletion, so nothing was deleted"
        raise CloudError(f'{msg}; set Protected = "false" in the environment\'s file and deploy it')
    done = {}
    for stack in reversed(made):
        if stack.kept and not data:
            there = stacks.status(stack.name) is not None
            done[stack.name] = "kept" if there else "was not there"
        else:
            done[stack.name] = "deleted" if stacks.delete(stack.name) else "was not there"
    return done


def summary(plans: Sequence[Plan]) -> str:
    """A line a stack, then one for each resource."""
    return "\n".join(line for one in plans for line in _lines(one))


def compared(found: Difference) -> str:
    """Plans, then what was changed by hand."""
    hand = [
        f"{name}: {drift.kind} {drift.resource} was {drift.state.lower()} by hand "
        f"{' '.join(drift.properties)}".rstrip()
        for name, drifts in found.drift.items()
        for drift in drifts
    ]
    lines = [summary(found.plans), left_behind(found.left), *(hand or [_NOTHING_BY_HAND])]
    return "\n".join(line for line in lines if line)


def left_behind(names: Sequence[str]) -> str:
    """What nothing asks for any more, and how it is deleted."""
    told = "left over, and paid for; `bikeshare aws destroy --city` deletes a city's stacks"
    return "\n".join(f"{name}: {told}" for name in names)


def facts(found: Difference) -> dict[str, Any]:
    """Stack → what would be done, and what was changed by hand."""
    told = {
        one.stack.name: {
            "action": one.action,
            "changes": one.changes,
            "drift": found.drift.get(one.stack.name, []),
        }
        for one in found.plans
    }
    left = {"action": "left over", "changes": (), "drift": []}
    return told | dict.fromkeys(found.left, left)


def _lines(one: Plan) -> Iterator[str]:
    yield f"{one.stack.name}: {one.action}"
    for change in one.changes:
        replaced = f", replaced: {change.replaced}" if change.replaced else ""
        yield f"  {_SIGNS.get(change.action, '?')} {change.kind} {change.resource}{replaced}"


def _templates(root: Path) -> dict[str, template.Document]:
    found = sorted((root / FOLDER).glob("*.yaml"))
    return {path.stem: template.read(path.read_text(encoding="utf-8")) for path in found}
