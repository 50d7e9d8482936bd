"""What the dashboard reads: settings, workspace, endpoint, city, views.

Input    the folder to start from, the environment, a workspace's name or None.
Output   Choice: the settings with what the keys say, and where each key came from.
Raises   SettingsError for a key that is unknown, not text or not a name, and for broken TOML.

The keys stand in `.streamlit/secrets.toml` beside bikeshare.toml; BIKESHARE_<KEY> comes first.
Without the file the profile is the one of bikeshare.toml; `athena_output` in it means AWS.
"""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_bikeshare.backends import STATE_FILE, open_workspace
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.flows.status import looked_at
from mlops_bikeshare.monitoring.metrics import MODEL
from mlops_bikeshare.settings import Settings, load

SECRETS = ".streamlit/secrets.toml"
DEFAULT_ENDPOINT = "bikeshare-staging"
KEYS = (
    "region",
    "city",
    "cw_custom_ns",
    "sm_endpoint",
    "aws_profile",
    "db",
    "workgroup",
    "athena_output",
    "view_station_info_latest",
    "view_predictions",
    "view_quality",
    "street_tiles",
)
_YES, _NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
OSM_URL = "https://tile.openstreetmap.org/{z}/{x}/{y}.png"
_TILES = re.compile(r"^https?://[^\s'\"<>]*\{z\}[^\s'\"<>]*\{x\}[^\s'\"<>]*\{y\}[^\s'\"<>]*$")
_VIEW = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A setting's value and where it came from."""

    value: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Names of the views in the database."""

    stations: str = "v_station_information"
    predictions: str = "v_predictions"
    quality: str = "v_quality"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to read; `city` None takes the one in the data.

    `street_tiles`: where a visitor's browser may ask for them, None for nowhere; `streets`: whether
    they are drawn without being asked for.
    """

    settings: Settings
    workspace: Chosen
    endpoint: Chosen
    city: Chosen | None
    street_tiles: str | None
    streets: bool
    views: Views = Views()
    namespace: str = MODEL
    aws_profile: str | None = None
    athena_output: str | None = None


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing to show: what is missing, and what a person can type."""

    what: str
    todo: str
    command: str


def choose(start: Path, environ: Mapping[str, str], *, workspace: str | None) -> Choice:
    """Find the settings and decide what to read; SettingsError names what is wrong."""
    settings = load(start, environ, {})
    keys = _keys(settings.root / SECRETS, environ)
    settings = _with_keys(settings, keys)
    name = _workspace(settings, environ, workspace)
    settings = settings.with_workspace(name.value)
    return Choice(
        settings=settings,
        workspace=name,
        endpoint=keys.get("sm_endpoint") or _endpoint(settings),
        city=keys.get("city"),
        street_tiles=_tiles(keys),
        streets="street_tiles" in keys,
        views=_views(keys),
        namespace=_value("cw_custom_ns", keys) or MODEL,
        aws_profile=_value("aws_profile", keys),
        athena_output=_value("athena_output", keys),
    )


def _with_keys(settings: Settings, keys: Mapping[str, Chosen]) -> Settings:
    """The settings as the keys have them."""
    lake = settings.lake
    lake = dataclasses.replace(
        lake,
        database=_value("db", keys) or lake.database,
        workgroup=_value("workgroup", keys) or lake.workgroup,
    )
    output = keys.get("athena_output")
    _check_for_aws(settings, keys)
    if output and not output.value.startswith("s3://"):
        got = f"expected a folder such as s3://bucket/results/, got {output.value!r}"
        raise SettingsError(f"athena_output: {got} ({output.origin})")
    return dataclasses.replace(
        settings,
        lake=lake,
        region=_value("region", keys) or settings.region,
        profile="aws" if output else settings.profile,
    )


def _check_for_aws(settings: Settings, keys: Mapping[str, Chosen]) -> None:
    """Whoever names a profile or a workgroup means AWS, and would be shown this machine."""
    given = next((name for name in ("aws_profile", "workgroup") if name in keys), None)
    if given and "athena_output" not in keys and settings.profile == "local":
        msg = f"{given} ({keys[given].origin}) is for AWS, which is read where athena_output"
        raise SettingsError(f"{msg} is set (s3://bucket/results/) or the profile is aws")


def _workspace(settings: Settings, environ: Mapping[str, str], flag: str | None) -> Chosen:
    if flag:
        return Chosen(flag, "--workspace")
    if environ.get("BIKESHARE_WORKSPACE") or settings.profile == "aws":
        return Chosen(settings.workspace, settings.origins.get("workspace", "the default"))
    chosen, why = looked_at(settings)
    return Chosen(chosen.workspace, why or settings.origins["workspace"])


def _endpoint(settings: Settings) -> Chosen:
    """What bikeshare.toml says, else the workspace's last promotion, else the default."""
    if settings.sm_endpoint:
        return Chosen(settings.sm_endpoint, settings.origins["sm_endpoint"])
    if (settings.var / STATE_FILE).is_file():
        shown = open_workspace(settings).sm_endpoint
        if shown is not None:
            return Chosen(shown, "the last promotion")
    return Chosen(DEFAULT_ENDPOINT, "the default")


def _keys(path: Path, environ: Mapping[str, str]) -> dict[str, Chosen]:
    """Every key that is set."""
    document = _document(path)
    unknown = sorted(set(document) - set(KEYS))
    if unknown:
        msg = f"{SECRETS}: unknown key {unknown[0]!r}; allowed keys: {', '.join(KEYS)}"
        raise SettingsError(msg)
    found = {name: _text(name, value) for name, value in document.items()}
    for name in KEYS:
        variable = f"BIKESHARE_{name.upper()}"
        if environ.get(variable):
            found[name] = Chosen(environ[variable], f"environment {variable}")
    return found


def _document(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{SECRETS}: not valid TOML: {error}") from None
    except OSError as error:
        raise SettingsError(f"{SECRETS}: cannot be read: {error.strerror}") from None


def _text(name: str, value: object) -> Chosen:
    if not isinstance(value, str | bool) or value == "":
        raise SettingsError(f"{name}: expected text, got {value!r} ({SECRETS})")
    return Chosen(str(value), SECRETS)


def _value(name: str, keys: Mapping[str, Chosen]) -> str | None:
    return keys[name].value if name in keys else None


def _tiles(keys: Mapping[str, Chosen]) -> str | None:
    """OpenStreetMap, a server that was named, or nowhere."""
    chosen = keys.get("street_tiles")
    word = chosen.value.lower() if chosen else ""
    if chosen is None or word in _YES:
        return OSM_URL
    if word in _NO:
        return None
    if not _TILES.match(chosen.value):
        expected = "expected true, false or an address such as https://host/{z}/{x}/{y}.png"
        raise SettingsError(f"street_tiles: {expected}, got {chosen.value!r} ({chosen.origin})")
    return chosen.value


def _views(keys: Mapping[str, Chosen]) -> Views:
    names = {
        "stations": "view_station_info_latest",
        "predictions": "view_predictions",
        "quality": "view_quality",
    }
    for key in names.values():
        if key in keys and not _VIEW.match(keys[key].value):
            got = f"expected a view's name, got {keys[key].value!r} ({keys[key].origin})"
            raise SettingsError(f"{key}: {got}")
    return Views(**{field: keys[key].value for field, key in names.items() if key in keys})
