"""Settings: one frozen object from flags, environment, bikeshare.toml and defaults.

`load` takes the environment as a mapping and the folder to search from; it reads nothing else.
Every value remembers where it came from (`Settings.origins`); its annotation says what it means.
An unknown key, a value of the wrong type or a missing file raises SettingsError, which names the
key and what is allowed.
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import SettingsError

FILE = "bikeshare.toml"
Profile = Literal["local", "aws"]
Stage = Literal["staging", "prod"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """Where endpoints live and what they are made of."""

    port: Annotated[int, "port of the local endpoint host on 127.0.0.1; 0 takes a free one"] = 8181
    bucket: Annotated[
        str,
        "bucket where mlflow.sagemaker puts model archives",
    ] = "bikeshare-models"
    execution_role_arn: Annotated[
        str,
        "role that endpoints run under; the local host does not check it",
    ] = "arn:aws:iam::000000000000:role/bikeshare-sagemaker"
    image_url: Annotated[
        str,
        "container image of the endpoints; the local host runs none",
    ] = "bikeshare-serving:local"
    instance_type: Annotated[
        str,
        "machine of the endpoints; the local host has its own",
    ] = "ml.m5.large"
    timeout_s: Annotated[int, "longest wait for an endpoint, seconds"] = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How much to train on, and how."""

    max_rows: Annotated[int, "most (station, dt) rows per training; more are sampled"] = 800_000
    rounds: Annotated[int, "most trees per target; early stopping takes fewer"] = 400
    learning_rate: Annotated[float, "how much each tree may correct"] = 0.1
    leaves: Annotated[int, "most leaves of a tree"] = 63
    threads: Annotated[int, "threads of LightGBM in training; serving always uses one"] = 2
    seed: Annotated[
        int,
        "seed of sampling and trees: the same data gives the same model",
    ] = 20_210_901


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What a candidate must show; shares are fractions, delta is a Brier difference."""

    window_h: Annotated[int, "hours that a verdict looks at"] = 24
    pr_auc_24h: Annotated[float, "least PR-AUC at 30 min, the worse target"] = 0.70
    f1_24h: Annotated[
        float,
        "least F1 at the version's threshold, 30 min, the worse target",
    ] = 0.55
    latency_p95_ms: Annotated[
        float,
        "most of every hour's 95th percentile of latency, milliseconds",
    ] = 200.0
    errors_5xx: Annotated[int, "most server errors in the window"] = 0
    heartbeats: Annotated[int | None, "least batches in the window; unset: window / 10 min"] = None
    psi: Annotated[float, "PSI must stay below this; can be waived"] = 0.20
    onset_brier_skill: Annotated[
        float,
        "least 1 - Brier / Brier of persistence on onset rows, the worse target",
    ] = 0.02
    non_inferiority_delta: Annotated[
        float,
        "how much worse than the champion the Brier score may be",
    ] = 0.002
    min_samples: Annotated[int, "least labelled rows for a verdict"] = 2000
    fresh_min: Annotated[int, "minutes that a pass may be used for a promotion"] = 60
    stale_min: Annotated[int, "minutes after which a metric counts as missing: two cadences"] = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """What production must keep: a canary that breaks it is taken back, a version rolled back."""

    errors_5xx: Annotated[int, "most server errors since the last move"] = 0
    latency_p95_ms: Annotated[
        float, "most of every hour's 95th percentile of latency, milliseconds"
    ] = 300.0
    success_rate: Annotated[float, "least share of rows answered, of every batch"] = 1.0
    pr_auc_24h: Annotated[float, "least PR-AUC at 30 min, the worse target"] = 0.70
    f1_24h: Annotated[float, "least F1 at 30 min, the worse target"] = 0.55
    hold_batches: Annotated[int, "batches that a canary holds at 10 %, 50 % and 100 % each"] = 6
    min_samples: Annotated[int, "least labelled rows before a canary's quality is judged"] = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a flow may be told; `root` is the folder of bikeshare.toml."""

    root: Path
    profile: Annotated[
        Profile,
        "local: this machine only; aws: S3, SageMaker, CloudWatch (not built yet)",
    ] = "local"
    workspace: Annotated[str, "state lives in var/NAME"] = "main"
    default_city: Annotated[
        str,
        "city of commands without --city; owns bikeshare-staging and bikeshare-prod",
    ] = "boston"
    region: Annotated[str, "AWS region, also told to the local host"] = "ca-central-1"
    tracking_uri: Annotated[
        str | None,
        "MLflow store; unset: mlflow.db in the root, for the demo in var/demo",
    ] = None
    sm_endpoint: Annotated[
        str | None,
        "endpoint that the dashboard shows; unset: what the last promotion chose, else staging",
    ] = None
    serving: ServingSettings = ServingSettings()
    training: TrainingSettings = TrainingSettings()
    gate: GateSettings = GateSettings()
    guard: GuardSettings = GuardSettings()
    cities: Mapping[str, City] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def var(self) -> Path:
        """The workspace's folder."""
        return self.root / "var" / self.workspace

    @property
    def mlflow_home(self) -> Path:
        """Folder of the MLflow store: the demo keeps its own, so that no real alias moves."""
        return self.var if self.workspace == "demo" else self.root

    @property
    def mlflow_uri(self) -> str:
        """MLFLOW_TRACKING_URI if set, else SQLite in `mlflow_home`."""
        return self.tracking_uri or f"sqlite:///{self.mlflow_home / 'mlflow.db'}"

    def city(self, name: str | None = None) -> City:
        """The city called `name`, or the default one."""
        wanted = name or self.default_city
        if wanted not in self.cities:
            msg = f"city {wanted!r} is not in {FILE}; known: {', '.join(sorted(self.cities))}"
            raise SettingsError(f"{msg}. Add a table [cities.{wanted}] with timezone and country.")
        return self.cities[wanted]

    def endpoint(self, stage: Stage, city: str) -> str:
        """Name of an endpoint: the default city owns the short names."""
        owner = "" if city == self.default_city else f"{city}-"
        return f"bikeshare-{owner}{stage}"

    def with_workspace(self, workspace: str, *, default_city: str | None = None) -> Self:
        """The same settings in another workspace."""
        return dataclasses.replace(
            self, workspace=workspace, default_city=default_city or self.default_city
        )


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
    return _build(root, values, origins)


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
        owner[key] = _convert(name, value, _hint(section, key), origins[name])
    for section, inner in sections.items():
        top[section] = typing.get_type_hints(Settings)[section](**inner)
    every = {name: origins.get(name, "default") for name in known}
    return Settings(root=root, cities=cities, origins=every, **top)


