"""A made-up city in a real lake, the real dashboard on it, and a real Chromium."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Frame, Page, sync_playwright

from dashboards.launch import command
from mlops_bikeshare.domain.tables import INFERENCE, STATION_INFORMATION_RAW, STATION_STATUS
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.lake.lake import Lake
from mlops_bikeshare.lake.local import LocalStore

ROOT = Path(__file__).resolve().parents[2]
CITY, ENDPOINT = "demo", "bikeshare-staging"
DT = pd.Timestamp("2021-09-01T12:10", tz="UTC").as_unit("ms")
CHROMIUM = next((p for p in map(shutil.which, ("chromium", "google-chrome")) if p), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_S = 40


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        reason = "no Chromium on PATH; install it with: apt-get install chromium"
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason=reason))


def station_ids(stations: int) -> list[str]:
    return [f"{number:04d}" for number in range(1, stations + 1)]


def _settings(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "bikeshare.toml", home)


def _city(home: Path, *, stations: int, workspace: str = "main", seed: int = 7) -> None:
    """A workspace whose clock stands ten minutes after its one batch of predictions."""
    _settings(home)
    var = home / "var" / workspace
    lake, rng = Lake(LocalStore(var / "lake")), np.random.default_rng(seed)
    lake.write(STATION_INFORMATION_RAW, _information(stations, rng), city=CITY, name="list")
    lake.write(STATION_STATUS, _status(stations, rng), city=CITY, name="poll")
    lake.write(INFERENCE, _predictions(stations, rng), city=CITY, name="batch")
    now = DT + pd.Timedelta(minutes=10)
    state = {"clock": "simulated", "now": now.isoformat()}
    (var / "workspace.json").write_text(json.dumps(state))


def _information(stations: int, rng: np.random.Generator) -> pd.DataFrame:
    corners = ["Harbour Quay", "Mill Bridge", "College Gate", "Union Square", "Linden Park"]
    frame = pd.DataFrame({"station_id": station_ids(stations)})
    return frame.assign(
        name=[f"{corners[i % 5]} {i + 1}" for i in range(stations)],
        lat=49.10 + rng.normal(0, 0.02, stations),
        lon=-84.60 + rng.normal(0, 0.03, stations),
        capacity=pd.array(rng.integers(11, 40, stations).tolist(), dtype="Int16"),
        fetched_at=DT - pd.Timedelta(days=1),
    )


def _status(stations: int, rng: np.random.Generator) -> pd.DataFrame:
    bikes = rng.integers(0, 11, stations)
    frame = pd.DataFrame({"station_id": station_ids(stations), "slot": DT})
    return frame.assign(
        num_bikes_available=bikes.astype("int16"),
        num_bikes_disabled=pd.array([0] * stations, dtype="Int16"),
        num_docks_available=pd.array(11 - bikes, dtype="Int16"),
        num_docks_disabled=pd.array([0] * stations, dtype="Int16"),
        is_installed=True,
        is_renting=True,
        is_returning=True,
        last_reported=DT - pd.Timedelta(minutes=3),
        observed_at=DT - pd.Timedelta(minutes=2),
        fetched_at=DT - pd.Timedelta(minutes=1),
    )


def _predictions(stations: int, rng: np.random.Generator) -> pd.DataFrame:
    """Stations lean to one stockout; the chance drifts over the horizons."""
    ahead = np.array(HORIZONS_MIN)
    lean = rng.normal(0, 2.2, (stations, 1))
    drift = rng.normal(0, 0.02, (stations, 1)) * ahead
    chance = 1 / (1 + np.exp(-(np.stack([lean - drift, drift - lean]) - 1.4)))
    frame = pd.DataFrame(
        {
            "endpoint": ENDPOINT,
            "model_version": "3",
            "variant": "AllTraffic",
            "station_id": np.repeat(station_ids(stations), ahead.size),
            "dt": DT,
        }
    )
    return frame.assign(
        horizon_min=np.tile(ahead, stations).astype("int16"),
        p_bikeout=chance[0].ravel(),
        p_dockout=chance[1].ravel(),
        source="model",
    )


@pytest.fixture(scope="session")
def write_city() -> Callable[..., None]:
    """Write a workspace with one batch of predictions."""
    return _city


@pytest.fixture(scope="session")
def write_settings() -> Callable[[Path], None]:
    """Write a bikeshare.toml and nothing else."""
    return _settings


@dataclass
class Dashboard:
    """A running dashboard."""

    url: str
    log: Path


@pytest.fixture(scope="session")
def start_dashboard(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Dashboard]]:
    running: list[subprocess.Popen[bytes]] = []

    def start(home: Path, **environ: str) -> Dashboard:
        log = tmp_path_factory.mktemp("log") / "streamlit.log"
        port = _free_port()
        known = {k: v for k, v in os.environ.items() if not k.startswith("BIKESHARE_")}
        environ = {**known, "BIKESHARE_HOME": str(home), "HOME": str(home), **environ}
        with log.open("wb") as out:
            process = subprocess.Popen(
                command(port=port), env=environ, cwd=home, stdout=out, stderr=out
            )
        running.append(process)
        _wait_until_up(f"http://127.0.0.1:{port}/_stcore/health", process, log)
        return Dashboard(f"http://127.0.0.1:{port}", log)

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def _wait_until_up(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            httpx.get(url, timeout=2).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the dashboard did not start in {START_S} s:\n{log.read_text()}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Per module: while it is open its event loop runs, and other tests of the process need theirs.
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class CityMap:
    """The page as a person sees it; `hosts` are all that the browser asked."""

    page: Page
    hosts: set[str] = field(default_factory=set)

    def open(self, url: str) -> None:
        self.page.goto(url)

    @property
    def frame(self) -> Frame:
        """The component's frame, once its dots are on the map."""
        self.page.wait_for_selector("iframe[title^='streamlit_folium']", timeout=20_000)
        frame = next(f for f in self.page.frames if "streamlit_folium" in f.url)
        frame.wait_for_function("() => window.map && window.map.stationCanvas", timeout=20_000)
        return frame

    def dots(self) -> list[dict[str, Any]]:
        """What each dot shows, and where it is on the screen."""
        found: list[dict[str, Any]] = self.frame.evaluate(_DOTS)
        return found

    def click(self, station: str) -> None:
        dot = next(d for d in self.dots() if d["station_id"] == station)
        element = self.page.locator("iframe[title^='streamlit_folium']")
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        assert box is not None
        self.page.mouse.click(box["x"] + dot["x"], box["y"] + dot["y"])

    def colours(self) -> dict[str, str]:
        return {dot["station_id"]: dot["colour"] for dot in self.dots()}

    def wait_for_other_colours(self, before: dict[str, str]) -> None:
        self.frame.wait_for_function(_RECOLOURED, arg=before, timeout=20_000)

    def ring(self) -> str | None:
        """The station that the ring is around."""
        found: str | None = self.frame.evaluate(_RING)
        return found

    def painted_pixels(self) -> int:
        """Pixels of the dots' canvas that are not empty."""
        found: int = self.frame.evaluate(_PAINTED)
        return found

    def horizon(self, minutes: int) -> None:
        self.page.get_by_role("radio", name=str(minutes), exact=True).click()


_DOTS = """() => Object.values(window.map._layers)
  .filter(l => l instanceof L.CircleMarker && l.feature)
  .map(l => ({station_id: l.feature.properties.station_id, colour: l.options.fillColor,
              radius: l.getRadius(), ...window.map.latLngToContainerPoint(l.getLatLng())}))"""

_RECOLOURED = """before => {
  const dots = Object.values(window.map._layers).filter(l => l.feature);
  return dots.some(l => l.options.fillColor !== before[l.feature.properties.station_id]);
}"""
_RING = """() => {
  const ring = window.map.stationRing;
  if (!ring || !ring._map) return null;
  const found = Object.values(window.map._layers).find(l => l.feature && l instanceof
    L.CircleMarker && l.getLatLng().equals(ring.getLatLng()));
  return found ? found.feature.properties.station_id : null;
}"""
_PAINTED = """() => {
  const canvas = document.querySelector("canvas");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let i = 3; i < data.length; i += 4) count += data[i] > 0;
  return count;
}"""


@pytest.fixture
def city_map(browser: Browser) -> Iterator[CityMap]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    shown = CityMap(context.new_page())
    shown.page.on("request", lambda r: shown.hosts.add(r.url.split("/")[2].split(":")[0]))
    yield shown
    context.close()
