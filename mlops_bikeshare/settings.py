"""Settings: one frozen object from flags, environment, bikeshare.toml and defaults.

`load` takes the environment as a mapping and the folder to search from; it reads nothing else.
Every value remembers where it came from (`Settings.origins`); its annotation says what it means.
An unknown key, a value of the wrong type or range, or a missing file raises SettingsError, which
names the key and what is allowed.
"""

import dataclasses
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from mlops_bikeshare.domain.bounds import NAME, Between, Spelt, convert
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import SettingsError

FILE = "bikeshare.toml"
DEMO = "demo"
Profile = Literal["local", "aws"]
Stage = Literal["staging", "prod"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """Where endpoints live and what they are made of."""

    port: Annotated[
        int, "port of the local endpoint host; 0 takes a free one", Between(0, 65_535)
    ] = 8181
    host: Annotated[str, "address it listens on; other than loopback only with a token"] = (
        "127.0.0.1"
    )
    token: Annotated[str | None, "what every request to it must carry; set it on both sides"] = None
    pickles: Annotated[
        Literal["refuse", "allow"],
        "what the local host does with models that hold pickles, which run what their author wrote",
    ] = "refuse"
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
    timeout_s: Annotated[int, "longest wait for an endpoint, seconds", Between(1)] = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeSettings:
    """Where the lake lies on AWS, and how long it keeps what."""

    bucket: Annotated[str, "bucket of the lake; keys begin with the workspace"] = "bikeshare-lake"
    database: Annotated[str, "database of Glue and Athena"] = "mlops_bikeshare"
    workgroup: Annotated[str, "workgroup of Athena"] = "primary"
    first_date: Annotated[
        str,
        "UTC date before which Athena looks for nothing",
        Spelt(r"\d{4}-\d\d-\d\d", "like 2021-01-31"),
    ] = "2021-01-01"
    keep_raw_days: Annotated[
        int | None,
        "days of polls as read, of online features and of quarantine that `compact` leaves; "
        "unset: all",
        Between(2),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """How live feeds are asked."""

    poll_s: Annotated[int, "seconds between polls", Between(60, 300)] = 300
    timeout_s: Annotated[
        float, "seconds without a byte after which an attempt is given up", Between(0.1, 60)
    ] = 10.0
    attempts: Annotated[int, "attempts per document and poll", Between(1, 10)] = 3
    first_pause_s: Annotated[
        float, "seconds before the second attempt; a random part is added", Between(0, 60)
    ] = 0.5
    body_limit_mb: Annotated[
        float, "largest document taken, megabytes after decompression", Between(0.1, 1000)
    ] = 32.0
    contact: Annotated[
        str | None,
        "address or page of yours, told to operators in the User-Agent; unset: none",
    ] = None
    language: Annotated[str | None, "language of names; unset: the feed's first"] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How much to train on, and how."""

    max_rows: Annotated[
        int, "most (station, dt) rows per training; more are sampled", Between(1)
    ] = 800_000
    rounds: Annotated[int, "most trees per target; early stopping takes fewer", Between(1)] = 400
    learning_rate: Annotated[float, "how much each tree may correct", Between(0.001, 1)] = 0.1
    leaves: Annotated[int, "most leaves of a tree", Between(2, 131_072)] = 31
    feature_fraction: Annotated[
        float, "share of the features that each tree may use", Between(0.01, 1)
    ] = 0.4
    lambda_l2: Annotated[float, "how much leaves are drawn towards 0", Between(0, 1e6)] = 1.0
    cost_ratio: Annotated[
        float,
        "cost of a missed stockout / cost of a false alarm; sets the alarm threshold",
        Between(0.01, 1000),
    ] = 4.0
    peer: Annotated[
        Literal["none", "xgboost"],
        "model of the same size, trained on the same rows, that the run reports beside ours",
    ] = "none"
    threads: Annotated[
        int, "threads of LightGBM in training; serving always uses one", Between(1, 1024)
    ] = 2
    seed: Annotated[
        int,
        "seed of sampling and trees: the same data gives the same model",
        Between(0, 2**31 - 1),
    ] = 20_210_901


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainSettings:
    """What a retraining learns from, and what it must gain to be deployed."""

    sliding_days: Annotated[
        int, "days of training before the recent ones, with the baseline", Between(1)
    ] = 30
    recent_days: Annotated[int, "newest days, which judge candidate and champion", Between(1)] = 7
    least_gain: Annotated[
        float, "least gain in onset PR-AUC on them, the worse target", Between(0, 1)
    ] = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringSettings:
    """When labels may come late, and when drift is told."""

    revise_h: Annotated[
        int,
        "hours of windows that are judged again when labels came late",
        Between(0, 168),
    ] = 3
    drift_rows: Annotated[int, 'rows below which drift says "not enough"', Between(1)] = 2000
    psi_warn: Annotated[float, "PSI from which a feature drifts", Between(0)] = 0.20
    psi_critical: Annotated[float, "PSI from which drift is critical", Between(0)] = 0.30
    moved_m: Annotated[float, "metres from which a station counts as moved", Between(1)] = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What a candidate must show; shares are fractions, delta is a Brier difference."""

    window_h: Annotated[int, "hours that a verdict looks at", Between(1)] = 24
    pr_auc_24h: Annotated[float, "least PR-AUC at 30 min, the worse target", Between(0, 1)] = 0.70
    f1_24h: Annotated[
        float,
        "least F1 at the version's threshold, 30 min, the worse target",
        Between(0, 1),
    ] = 0.55
    latency_p95_ms: Annotated[
        float,
        "most of every hour's 95th percentile of latency, milliseconds",
        Between(0),
    ] = 200.0
    errors_5xx: Annotated[int, "most server errors in the window", Between(0)] = 0
    heartbeats: Annotated[
        int | None, "least batches in the window; unset: window / 10 min", Between(1)
    ] = None
    psi: Annotated[float, "PSI must stay below this; can be waived", Between(0)] = 0.20
    onset_brier_skill: Annotated[
        float,
        "least 1 - Brier / Brier of persistence on onset rows, the worse target",
        Between(-1, 1),
    ] = 0.02
    non_inferiority_delta: Annotated[
        float,
        "how much worse than the champion the Brier score may be",
        Between(0, 1),
    ] = 0.002
    min_samples: Annotated[int, "least labelled rows for a verdict", Between(1)] = 2000
    slice_delta: Annotated[
        float,
        "how much worse than the champion a neighbourhood may surely be, Brier score",
        Between(0, 1),
    ] = 0.0002
    persistence_delta: Annotated[
        float,
        "how much worse than persistence the Brier score may be, upper end of its interval",
        Between(0, 1),
    ] = 0.0
    slice_km: Annotated[
        float, "side of a neighbourhood's grid cell, kilometres", Between(0.1, 100)
    ] = 1.0
    slice_samples: Annotated[int, "least labelled rows to judge a neighbourhood by", Between(1)] = (
        400
    )
    coverage: Annotated[
        float, "least share of the rows asked that the model answered", Between(0, 1)
    ] = 0.99
    waiver_max_h: Annotated[int, "longest that a waiver may hold, hours", Between(1, 168)] = 72
    fresh_min: Annotated[int, "minutes that a pass may be used for a promotion", Between(1)] = 60
    stale_min: Annotated[
        int, "minutes after which a metric counts as missing: two cadences", Between(1)
    ] = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """What production must keep: a canary that breaks it is taken back, a version rolled back."""

    errors_5xx: Annotated[int, "most server errors since the last move", Between(0)] = 0
    latency_p95_ms: Annotated[
        float, "most of every hour's 95th percentile of latency, milliseconds", Between(0)
    ] = 300.0
    success_rate: Annotated[
        float, "least share of rows answered, of every batch", Between(0, 1)
    ] = 1.0
    pr_auc_24h: Annotated[float, "least PR-AUC at 30 min, the worse target", Between(0, 1)] = 0.70
    f1_24h: Annotated[float, "least F1 at 30 min, the worse target", Between(0, 1)] = 0.55
    hold_batches: Annotated[
        int, "batches that a canary holds at 10 %, 50 % and 100 % each", Between(1)
    ] = 6
    min_samples: Annotated[
        int, "least labelled rows before a canary's quality is judged", Between(1)
    ] = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a flow may be told; `root` is the folder of bikeshare.toml."""

    root: Path
    profile: Annotated[
        Profile,
        "local: this machine only; aws: S3, SageMaker, CloudWatch (so far the lake alone)",
    ] = "local"
    workspace: Annotated[str, "state lives in var/NAME", NAME] = "main"
    default_city: Annotated[
        str,
        "city of commands without --city; owns bikeshare-staging and bikeshare-prod",
    ] = "boston"
    region: Annotated[str, "AWS region, also told to the local host"] = "ca-central-1"
    tracking_uri: Annotated[
        str | None,
        "MLflow store; unset: mlflow.db in the root. The demo has its own, var/demo/mlflow.db",
    ] = None
    sm_endpoint: Annotated[
        str | None,
        "endpoint that the dashboard shows; unset: what the last promotion chose, else staging",
    ] = None
    serving: ServingSettings = ServingSettings()
    lake: LakeSettings = LakeSettings()
    ingest: IngestSettings = IngestSettings()
    training: TrainingSettings = TrainingSettings()
    retrain: RetrainSettings = RetrainSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    gate: GateSettings = GateSettings()
    guard: GuardSettings = GuardSettings()
    cities: Mapping[str, City] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def var(self) -> Path:
        """The workspace's folder."""
        return self.root / "var" / self.workspace

    @property
    def is_demo(self) -> bool:
        """Whether this is the demo's workspace, which is made anew each time."""
        return self.workspace == DEMO

    @property
    def mlflow_home(self) -> Path:
        """Folder of the MLflow store: the demo keeps its own, so that no real alias moves."""
        return self.var if self.is_demo else self.root

    @property
    def mlflow_uri(self) -> str:
        """The store that was named, else SQLite in `mlflow_home`; the demo's is always its own."""
        named = None if self.is_demo else self.tracking_uri
        return named or f"sqlite:///{self.mlflow_home / 'mlflow.db'}"

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
        owner[key] = convert(name, value, _hint(section, key), origins[name])
    for section, inner in sections.items():
        top[section] = typing.get_type_hints(Settings)[section](**inner)
    every = {name: origins.get(name, "default") for name in known}
    return Settings(root=root, cities=cities, origins=every, **top)


def _hint(section: str, key: str) -> Any:
    owner = typing.get_type_hints(Settings)[section] if section else Settings
    return typing.get_type_hints(owner, include_extras=True)[key]


def _city(name: str, table: Any) -> City:
    if not NAME.holds(name):
        raise SettingsError(f"[cities.{name}]: expected a name {NAME.words}, got {name!r}")
    allowed = [f.name for f in dataclasses.fields(City) if f.name != "name"]
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
