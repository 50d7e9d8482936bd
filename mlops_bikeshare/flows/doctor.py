"""Doctor: whether this machine, and what the settings point to, are fit to work with.

Input    settings, the environment as a mapping.
Output   Examined: findings, each with what to do about it, and every setting with its origin.
         `fail`: something will not work; `warn`: it may matter to you; offline is no failure.
Raises   SettingsError for a city that is not in the settings.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from mlops_bikeshare.cloud.identity import identity
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import BikeshareError
from mlops_bikeshare.domain.wording import masked
from mlops_bikeshare.flows import probes
from mlops_bikeshare.flows.status import looked_at, store_of
from mlops_bikeshare.monitoring.notify_apprise import scheme
from mlops_bikeshare.serving import launch
from mlops_bikeshare.settings import Settings, keys

Verdict = Literal["ok", "warn", "fail"]
PYTHON, BELOW = (3, 11), (3, 13)
GB = 1e9
FREE_WARN_GB, FREE_FAIL_GB = 5.0, 0.5
WINDOWS = {"dashboard": 8501, "mlflow-ui": 5000}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OTHER_VARIABLES = (
    *("HOME", "JOB", "RECORDINGS", "LOG_FORMAT", "LOG_LEVEL"),
    *("CITY", "SM_ENDPOINT", "STREET_TILES"),  # the dashboard's
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    seen: str
    todo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value and where it came from."""

    value: str | int | float | None
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """Everything that was found."""

    findings: tuple[Finding, ...]
    settings: Mapping[str, Setting]

    @property
    def failures(self) -> int:
        """How many findings stand in the way."""
        return sum(finding.verdict == "fail" for finding in self.findings)


def examine(settings: Settings, environ: Mapping[str, str], *, city: str | None = None) -> Examined:
    """Look at everything once; nothing is changed."""
    where = settings.city(city)
    checks = (
        _python(),
        *_packages(),
        *_variables(environ),
        _writable(settings.workspaces),
        _disk(settings.root),
        _host_port(settings),
        *(_window_port(name, port) for name, port in WINDOWS.items()),
        _credentials(settings),
        _tracking(settings),
        _host(settings),
        _feed(where),
        _browser(),
    )
    return Examined(findings=checks, settings=_settings(settings))


def summary(found: Examined, *, paint: Callable[[Verdict], str]) -> str:
    """The findings and settings for a person."""
    lines = [
        f"{paint(f.verdict)} {f.name:<20}{f.seen}" + (f"; {f.todo}" if f.todo else "")
        for f in found.findings
    ]
    width = max(map(len, found.settings))
    for name, setting in found.settings.items():
        value = "not set" if setting.value is None else setting.value
        lines.append(f"      {name:<{width}}  {value}  ({setting.origin})")
    warnings = sum(f.verdict == "warn" for f in found.findings)
    return "\n".join([*lines, f"{found.failures} to mend, {warnings} to know about"])


def _python() -> Finding:
    version = sys.version_info[:2]
    fits = PYTHON <= version < BELOW
    return Finding(
        name="python",
        verdict="ok" if fits else "fail",
        seen=f"{sys.version.split()[0]} at {sys.executable}",
        todo="" if fits else "3.11 or 3.12 is needed: make setup PYTHON=/path/to/python3.11",
    )


def _packages() -> Iterator[Finding]:
    try:
        needed = [line for line in metadata.requires("mlops_bikeshare") or [] if ";" not in line]
    except metadata.PackageNotFoundError:
        todo = "commands work from the checkout; `make setup` installs it"
        yield Finding(name="package", verdict="warn", seen="not installed", todo=todo)
        return
    names = [re.split(r"[<>=!~\[ ]", line, maxsplit=1)[0] for line in needed]
    missing = [name for name in names if not _installed(name)]
    yield Finding(
        name="packages",
        verdict="fail" if missing else "ok",
        seen=f"missing: {', '.join(missing)}" if missing else f"all {len(names)} are there",
        todo="run `make setup`" if missing else "",
    )


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    """A misspelt variable changes nothing, and nobody would notice."""
    known = {"BIKESHARE_" + name.replace(".", "__").upper() for name in keys()}
    known |= {f"BIKESHARE_{name}" for name in OTHER_VARIABLES}
    for name in sorted(environ):
        if name.startswith("BIKESHARE_") and name not in known:
            todo = "it is not a setting; docs/settings.md lists them"
            yield Finding(name="environment", verdict="warn", seen=f"{name} is ignored", todo=todo)


