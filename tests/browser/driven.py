"""The real dashboard in a process of its own, and the page as a person sees it in Chromium."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Frame, Page, WebSocket

from dashboards.launch import command

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
START_S = 60
WAIT_MS = 60_000  # on a busy machine the first visitor waits long


@dataclass(frozen=True)
class Dashboard:
    """A running dashboard and its server."""

    url: str
    log: Path
    process: "subprocess.Popen[bytes]"


@contextmanager
def dashboard(home: Path, log: Path, **environ: str) -> Iterator[Dashboard]:
    """A dashboard on the workspaces of `home`, for as long as the block runs."""
    port = _free_port()
    known = {k: v for k, v in os.environ.items() if not k.startswith("BIKESHARE_")}
    environ = {**known, "BIKESHARE_HOME": str(home), "HOME": str(home), **environ}
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command(port=port), env=environ, cwd=home, stdout=out, stderr=out
        ) as process,
    ):
        try:
            _wait_until_up(f"http://127.0.0.1:{port}/_stcore/health", process, log)
            yield Dashboard(f"http://127.0.0.1:{port}", log, process)
        finally:
            process.terminate()


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
    raise AssertionError(f"the dashboard did not start in {START_S} s:\n{log.read_text()}")


@dataclass
class CityMap:
    """The page as a person sees it; `hosts` are all that the browser asked."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    received: int = 0
    listening: bool = False

    def open(self, url: str) -> None:
        self.page.on("websocket", self._count)
        self.page.goto(url)

    def listen(self) -> None:
        """Count the bytes that come from now on, before compression."""
        self.received, self.listening = 0, True

    def _count(self, socket: WebSocket) -> None:
        def add(frame: str | bytes) -> None:
            self.received += len(frame) if self.listening else 0

        socket.on("framereceived", add)

    @property
    def frame(self) -> Frame:
        """The component's frame, once its dots are on the map."""
        self.page.wait_for_selector("iframe[title^='streamlit_folium']", timeout=WAIT_MS)
        frame = next(f for f in self.page.frames if "streamlit_folium" in f.url)
        frame.wait_for_function("() => window.map && window.map.stationCanvas", timeout=WAIT_MS)
        return frame

    def dots(self) -> list[dict[str, Any]]:
        """What each dot shows, and where it is on the screen."""
        found: list[dict[str, Any]] = self.frame.evaluate(_DOTS)
        return found

    def apart(self, *, but: str | None = None) -> str:
        """A station whose dot no other one covers."""
        dots = self.dots()
        for dot in sorted(dots, key=lambda d: -float(d["radius"])):
            near = [d for d in dots if abs(d["x"] - dot["x"]) < 25 and abs(d["y"] - dot["y"]) < 25]
            if len(near) == 1 and dot["x"] > 80 and dot["station_id"] != but:
                return str(dot["station_id"])
        raise AssertionError("every dot is covered by another")

    def wait_for_dots_below(self, count: int) -> None:
        self.frame.wait_for_function(_FEWER, arg=count, timeout=WAIT_MS)

    def wait_for_dots(self, count: int) -> None:
        self.frame.wait_for_function(_EXACTLY, arg=count, timeout=WAIT_MS)

    def wait_for_heat(self) -> None:
        self.frame.wait_for_function(_HEAT, timeout=WAIT_MS)

    def click(self, station: str) -> None:
        self.page.mouse.click(*self.place(station))

    def place(self, station: str) -> tuple[float, float]:
        """Where a station's dot is on the screen."""
        dot = next(d for d in self.dots() if d["station_id"] == station)
        element = self.page.locator("iframe[title^='streamlit_folium']")
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        assert box is not None
        return box["x"] + dot["x"], box["y"] + dot["y"]

    def wait_for_station(self, station: str) -> None:
        """Until the panel shows a station's counts and chances."""
        self.page.wait_for_function(_SHOWN, arg=station, timeout=WAIT_MS)

    def wait_for_card(self, station: str, frame: Frame | None = None) -> str:
        """What the card in the map says once it is about a station."""
        frame = frame or self.frame
        told = frame.wait_for_function(_CARD, arg=station, timeout=WAIT_MS)
        return str(told.json_value())

    def wait_until_drawn(self) -> None:
        """Until the server has nothing more to send, and nothing fades in any more."""
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        self.page.wait_for_function(_SETTLED)

    def colours(self) -> dict[str, str]:
        return {dot["station_id"]: dot["colour"] for dot in self.dots()}

    def wait_for_other_colours(self, before: dict[str, str]) -> None:
        self.frame.wait_for_function(_RECOLOURED, arg=before, timeout=WAIT_MS)

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
_SHOWN = """station => {
  const told = [...document.querySelectorAll("[data-testid=stCaptionContainer]")];
  return told.some(c => c.textContent.startsWith("Station " + station + " ·"))
    && document.querySelectorAll("[data-testid=stMetric]").length === 5;
}"""
_CARD = """station => {
  const card = document.querySelector(".station-card");
  return card && card.dataset.station === station ? card.innerText : null;
}"""
_SETTLED = """() => !document.querySelector("[data-stale=true]")
  && document.getAnimations().every(a => a.playState !== "running"
    || a.effect.getComputedTiming().iterations === Infinity)"""
_FEWER = """count => {
  const dots = Object.values(window.map._layers).filter(l => l.feature).length;
  return dots < count;
}"""
_EXACTLY = """count => Object.values(window.map._layers).filter(l => l.feature).length === count"""
_HEAT = """() => Object.values(window.map._layers).some(
  l => l instanceof L.CircleMarker && !l.feature && !l.options.stroke)"""
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