def _hint(section: str, key: str) -> Any:
    hints = typing.get_type_hints(Settings)
    return typing.get_type_hints(hints[section])[key] if section else hints[key]


def _convert(name: str, value: Any, hint: Any, origin: str) -> Any:
    """Bring `value` to the annotated type, or say what was expected."""
    if typing.get_origin(hint) is Literal:
        if value in typing.get_args(hint):
            return value
        expected = " or ".join(typing.get_args(hint))
    else:
        union = isinstance(hint, types.UnionType)
        kind = next(a for a in typing.get_args(hint) if a is not type(None)) if union else hint
        expected = {str: "text", int: "a whole number", float: "a number"}[kind]
        try:
            if not isinstance(value, bool) and (kind is not int or float(value) % 1 == 0):
                return kind(value)
        except (TypeError, ValueError):
            pass
    raise SettingsError(f"{name}: expected {expected}, got {value!r} ({origin})")


def _city(name: str, table: Mapping[str, Any]) -> City:
    allowed = [f.name for f in dataclasses.fields(City) if f.name != "name"]
    unknown = [key for key in table if key not in allowed]
    missing = [key for key in ("timezone", "country") if key not in table]
    if unknown or missing:
        msg = f"[cities.{name}]: unknown {unknown or 'none'}, missing {missing or 'none'}"
        raise SettingsError(f"{msg}; allowed keys: {', '.join(allowed)}")
    city = City(name=name, **table)
    try:
        _ = city.zone
    except (KeyError, ValueError):
        msg = f"[cities.{name}].timezone: expected an IANA name such as America/New_York"
        raise SettingsError(f"{msg}, got {city.timezone!r}") from None
    return city
