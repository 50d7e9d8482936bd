"""An environment: its file in ops/cloudformation/environments, and the stacks that it means.

Input    the file's text; what the project knows (`Known`); the templates by name.
Output   stacks in the order in which they are made; deleting goes the other way.
Raises   CloudError for a key that no template asks for, or a parameter that nothing answers.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mlops_bikeshare.cloud.plan import Stack
from mlops_bikeshare.cloud.template import Document
from mlops_bikeshare.domain.errors import CloudError

NAMES = ("dev", "staging", "prod")
PER_CITY = ("alerts", "jobs")
OPTIONS = ("mlflow", "deployer")
KEPT = ("data", "mlflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A file: the region, the cities, which options are taken, values of parameters."""

    name: str
    region: str
    cities: tuple[str, ...]
    options: tuple[str, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the settings and the command line say; `image` None: none was pushed yet."""

    workspace: str
    database: str
    first_date: str
    default_city: str
    endpoints: Mapping[str, tuple[str, str]]
    image: str | None = None


def read(name: str, text: str) -> Environment:
    """The file of one environment."""
    try:
        found = tomllib.loads(text)
        made = Environment(
            name=name,
            region=found.pop("region"),
            cities=tuple(found.pop("cities")),
            options=tuple(option for option, taken in found.pop("options").items() if taken),
            parameters={key: str(value) for key, value in found.pop("parameters").items()},
        )
    except (tomllib.TOMLDecodeError, KeyError, AttributeError) as error:
        msg = f"environment {name}: expected region, cities, [options] and [parameters]"
        raise CloudError(f"{msg}: {error}") from None
    if found:
        raise CloudError(f"environment {name}: unknown keys {sorted(found)}")
    return made


def stacks(env: Environment, known: Known, templates: Mapping[str, Document]) -> list[Stack]:
    """What should be there, in order; without an image there are no jobs yet."""
    unknown = set(env.parameters) - {p for found in templates.values() for p in _asked(found)}
    if unknown:
        raise CloudError(f"environment {env.name}: no template asks for {sorted(unknown)}")
    made = []
    for kind, city in _wanted(env, known):
        name, document = stack_name(env, kind, city), templates[kind]
        parameters = _parameters(env, known, document, city, name)
        made.append(Stack(name=name, document=document, parameters=parameters, kept=kind in KEPT))
    return made


def may_be_there(env: Environment, known: Known, templates: Mapping[str, Document]) -> list[Stack]:
    """What may have been made, in order: an option that is off now may have been on."""
    every = replace(env, options=OPTIONS)
    return [
        Stack(name=stack_name(env, kind, city), document=templates[kind], kept=kind in KEPT)
        for kind, city in _wanted(every, replace(known, image=known.image or ""))
    ]


def stack_name(env: Environment, kind: str, city: str) -> str:
    """`bikeshare-dev-jobs-boston`; without a kind what all of them begin with."""
    return "-".join(filter(None, ("bikeshare", env.name, kind, city)))


def _wanted(env: Environment, known: Known) -> list[tuple[str, str]]:
    shared = [(kind, "") for kind in ("data", "roles", "catalog")]
    options = [(kind, "") for kind in OPTIONS if kind in env.options]
    kinds = PER_CITY if known.image is not None else ("alerts",)
    return [*shared, *options, *((kind, city) for city in env.cities for kind in kinds)]


def _parameters(
    env: Environment, known: Known, document: Document, city: str, name: str
) -> dict[str, str]:
    staging, prod = known.endpoints.get(city, ("", ""))
    told = {
        "Environment": env.name,
        "Workspace": known.workspace,
        "Database": known.database,
        "DatabaseName": known.database,
        "FirstDate": known.first_date,
        "Cities": ",".join(sorted(env.cities)),
        "DefaultCity": known.default_city,
        "City": city,
        "StagingEndpoint": staging,
        "ProdEndpoint": prod,
        "JobsImage": known.image or "",
        **env.parameters,
    }
    asked = _asked(document)
    missing = [key for key, entry in asked.items() if key not in told and "Default" not in entry]
    if missing:
        where = f"ops/cloudformation/environments/{env.name}.toml"
        raise CloudError(f"stack {name} needs {', '.join(missing)}: add them to {where}")
    return {key: told[key] for key in asked if key in told}


def _asked(document: Document) -> Mapping[str, Document]:
    found: Mapping[str, Document] = document.get("Parameters", {})
    return found
