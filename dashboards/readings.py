"""The only reader of the dashboard: settings and a workspace in, what the pages show out.

Input    the folder to start from, the environment, a workspace's name or None.
Output   CityReading: frames of stations and predictions, times aware UTC, probabilities in
         [0, 1], NaN where unknown; or Empty: what there is not, and what to type.
Raises   SettingsError for settings that cannot be read, LakeError for a query that fails.

Keys `city`, `sm_endpoint` and `street_tiles` come from BIKESHARE_CITY, BIKESHARE_SM_ENDPOINT and
BIKESHARE_STREET_TILES, else from `.streamlit/secrets.toml` beside bikeshare.toml. `sm_endpoint`
may stand in bikeshare.toml too; else it is what the workspace's last promotion chose.
Reading changes nothing: a workspace that is not there is not made.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_bikeshare.backends import STATE_FILE, Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.flows.status import looked_at
from mlops_bikeshare.settings import Settings, load
from mlops_bikeshare.sources.weather import ATTRIBUTIONS

if TYPE_CHECKING:
    import pandas as pd

SECRETS = ".streamlit/secrets.toml"
DEFAULT_ENDPOINT = "bikeshare-staging"
_YES = {"1", "true", "yes", "on"}
_COUNTS_H = 2


@dataclass(frozen=True, slots=True)
class Chosen:
    """A setting's value and where it came from."""

    value: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to read; `city` None takes the one in the data."""

    settings: Settings
    workspace: Chosen
    endpoint: Chosen
    city: Chosen | None
    street_tiles: bool


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing to show: what is missing, and what a person can type."""

    what: str
    todo: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CityReading:
    """The newest batch of one endpoint, and the stations it is about.

    `stations`: station_id (index), name, lat, lon, capacity, num_bikes_available,
    num_docks_available, is_renting, is_returning, observed_at; one row each, placed or not.
    `predictions`: station_id, horizon_min (index), p_bikeout, p_dockout.
    """

    workspace: str
    city: City
    endpoint: str
    now: datetime
    clock: str
    dt: datetime
    model_versions: tuple[str, ...]
    fallback_share: float
    stale_after: timedelta
    stations: "pd.DataFrame"
    predictions: "pd.DataFrame"
    attribution: str = ""

    @property
    def age(self) -> timedelta:
        """How old the batch is by the workspace's clock."""
        return self.now - self.dt

    @property
    def stale(self) -> bool:
        """Whether a newer batch should be there."""
        return self.age > self.stale_after

    @property
    def horizons_min(self) -> list[int]:
        """The horizons that the batch answers."""
        return sorted(int(h) for h in self.predictions.index.unique("horizon_min"))

    def at(self, *, horizon_min: int) -> "pd.DataFrame":
        """The stations with both probabilities at one horizon (NaN: none) and their risk."""
        rows = self.predictions.reset_index("horizon_min")
        chosen = rows[rows["horizon_min"] == horizon_min].drop(columns="horizon_min")
        joined = self.stations.join(chosen)
        return joined.assign(risk=joined[["p_bikeout", "p_dockout"]].max(axis=1))

    def trajectory(self, station_id: str) -> "pd.DataFrame":
        """Both probabilities of one station by horizon_min (index); empty if there are none."""
        mine = self.predictions.index.get_level_values("station_id") == station_id
        return self.predictions[mine].droplevel("station_id").sort_index()


def choose(start: Path, environ: Mapping[str, str], *, workspace: str | None) -> Choice:
    """Find the settings and decide what to read; SettingsError names what is wrong."""
    settings = load(start, environ, {})
    name = _workspace(settings, environ, workspace)
    keys = _secrets(settings.root / SECRETS)
    chosen = settings.with_workspace(name.value)
    endpoint = _key("sm_endpoint", keys, environ) or _endpoint(chosen)
    tiles = _key("street_tiles", keys, environ)
    return Choice(
        settings=chosen,
        workspace=name,
        endpoint=endpoint,
        city=_key("city", keys, environ),
        street_tiles=tiles is not None and tiles.value.lower() in _YES,
    )


def read(choice: Choice) -> CityReading | Empty:
    """The newest batch, or why there is none."""
    if not (choice.settings.var / STATE_FILE).is_file():
        return _no_workspace(choice)
    ws = open_workspace(choice.settings)
    known = ws.query.run("SELECT * FROM v_station_information")
    if known.empty:
        what = f"Workspace {ws.settings.workspace!r} has no stations yet."
        todo = "Read a recording into the lake, or run the demo."
        return Empty(what, todo, _typed(ws, "ingest --recording FOLDER"))
    city = _city(choice, sorted(known["city"].unique()))
    predicted = ws.query.run(
        f"SELECT station_id, dt, horizon_min, p_bikeout, p_dockout FROM v_predictions"
        f" WHERE city = {_text(city.name)} AND endpoint = {_text(choice.endpoint.value)}"
    )
    if predicted.empty:
        return _no_predictions(ws, choice, city)
    return _reading(ws, choice, city, known[known["city"] == city.name], predicted)


