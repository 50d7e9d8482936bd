"""Versions of a registered model: find them, move their aliases, download them.

Input    names, aliases and tags as text; MLflow's tracking URI is set by the caller, and nothing is
         read from the environment here.
Output   ModelVersion.
Raises   ModelError for an unknown model, alias or version, for files that changed, and for an
         alias that moved meanwhile.

An alias is the only way to a version that serves: no champion means no serving, never "the best
metric". MLflow has no compare-and-set, so `expected` narrows a race and does not exclude it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.registry.artefact import artefact_digest, drop_caches

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous_champion"
ALIASES = (CHAMPION, CHALLENGER, PREVIOUS)
REGISTERED, RETIRED = "registered", "retired"
STAGE_TAG, DIGEST_TAG, FEATURES_TAG = "stage", "artefact_digest", "feature_digest"
CITY_TAG = "city"
ANYTHING = "any version"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One registered version; `digest` identifies its files wherever they are deployed."""

    name: str
    version: str
    run_id: str
    digest: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """What MLflow calls it."""
        return f"models:/{self.name}/{self.version}"

    def check_city(self, city: str) -> None:
        """ModelError where it says that it learned from another city."""
        of = self.tags.get(CITY_TAG, city)
        if of != city:
            msg = f"{self.uri} learned from {of}, and its answers mean nothing for {city}"
            raise ModelError(f"{msg}; train a version of {city}")


def find(name: str, reference: str) -> ModelVersion:
    """The version that an alias or a version number stands for; ModelError if there is none."""
    from mlflow.exceptions import MlflowException

    aliases = _aliases(name)
    number = reference if reference.isdigit() else aliases.get(reference)
    if number is None:
        raise ModelError(_not_found(name, reference))
    try:
        return _version(_client().get_model_version(name, number))
    except MlflowException as error:
        raise ModelError(_not_found(name, reference)) from error


def find_if_any(name: str, alias: str) -> ModelVersion | None:
    """The version an alias stands for, or None when it is not set."""
    aliases = _aliases(name)
    return find(name, aliases[alias]) if alias in aliases else None


def is_registered(name: str) -> bool:
    """Whether a model of that name was ever registered."""
    return bool(_client().search_registered_models(f"name='{name}'"))


def versions(name: str) -> list[ModelVersion]:
    """All versions, oldest first; empty when nothing was registered."""
    found = _client().search_model_versions(f"name='{name}'")
    numbers = sorted(int(item.version) for item in found)
    return [find(name, str(number)) for number in numbers]


def registered_at(version: ModelVersion) -> datetime:
    """When a version was registered, which is the last thing that its training does."""
    found = _client().get_model_version(version.name, version.version)
    return datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)


def move_alias(name: str, alias: str, version: str | None, *, expected: str | None) -> None:
    """Point an alias at a version (None removes it).

    `expected` is the version it must stand for now: None for unset, ANYTHING for no check.
    """
    if alias not in ALIASES:
        msg = f"unknown alias {alias!r} for {name}: expected one of {', '.join(ALIASES)}"
        raise ModelError(msg)
    current = _aliases(name).get(alias)
    if expected not in (ANYTHING, current):
        msg = (
            f"alias {alias} of {name} stands for {_said(current)}, expected {_said(expected)}: it"
            f" was moved meanwhile; see who moved it, then start again"
        )
        raise ModelError(msg)
    if version is None:
        _client().delete_registered_model_alias(name, alias)
    else:
        find(name, version)
        _client().set_registered_model_alias(name, alias, version)
    for touched in {current, version} - {None}:
        _retag(name, str(touched))


def set_tags(name: str, version: str, tags: Mapping[str, str]) -> None:
    """Set tags of a version; those that say so already cost nothing."""
    client = _client()
    there = client.get_model_version(name, version).tags
    for key, value in tags.items():
        if there.get(key) != value:
            client.set_model_version_tag(name, version, key, value)


def download(version: ModelVersion, into: Path) -> Path:
    """Fetch a version's model folder; ModelError if its files are not the registered ones."""
    import mlflow

    into.mkdir(parents=True, exist_ok=True)
    source = _client().get_model_version_download_uri(version.name, version.version)
    folder = Path(mlflow.artifacts.download_artifacts(source, dst_path=str(into)))
    drop_caches(folder)
    found = artefact_digest(folder)
    if found != version.digest:
        msg = (
            f"{version.uri} was registered with digest {version.digest[:12]}, but its files now"
            f" have {found[:12]}: the artefact store was changed; do not deploy it"
        )
        raise ModelError(msg)
    return folder


def _retag(name: str, version: str) -> None:
    """Let the stage tag say the foremost alias, for people and for `tag.stage='champion'`."""
    held = [a for a in ALIASES if _aliases(name).get(a) == version]
    set_tags(name, version, {STAGE_TAG: held[0] if held else RETIRED})


def _aliases(name: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        model = _client().get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            msg = f"the registry did not answer a question about {name}: {error}"
            raise ModelError(msg) from error
        msg = f"no registered model {name}; train and register one first (`bikeshare train`)"
        raise ModelError(msg) from error
    return {alias: str(version) for alias, version in model.aliases.items()}


def _version(found: Any) -> ModelVersion:
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        run_id=found.run_id or "",
        digest=found.tags.get(DIGEST_TAG, ""),
        aliases=tuple(found.aliases),
        tags=dict(found.tags),
    )


def _not_found(name: str, reference: str) -> str:
    known = ", ".join(item.version for item in versions(name)) or "none"
    if reference == CHAMPION:
        return f"{name} has no champion, and no champion means no serving; versions: {known}"
    return f"{name} has no version or alias {reference!r}; versions: {known}"


def _said(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"


def _client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient()
