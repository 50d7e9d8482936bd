"""Status: what a workspace holds and does, as of its own clock. Looking changes nothing.

Input    the settings; a workspace that does not exist is not made.
Output   Status; what there is not yet is None or empty, and `next` says what to type.
Raises   SettingsError for a city that is not in the settings.
"""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlops_bikeshare.backends import Workspace, exists, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, ModelError
from mlops_bikeshare.domain.reports import GateReport, Verdict
from mlops_bikeshare.domain.tables import (
    INFERENCE,
    MONITORING_DRIFT,
    MONITORING_QUALITY,
    STATION_INFORMATION_RAW,
    STATION_STATUS,
    STATION_STATUS_RAW,
)
from mlops_bikeshare.flows import records, tracking
from mlops_bikeshare.flows.features import OFFLINE, ONLINE
from mlops_bikeshare.flows.process.feed_health import FeedHealth, feed_health
from mlops_bikeshare.registry import versions
from mlops_bikeshare.serving import endpoints, launch
from mlops_bikeshare.settings import DEMO, Settings

TABLES = (
    STATION_INFORMATION_RAW,
    STATION_STATUS_RAW,
    STATION_STATUS,
    OFFLINE,
    ONLINE,
    INFERENCE,
    MONITORING_QUALITY,
    MONITORING_DRIFT,
)
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest time in a table, or of an endpoint's batches; None when there is none."""

    name: str
    at: datetime | None
    age_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What an endpoint serves."""

    endpoint: str
    status: str
    version: str | None
    artefact_digest: str | None
    endpoint_config: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The version an alias stands for."""

    version: str
    artefact_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The last verdict on an endpoint."""

    endpoint: str
    verdict: Verdict
    model_version: str
    artefact_digest: str
    judged_at: datetime
    age_s: int
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A workspace at a glance; `why` says why this one was looked at."""

    workspace: str
    why: str | None
    exists: bool
    clock: str | None
    now: datetime | None
    city: str
    tables: tuple[Newest, ...]
    batches: tuple[Newest, ...]
    feed: FeedHealth | None
    host: str | None
    endpoints: tuple[Served, ...]
    models: dict[str, Registered | None]
    gate: Judged | None
    next: str


def looked_at(settings: Settings) -> tuple[Settings, str | None]:
    """The workspace that was named, else the one of the settings, else the demo's; and why."""
    named = settings.origins.get("workspace", "").startswith(("flag", "environment"))
    if named or _has_data(settings) or not exists(settings.with_workspace(DEMO)):
        return settings, None
    what = "nothing in" if exists(settings) else "no"
    why = f"there is {what} workspace {settings.workspace!r} yet, and no --workspace was given"
    return settings.with_workspace(DEMO), why


def store_of(settings: Settings) -> str | None:
    """Where runs and models are; None when nothing was tracked yet."""
    uri = settings.mlflow_uri
    there = not uri.startswith(_SQLITE) or Path(uri.removeprefix(_SQLITE)).is_file()
    return uri if there else None


def status(settings: Settings, *, city: str | None = None) -> Status:
    """Look at a workspace."""
    chosen, why = looked_at(settings)
    ws = open_workspace(chosen) if exists(chosen) else None
    where = chosen.city(city) if ws is None else _city(ws, city)
    seen = Status(
        workspace=chosen.workspace,
        why=why,
        exists=ws is not None,
        clock=ws.clock.kind if ws else None,
        now=ws.now if ws else None,
        city=where.name,
        tables=_tables(ws, where) if ws else (),
        batches=_batches(ws, where) if ws else (),
        feed=feed_health(ws, where) if ws else None,
        host=_host(chosen),
        endpoints=_endpoints(ws, where) if ws else (),
        models=_models(ws, where) if ws else dict.fromkeys(versions.ALIASES),
        gate=_gate(ws, where) if ws else None,
        next="",
    )
    return dataclasses.replace(seen, next=_next(seen))


def _has_data(settings: Settings) -> bool:
    """A command that found nothing to work on leaves a workspace that is not worth a look."""
    return exists(settings) and (settings.profile == "aws" or (settings.var / "lake").is_dir())


def _city(ws: Workspace, name: str | None) -> City:
    """The city asked for, else the workspace's own, else the only one that has data."""
    default = ws.settings.city(name)
    present = {f.removeprefix("city=") for f in ws.lake.store.folders(STATION_STATUS.location)}
    if name or default.name in present or len(present) != 1:
        return default
    return ws.settings.city(present.pop())


def _tables(ws: Workspace, city: City) -> tuple[Newest, ...]:
    return tuple(_newest(ws, t.name, ws.lake.newest(t, city=city.name)) for t in TABLES)


