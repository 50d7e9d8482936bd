"""From flags, environment and bikeshare.toml to the settings object, in that precedence.

`load` takes the environment as a mapping and the folder to search from; it reads nothing else.
An unknown key, a value of the wrong type or range, or a missing file raises SettingsError, which
names the key and what is allowed.
"""

import dataclasses
import functools
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlops_bikeshare.domain.bounds import NAME, convert
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.label import USUAL
from mlops_bikeshare.settings.every import FILE, Settings

_PLACE = "AWS_ENDPOINT_URL"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SPOKEN_TO = ("S3", "SAGEMAKER", "SAGEMAKER_RUNTIME", "CLOUDWATCH")


def find_root(start: Path, environ: Mapping[str, str]) -> Path:
    """BIKESHARE_HOME, or the nearest folder upwards that holds bikeshare.toml."""
    home = environ.get("BIKESHARE_HOME")
    folders = [Path(home).absolute()] if home else [start.absolute(), *start.absolute().parents]
    for folder in folders:
        if (folder / FILE).is_file():
            return folder
    where = f"BIKESHARE_HOME={home}" if home else f"{start} and the folders above it"
    msg = f"no {FILE} in {where}; run inside a checkout, or set BIKESHARE_HOME to one"
    raise SettingsError(msg)


def load(start: Path, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Read the settings for a command started in `start`; `flags` maps dotted keys to values."""
    root = find_root(start, environ)
    values, origins = _file_values(root / FILE)
    for name, text in _environment(environ).items():
        values[name], origins[name] = text, f"environment {_variable(name)}"
    for name, value in flags.items():
        if value is not None:
            values[name], origins[name] = value, "flag"
    if environ.get("MLFLOW_TRACKING_URI"):
        values["tracking_uri"] = environ["MLFLOW_TRACKING_URI"]
        origins["tracking_uri"] = "environment MLFLOW_TRACKING_URI"
    settings = _build(root, values, origins)
    check_places(settings, environ)
    return settings


def check_places(settings: Settings, environ: Mapping[str, str]) -> None:
    """SettingsError for profile aws that would speak to this machine, unless it rehearses.

    boto3 takes addresses from AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>. A rehearsal needs
    one for every service that it writes to, lest its simulated time reach a real account.
    """
    if settings.profile != "aws":
        return
    given = {name: url for name, url in environ.items() if name.startswith(_PLACE)}
    here = [name for name, url in given.items() if urlsplit(url).hostname in _LOOPBACK]
    if settings.rehearse_aws == "no":
        if here:
            msg = f"profile aws, but {min(here)} names this machine"
            raise SettingsError(f"{msg}; unset it, or use --profile local")
        return
    missing = [f"{_PLACE}_{name}" for name in _SPOKEN_TO if f"{_PLACE}_{name}" not in here]
    if missing and _PLACE not in here:
        msg = f"rehearse_aws is for stand-ins on this machine, and {missing[0]} names none"
        raise SettingsError(f"{msg}; set AWS_ENDPOINT_URL_... to them, or unset rehearse_aws")


def keys() -> dict[str, Any]:
    """Dotted key → default of every setting outside the cities."""
    found: dict[str, Any] = {}
    for item in dataclasses.fields(Settings):
        if item.name in {"root", "cities", "origins"}:
            continue
        if dataclasses.is_dataclass(item.default):
            inner = dataclasses.fields(item.default)
            found |= {f"{item.name}.{f.name}": f.default for f in inner}
        else:
            found[item.name] = item.default
    return found


def _file_values(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    values: dict[str, Any] = {"cities": document.pop("cities", {})}
    for name, value in document.items():
        inner = value.items() if isinstance(value, dict) else None
        values |= {f"{name}.{k}": v for k, v in inner} if inner is not None else {name: value}
    return values, dict.fromkeys(values, path.name)


def _variable(name: str) -> str:
    return "BIKESHARE_" + name.replace(".", "__").upper()


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    names = {_variable(name): name for name in keys()}
    return {names[var]: text for var, text in environ.items() if var in names}


def _build(root: Path, values: dict[str, Any], origins: dict[str, str]) -> Settings:
    cities = {name: _city(name, table) for name, table in values.pop("cities").items()}
    known = keys()
    for name in values:
        if name not in known:
            near = ", ".join(sorted(known))
            raise SettingsError(f"{name}: unknown key ({origins[name]}); known keys: {near}")
    top: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        owner = sections.setdefault(section, {}) if section else top
        owner[key] = convert(name, value, _hint(section, key), origins[name])
    for section, inner in sections.items():
        top[section] = _sections()[section](**inner)
    every = {name: origins.get(name, "default") for name in known}
    label = top.get("labels", USUAL)
    cities = {name: dataclasses.replace(city, label=label) for name, city in cities.items()}
    return Settings(root=root, cities=cities, origins=every, **top)


def _hint(section: str, key: str) -> Any:
    return _hints(_sections()[section] if section else Settings)[key]


@functools.cache
def _sections() -> dict[str, Any]:
    return typing.get_type_hints(Settings)


@functools.cache
def _hints(owner: type) -> dict[str, Any]:
    """Types with their notes; every page of the dashboard reads the settings anew."""
    return typing.get_type_hints(owner, include_extras=True)


def _city(name: str, table: Any) -> City:
    if not NAME.holds(name):
        raise SettingsError(f"[cities.{name}]: expected a name {NAME.words}, got {name!r}")
    allowed = [f.name for f in dataclasses.fields(City) if f.name not in {"name", "label"}]
    if not isinstance(table, Mapping):
        msg = f"cities.{name}: expected a table with the keys {', '.join(allowed)}, got {table!r}"
        raise SettingsError(msg)
    unknown = [key for key in table if key not in allowed]
    missing = [key for key in ("timezone", "country") if key not in table]
    if unknown or missing:
        msg = f"[cities.{name}]: unknown {unknown or 'none'}, missing {missing or 'none'}"
        raise SettingsError(f"{msg}; allowed keys: {', '.join(allowed)}")
    hints = typing.get_type_hints(City, include_extras=True)
    origin = f"[cities.{name}] in {FILE}"
    city = City(name, **{k: convert(k, v, hints[k], origin) for k, v in table.items()})
    try:
        _ = city.zone
    except (KeyError, ValueError, OSError):
        msg = f"[cities.{name}].timezone: expected an IANA name such as America/New_York"
        raise SettingsError(f"{msg}, got {city.timezone!r}") from None
    return city
