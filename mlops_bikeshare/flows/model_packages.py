"""Sync: SageMaker's Model Registry says what MLflow's says.

Input    a workspace with `registry.sagemaker` on, a city; `approvals` False registers what is not
         registered and moves no status, which is all that a training may.
Output   Synced: what was changed, and what could not be. Done again, it changes nothing.
Raises   SettingsError where the setting is off, EndpointError when SageMaker does not answer,
         LakeError while another process of the workspace moves statuses.

MLflow decides, SageMaker is told: after a training, a first deploy, a promotion, a rollback
(`after`, which fails none of them), and by `bikeshare registry sync`, which mends what was missed.
Aliases may move while archives are on their way: whether a version still is the champion is asked
again before it is approved.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.cloud.model_packages import PackageGroup
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError, CloudError, LakeError, SettingsError
from mlops_bikeshare.domain.packages import APPROVED, PENDING
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.process import remembered
from mlops_bikeshare.flows.process.logged import Told, logged
from mlops_bikeshare.flows.runs import packaged
from mlops_bikeshare.registry import packages, versions
from mlops_bikeshare.registry.packages import Change
from mlops_bikeshare.registry.versions import CHAMPION, ModelVersion

log = logging.getLogger(__name__)
LOCK = "model-registry.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What became of a group; `failed`: version → why its change was not made."""

    group: str
    changes: tuple[Change, ...]
    failed: dict[str, str] = field(default_factory=dict)


def _told(done: Synced) -> Told:
    wrote = {"changes": len(done.changes), "failed": len(done.failed)}
    return Told(read={"group": done.group}, wrote=wrote)


@logged("registry sync", _told)
def sync(ws: Workspace, city: City, *, approvals: bool = True) -> Synced:
    """Register what is missing, and set every status to what MLflow's aliases and tags say."""
    name = ws.settings.package_group(city.name)
    if name is None:
        msg = "SageMaker's registry is not used: it needs profile aws and registry.sagemaker"
        raise SettingsError(f'{msg} = "yes"; see docs/integrations.md')
    tracking.connect(ws)
    if not approvals:
        return _synced(ws, city, name, approvals=False)
    with _alone(ws):
        return _synced(ws, city, name, approvals=True)


@contextmanager
def _alone(ws: Workspace) -> Iterator[None]:
    """Statuses are moved by one process at a time: two would each go by what it saw first."""
    with remembered.waited_for(ws, LOCK) as free:
        if not free:
            msg = "another process is bringing SageMaker's registry up to date"
            raise LakeError(f"{msg}; run `bikeshare registry sync` once it is done")
        yield


def _synced(ws: Workspace, city: City, name: str, *, approvals: bool) -> Synced:
    with ws.clients.spoken(f"model package group {name}"):
        group = PackageGroup(ws.clients.sagemaker, name)
        known = group.packages()
    found = {version.version: version for version in versions.versions(city.registered_model)}
    made: list[Change] = []
    failed: list[Change] = []
    told: dict[str, str] = {}
    for change in packages.plan(list(found.values()), known, workspace=ws.settings.workspace):
        if change.arn is not None and not approvals:
            continue
        try:
            _check_alone(change, failed)
            made.append(_made(ws, city, group, change, found, approvals=approvals))
        except Exception as error:  # one package's trouble is no other's
            failed.append(change)
            _trace(error)
            told[change.version] = "; ".join(filter(None, (told.get(change.version), str(error))))
    return Synced(group=name, changes=tuple(made), failed=told)


def after(ws: Workspace, city: City, what: str, *, approvals: bool = True) -> None:
    """Sync after something that stands whatever SageMaker's registry says; nothing where it is off.

    What could not be done is told with the command that does it later.
    """
    if ws.settings.package_group(city.name) is None:
        return
    mend = f"`bikeshare registry sync --city {city.name}` brings it up to date"
    try:
        done = sync(ws, city, approvals=approvals)
    except Exception as error:  # what stands must not look as if it did not
        _trace(error)
        log.warning("%s stands, but SageMaker's registry was not told: %s; %s", what, error, mend)
        return
    for version, why in done.failed.items():
        log.warning(
            "%s stands, but not the package of version %s: %s; %s", what, version, why, mend
        )


def summary(done: Synced) -> str:
    """A line for each change, then for each that failed."""
    lines = [_line(change) for change in done.changes]
    lines += [f"version {version}: not done: {why}" for version, why in done.failed.items()]
    return "\n".join([f"{done.group}: {len(done.changes)} changed", *lines])


def _made(
    ws: Workspace,
    city: City,
    group: PackageGroup,
    change: Change,
    found: dict[str, ModelVersion],
    *,
    approvals: bool,
) -> Change:
    """The change, as far as it may go."""
    about, arn = f"package of version {change.version}", change.arn
    if arn is None:
        asked = packaged.package(ws, city, found[change.version], group=group.name)
        with ws.clients.spoken(about):
            arn = group.create(asked)
    if not approvals:
        return replace(change, status=PENDING)
    if change.status != (change.was or PENDING):
        _check_still(change, city)
        with ws.clients.spoken(about):
            group.set_status(arn, change.status, why=change.why)
    return change


def _check_alone(change: Change, failed: Sequence[Change]) -> None:
    """CloudError where another package is still approved that should not be."""
    others = [other.version for other in failed if other.was == APPROVED]
    if change.status == APPROVED and others:
        msg = f"it is not approved while the package of version {others[0]} still is"
        raise CloudError(f"{msg}; see why that could not be withdrawn")


def _check_still(change: Change, city: City) -> None:
    """CloudError where what would be approved is no longer the champion."""
    if change.status != APPROVED:
        return
    if CHAMPION not in versions.find(city.registered_model, change.version).aliases:
        msg = "it is not approved, since another version became champion meanwhile"
        raise CloudError(f"{msg}; run `bikeshare registry sync --city {city.name}`")


def _trace(error: Exception) -> None:
    """What nobody expected is worth its traceback; SageMaker, MLflow and disks fail as they do."""
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException

    expected = BikeshareError, MlflowException, ClientError, BotoCoreError, OSError
    if not isinstance(error, expected):
        log.error("SageMaker's registry: %s", type(error).__name__, exc_info=error)


def _line(change: Change) -> str:
    head = "registered" if change.arn is None else str(change.was)
    return f"version {change.version}: {head} → {change.status} ({change.why})"