def _batches(ws: Workspace, city: City) -> tuple[Newest, ...]:
    """The newest batch of each endpoint, from the names of the objects of the last two days."""
    newest: dict[str, datetime] = {}
    for day in ws.lake.days(INFERENCE, city=city.name)[-2:]:
        for name in ws.lake.names(INFERENCE, city=city.name, day=day):
            endpoint, _, stamp = name.rpartition("_")
            newest[endpoint] = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return tuple(_newest(ws, name, at) for name, at in sorted(newest.items()))


def _newest(ws: Workspace, name: str, at: datetime | None) -> Newest:
    return Newest(name=name, at=at, age_s=None if at is None else _age_s(ws, at))


def _age_s(ws: Workspace, at: datetime) -> int:
    return round((ws.now - at).total_seconds())


def _host(settings: Settings) -> str | None:
    """Who serves: SageMaker, the host that runs, or nobody."""
    if settings.profile == "aws":
        return f"SageMaker in {settings.region}"
    facts = launch.running(settings.var)
    return facts.url if facts else None


def _names(ws: Workspace, city: City) -> list[str]:
    """The city's endpoints by name, and those that ever made a batch for it."""
    usual = [ws.settings.endpoint("staging", city.name), ws.settings.endpoint("prod", city.name)]
    return list(dict.fromkeys([*usual, *(batch.name for batch in _batches(ws, city))]))


def _endpoints(ws: Workspace, city: City) -> tuple[Served, ...]:
    if _host(ws.settings) is None:
        return ()
    try:
        found = [endpoints.find(ws.clients, name) for name in _names(ws, city)]
    except EndpointError:  # it stopped meanwhile
        return ()
    return tuple(
        Served(
            endpoint=state.name,
            status=state.status,
            version=variant.version,
            artefact_digest=variant.digest,
            endpoint_config=state.config,
        )
        for state in found
        if state is not None
        for variant in state.variants
    )


def _models(ws: Workspace, city: City) -> dict[str, Registered | None]:
    none: dict[str, Registered | None] = dict.fromkeys(versions.ALIASES)
    if store_of(ws.settings) is None:
        return none
    tracking.connect(ws)
    try:
        found = {a: versions.find_if_any(city.registered_model, a) for a in versions.ALIASES}
    except ModelError:  # nothing was registered yet
        return none
    return {
        alias: Registered(version=v.version, artefact_digest=v.digest) if v else None
        for alias, v in found.items()
    }


def _gate(ws: Workspace, city: City) -> Judged | None:
    kept = (records.newest_gate(ws, name) for name in _names(ws, city))
    mine = [report for report in kept if report is not None and report.city == city.name]
    return _judged(ws, max(mine, key=lambda report: report.judged_at)) if mine else None


def _judged(ws: Workspace, report: GateReport) -> Judged:
    return Judged(
        endpoint=report.endpoint,
        verdict=report.verdict,
        model_version=report.model_version,
        artefact_digest=report.artefact_digest,
        judged_at=report.judged_at,
        age_s=_age_s(ws, report.judged_at),
        failed=tuple(check.name for check in report.failed),
    )


def _next(seen: Status) -> str:
    """What a person would type now: the first step of the loop that is missing."""
    newest = {item.name: item.at for item in seen.tables}
    champion, challenger = seen.models.get("champion"), seen.models.get("challenger")
    steps = (
        (not seen.exists and seen.workspace == DEMO, "demo"),
        (newest.get(STATION_STATUS.name) is None, "ingest --recording FOLDER"),
        (newest.get(OFFLINE.name) is None, "features"),
        (challenger is None, "train"),
        (seen.host is None, "serve --background" + _replayed(seen)),
        (champion is None, "deploy --alias challenger --initial"),
        (not seen.endpoints, "deploy"),
        (not seen.batches, "infer"),
        (seen.gate is None, "gate"),
        (seen.gate is not None and seen.gate.verdict == "pass" and _waits(seen), "promote"),
        (True, "infer"),
    )
    step = next(command for missing, command in steps if missing)
    hint = ", or `make demo` for a city that is simulated" if step.startswith("ingest") else ""
    return f"bikeshare --workspace {seen.workspace} {step}{hint}"


def _replayed(seen: Status) -> str:
    return " --replay-clock" if seen.clock == "simulated" else ""


def _waits(seen: Status) -> bool:
    """Whether what passed is not the champion yet."""
    champion = seen.models.get("champion")
    judged = seen.gate
    return judged is not None and (champion is None or champion.version != judged.model_version)