def _writable(folder: Path) -> Finding:
    place = folder if folder.is_dir() else folder.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return Finding(name="var", verdict="ok", seen=f"{folder} can be written")
    except OSError as error:
        todo = "give yourself the right to write there, or set BIKESHARE_HOME to another folder"
        return Finding(name="var", verdict="fail", seen=f"{folder}: {error.strerror}", todo=todo)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / GB
    verdict: Verdict = "fail" if free < FREE_FAIL_GB else "warn" if free < FREE_WARN_GB else "ok"
    todo = "" if verdict == "ok" else "`make clean` removes the demo and caches"
    return Finding(name="disk", verdict=verdict, seen=f"{free:.1f} GB free", todo=todo)


def _host_port(settings: Settings) -> Finding:
    port, name = settings.serving.port, "port of the host"
    owner = _owner(settings, port)
    if port == 0 or probes.is_free(port) or owner:
        seen = "any free one" if port == 0 else f"{port} is free"
        return Finding(
            name=name, verdict="ok", seen=f"{port} is used by {owner}" if owner else seen
        )
    todo = "choose another: bikeshare serve --port N, or serving.port in bikeshare.toml"
    return Finding(name=name, verdict="warn", seen=f"{port}: another program has it", todo=todo)


def _owner(settings: Settings, port: int) -> str | None:
    """Which of our workspaces has its host there."""
    for folder in sorted(settings.workspaces.glob("*/host.json")):
        facts = launch.running(folder.parent)
        if facts is not None and facts.port == port:
            return f"the host of workspace {folder.parent.name!r} (process {facts.pid})"
    return None


def _window_port(command: str, port: int) -> Finding:
    name = f"port of {command}"
    if probes.is_free(port):
        return Finding(name=name, verdict="ok", seen=f"{port} is free")
    todo = f"if it is not yours: bikeshare {command} --port N"
    return Finding(name=name, verdict="warn", seen=f"{port}: a program has it already", todo=todo)


def _credentials(settings: Settings) -> Finding:
    if settings.profile == "local":
        seen = "none needed with profile local; ~/.aws is not read"
        return Finding(name="credentials", verdict="ok", seen=seen)
    try:
        who = identity(settings.region)
    except BikeshareError as error:
        return Finding(name="credentials", verdict="fail", seen=str(error), todo="see docs/aws.md")
    return Finding(name="credentials", verdict="ok", seen=f"AWS knows this as {who}")


def _tracking(settings: Settings) -> Finding:
    chosen, _ = looked_at(settings)
    uri, name = store_of(chosen), "tracking store"
    if uri is None:
        return Finding(name=name, verdict="ok", seen="none yet; the first training makes it")
    problem = (
        probes.sqlite_problem(uri)
        if uri.startswith("sqlite:///")
        else probes.no_answer(f"{uri}/health")
    )
    todo = "restore it from a backup, or move it away" if uri.startswith("sqlite") else "is it up?"
    return Finding(
        name=name,
        verdict="fail" if problem else "ok",
        seen=f"{masked(uri)}: {problem or 'answers'}",
        todo=todo if problem else "",
    )


def _host(settings: Settings) -> Finding:
    chosen, _ = looked_at(settings)
    if settings.profile == "aws":
        return Finding(name="endpoint host", verdict="ok", seen="not needed: SageMaker serves")
    facts, name = launch.running(chosen.var), "endpoint host"
    if facts is None:
        todo = f"needed from deploy on: bikeshare --workspace {chosen.workspace} serve --background"
        return Finding(name=name, verdict="ok", seen="not running", todo=todo)
    problem = probes.no_answer(facts.url)
    return Finding(
        name=name,
        verdict="warn" if problem else "ok",
        seen=f"{facts.url}: {problem or 'answers'}",
        todo="`bikeshare stop`, then serve again" if problem else "",
    )


def _feed(city: City) -> Finding:
    name = f"feed of {city.name}"
    if city.gbfs_url is None:
        return Finding(name=name, verdict="ok", seen="no gbfs_url: recordings only")
    problem = probes.no_answer(city.gbfs_url, status=True)
    return Finding(
        name=name,
        verdict="warn" if problem else "ok",
        seen=f"{masked(city.gbfs_url)}: {problem or 'answers'}",
        todo="only live polls need it; the demo and recordings do not" if problem else "",
    )


def _browser() -> Finding:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    seen = found or "none found; only the browser tests want one"
    return Finding(name="chromium (optional)", verdict="ok", seen=seen)


def _settings(settings: Settings) -> dict[str, Setting]:
    return {
        name: Setting(value=shown(settings, name), origin=settings.origins[name]) for name in keys()
    }


def shown(settings: Settings, name: str) -> Any:
    """A setting's value, with what is secret masked."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    if name.endswith(".token") and value:
        return "***"
    if name == "notify.urls" and value:
        return " ".join(f"{scheme(url)}://***" for url in value.split())
    return masked(value) if isinstance(value, str) else value