def _reading(
    ws: Workspace, choice: Choice, city: City, known: "pd.DataFrame", predicted: "pd.DataFrame"
) -> CityReading:
    now, dt = ws.now, predicted["dt"].iloc[0].to_pydatetime()
    answered = ws.query.run(
        "SELECT model_version, source, COUNT(*) AS answers FROM inference"
        f" WHERE city = {_text(city.name)} AND endpoint = {_text(choice.endpoint.value)}"
        f" AND date = DATE '{dt:%Y-%m-%d}' AND dt = TIMESTAMP '{dt:%Y-%m-%d %H:%M:%S}'"
        " GROUP BY model_version, source"
    )
    fallback = answered.loc[answered["source"] == "fallback", "answers"].sum()
    stations = known.drop(columns="city").set_index("station_id")
    return CityReading(
        workspace=ws.settings.workspace,
        city=city,
        endpoint=choice.endpoint.value,
        now=now,
        clock=ws.clock.kind,
        dt=dt,
        model_versions=tuple(sorted(answered["model_version"].dropna().unique())),
        fallback_share=float(fallback / answered["answers"].sum()),
        stale_after=timedelta(minutes=ws.settings.gate.stale_min),
        stations=stations.join(_counts(ws, city, now)),
        predictions=predicted.drop(columns="dt").set_index(["station_id", "horizon_min"]),
        attribution=ATTRIBUTIONS.get(ws.settings.weather.provider, ""),
    )


def _counts(ws: Workspace, city: City, now: datetime) -> "pd.DataFrame":
    """Each station's newest counts that were known at `now`, by station_id."""
    rows = ws.query.run(
        "SELECT station_id, num_bikes_available, num_docks_available, is_renting, is_returning,"
        f" observed_at FROM station_status WHERE city = {_text(city.name)}"
        f" AND date >= DATE '{now - timedelta(days=1):%Y-%m-%d}'"
        f" AND fetched_at <= TIMESTAMP '{now:%Y-%m-%d %H:%M:%S}'"
        f" AND slot > (SELECT MAX(slot) FROM station_status WHERE city = {_text(city.name)}"
        f" AND fetched_at <= TIMESTAMP '{now:%Y-%m-%d %H:%M:%S}') - INTERVAL '{_COUNTS_H}' HOUR"
        " ORDER BY fetched_at"
    )
    return rows.drop_duplicates("station_id", keep="last").set_index("station_id")


def _workspace(settings: Settings, environ: Mapping[str, str], flag: str | None) -> Chosen:
    if flag:
        return Chosen(flag, "--workspace")
    if environ.get("BIKESHARE_WORKSPACE"):
        return Chosen(settings.workspace, settings.origins["workspace"])
    chosen, why = looked_at(settings)
    return Chosen(chosen.workspace, why or settings.origins["workspace"])


def _secrets(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{SECRETS}: not valid TOML: {error}") from None


def _key(name: str, secrets: Mapping[str, object], environ: Mapping[str, str]) -> Chosen | None:
    variable = f"BIKESHARE_{name.upper()}"
    if environ.get(variable):
        return Chosen(environ[variable], f"environment {variable}")
    if name not in secrets:
        return None
    value = secrets[name]
    if not isinstance(value, str | bool) or value == "":
        raise SettingsError(f"{name}: expected text, got {value!r} ({SECRETS})")
    return Chosen(str(value), SECRETS)


def _endpoint(settings: Settings) -> Chosen:
    """What bikeshare.toml says, else the workspace's last promotion, else the default."""
    if settings.sm_endpoint:
        return Chosen(settings.sm_endpoint, settings.origins["sm_endpoint"])
    if (settings.var / STATE_FILE).is_file():
        shown = open_workspace(settings).sm_endpoint
        if shown is not None:
            return Chosen(shown, "the last promotion")
    return Chosen(DEFAULT_ENDPOINT, "the default")


def _city(choice: Choice, present: list[str]) -> City:
    if choice.city:
        return choice.settings.city(choice.city.value)
    return choice.settings.city(present[0] if len(present) == 1 else None)


def _no_workspace(choice: Choice) -> Empty:
    name = choice.workspace.value
    what = f"There is no workspace {name!r} yet ({choice.workspace.origin})."
    todo = "Make the demo city with its models and predictions, then reload this page."
    return Empty(what, todo, "make demo")


def _no_predictions(ws: Workspace, choice: Choice, city: City) -> Empty:
    found = ws.query.run(
        f"SELECT DISTINCT endpoint FROM v_predictions WHERE city = {_text(city.name)}"
    )
    others = ", ".join(sorted(found["endpoint"]))
    endpoint = choice.endpoint
    what = f"Endpoint {endpoint.value!r} ({endpoint.origin}) has no predictions for {city.name}."
    if others:
        todo = f"Endpoints that have some: {others}. Name one in {SECRETS}, or start with:"
        first = others.split(", ", maxsplit=1)[0]
        return Empty(what, todo, f"BIKESHARE_SM_ENDPOINT={first} make dashboard")
    return Empty(what, "Run one batch of predictions.", _typed(ws, f"infer --city {city.name}"))


def _typed(ws: Workspace, command: str) -> str:
    return f"bikeshare --workspace {ws.settings.workspace} {command}"


def _text(value: str) -> str:
    """`value` as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"
