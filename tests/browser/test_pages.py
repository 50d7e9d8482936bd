"""Every page in a real Chromium: what it shows, its faults for axe, a phone, filters, download."""

import base64
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.driven import CityMap, Dashboard

pytestmark = pytest.mark.browser

PAGES = {
    "": ("City Map", "Most at risk"),
    "top": ("Top-N", "No plan of moves"),
    "moves": ("Moves", "What was done or seen"),
    "what-if": ("What if", "no endpoint host"),
    "model-health": ("Model Health", "Champion: version 3"),
    "system-health": ("System Health", "Requests and errors"),
    "data-freshness": ("Data Freshness", "No row broke its contract"),
    "releases": ("Releases", "The audit's chain of 2 lines holds"),
}
# Of Streamlit's own frame, which a page cannot mend; anything else that is serious fails.
NOT_OURS = {"frame-title", "scrollable-region-focusable"}
# Moderate for axe, but it is by headings that a screen reader walks through a page.
OURS = {"heading-order"}
STATIONS = 300


def serious_faults(city_map: "CityMap") -> dict[str, list[str]]:
    """What axe finds serious, with the elements.

    A page that begins to be drawn anew meanwhile fades: what is found is looked at again.
    """
    city_map.wait_until_drawn()
    if not _serious(city_map.page):
        return {}
    city_map.wait_until_drawn()
    return _serious(city_map.page)


def _serious(page: "Page") -> dict[str, list[str]]:
    from axe_playwright_python.sync_playwright import Axe

    return {
        fault["id"]: [node["html"][:200] for node in fault["nodes"]]
        for fault in Axe().run(page).response["violations"]
        if (fault["impact"] in {"serious", "critical"} or fault["id"] in OURS)
        and fault["id"] not in NOT_OURS
    }


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_its_content_to_everyone_and_asks_nobody_else(
    made_dashboard: "Dashboard", city_map: "CityMap", path: str, pictures: Path
) -> None:
    title, content = PAGES[path]
    city_map.open(f"{made_dashboard.url}/{path}")
    page = city_map.page
    page.get_by_role("heading", name=title, exact=True).wait_for()
    page.get_by_text(content).first.wait_for()
    for chart in page.get_by_test_id("stVegaLiteChart").all():
        chart.locator("canvas, svg").first.wait_for()
    assert serious_faults(city_map) == {}
    page.screenshot(path=pictures / "page.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => document.documentElement.scrollWidth <= 390")
    page.screenshot(path=pictures / "phone.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(_DARK)
    assert serious_faults(city_map) == {}
    page.screenshot(path=pictures / "phone-dark.png", full_page=True)
    assert city_map.hosts == {"127.0.0.1"}
    assert not page.get_by_test_id("stException").count()


def test_the_filters_leave_the_dots_that_were_asked_for(
    made_dashboard: "Dashboard", city_map: "CityMap"
) -> None:
    city_map.open(made_dashboard.url)
    page = city_map.page
    every = city_map.colours()
    page.get_by_role("radio", name="Docks").click()
    city_map.wait_for_other_colours(every)
    assert len(city_map.colours()) == STATIONS
    page.get_by_text("Filter", exact=True).click()
    slider = page.get_by_role("slider")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowRight")
    page.get_by_text(f"shown of {STATIONS}").wait_for()
    city_map.wait_for_dots_below(STATIONS)
    page.get_by_text("Heat layer").click()
    city_map.wait_for_heat()
    for _ in range(3):
        slider.press("ArrowLeft")
    city_map.wait_for_dots(STATIONS)
    page.get_by_role("combobox", name="Neighbourhoods").click()
    page.get_by_role("option", name="around").first.click()
    city_map.wait_for_dots_below(STATIONS)


def test_the_ranking_can_be_taken_along(
    made_dashboard: "Dashboard", city_map: "CityMap", tmp_path: Path
) -> None:
    city_map.open(f"{made_dashboard.url}/top")
    page = city_map.page
    page.get_by_test_id("stDataFrame").wait_for()
    count = page.get_by_role("spinbutton", name="Stations")
    count.fill("7")
    count.press("Enter")
    page.wait_for_function(_ROWS, arg=8)
    city_map.wait_until_drawn()
    with page.expect_download() as waited:
        page.get_by_role("button", name="Export CSV").click()
    taken = tmp_path / "top.csv"
    waited.value.save_as(taken)
    assert waited.value.suggested_filename == "top_7_demo_20210901T1210Z.csv"
    lines = taken.read_text().splitlines()
    assert len(lines) == 8
    assert lines[0].startswith("rank,station,likelier,risk")


def test_a_station_shows_its_past_and_says_when_nobody_can_say_why(
    made_dashboard: "Dashboard", city_map: "CityMap"
) -> None:
    city_map.open(made_dashboard.url)
    page = city_map.page
    page.get_by_role("button", name="out of bikes").first.click()
    page.get_by_text("No persistence line").wait_for()
    page.get_by_role("radio", name="Last 24 hours").click()
    page.get_by_text("What had been predicted 30 min before").wait_for()
    page.get_by_test_id("stVegaLiteChart").nth(1).locator("canvas, svg").first.wait_for()
    page.get_by_role("radio", name="What drives it").click()
    page.get_by_text("What drives the prediction cannot be read").wait_for()


def test_a_click_sends_little(made_dashboard: "Dashboard", city_map: "CityMap") -> None:
    city_map.open(made_dashboard.url)
    page = city_map.page
    page.get_by_role("button", name="out of bikes").first.wait_for()
    city_map.click(city_map.apart())
    page.get_by_text("No persistence line").wait_for()
    sent = []
    for _ in range(3):  # the page redraws itself each minute, perhaps during one of them
        other = city_map.apart(but=city_map.ring())
        city_map.listen()
        city_map.click(other)
        city_map.wait_for_station(other)
        city_map.wait_until_drawn()
        sent.append(city_map.received)
    assert 0 < min(sent) < 20_000


def test_a_tour_of_the_pages_is_kept_as_a_screencast(
    made_dashboard: "Dashboard", city_map: "CityMap", pictures: Path
) -> None:
    from tests.browser.screencast import tour

    assert tour(city_map, made_dashboard.url, pictures / "tour.webp") > 5
    assert 20_000 < (pictures / "tour.webp").stat().st_size < 2_000_000


@pytest.fixture(scope="module")
def changing(
    tmp_path_factory: pytest.TempPathFactory,
    start_dashboard: "Callable[..., Dashboard]",
    write_settings: Callable[[Path], None],
) -> tuple[Path, str]:
    """A home that tests change, nothing in it yet, and the dashboard on it."""
    home = tmp_path_factory.mktemp("changing")
    write_settings(home)
    return home, start_dashboard(home).url


def secrets(home: Path, text: str) -> None:
    path = home / ".streamlit" / "secrets.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_an_empty_page_says_what_to_type_and_makes_nothing(
    city_map: "CityMap", changing: tuple[Path, str], pictures: Path
) -> None:
    home, url = changing
    page = city_map.page
    # From the last: a first visitor of a new server may come by any address.
    for path, (title, _) in reversed(PAGES.items()):
        city_map.open(f"{url}/{path}")
        page.get_by_role("heading", name=title, exact=True).wait_for()
        page.get_by_text("There is no workspace 'main' yet").wait_for()
        page.get_by_text("make demo", exact=True).wait_for()
        page.screenshot(path=pictures / f"{path or 'map'}.png")
    assert not (home / "var").exists()
    secrets(home, 'sm_endpont = "x"')
    city_map.open(url)
    page.get_by_text("unknown key 'sm_endpont'").wait_for()
    page.screenshot(path=pictures / "wrong-key.png")
    secrets(home, "")


def test_a_broken_source_is_named_and_the_other_pages_go_on(
    city_map: "CityMap",
    changing: tuple[Path, str],
    write_city: Callable[..., None],
    pictures: Path,
) -> None:
    home, url = changing
    write_city(home, stations=20)
    page, var = city_map.page, home / "var" / "main"

    def says(path: str, *words: str) -> None:
        city_map.open(f"{url}/{path}")
        for word in words:
            page.get_by_text(word).first.wait_for()
        page.screenshot(path=pictures / f"{path or 'map'}.png")

    secrets(home, "")
    says("system-health", "has no metrics yet")
    says("releases", "Nothing was deployed or decided")
    says("model-health", "No window of predictions")
    (var / "metrics.db").write_bytes(b"no database at all" * 99)
    says("system-health", "The metric store cannot be read", "metrics.db")
    says("", "of 20 stations")
    secrets(home, 'view_predictions = "v_elsewhere"\nview_quality = "v_neither"')
    for path in ("", "top", "moves", "what-if"):
        says(path, "The lake cannot be read.", "v_elsewhere")
    says("model-health", "The quality view or the metric store cannot be read.", "v_neither")
    (var / "audit.jsonl").write_text("no audit at all\n")
    status = next((var / "lake").rglob("station_status/**/*.parquet"))
    status.write_bytes(b"no parquet at all" * 99)
    says("data-freshness", "The lake or the metric store cannot be read.")
    says("releases", "Nothing was deployed or decided")


def test_street_tiles_are_drawn_when_they_come_and_the_ground_is_plain_when_not(
    city_map: "CityMap",
    changing: tuple[Path, str],
    write_city: Callable[..., None],
    pictures: Path,
) -> None:
    home, url = changing
    shutil.rmtree(home / "var", ignore_errors=True)
    write_city(home, stations=20)
    page = city_map.page
    with tile_server() as (address, asked):
        secrets(home, f'street_tiles = "{address}/{{z}}/{{x}}/{{y}}.png"')
        city_map.open(url)
        assert len(city_map.dots()) == 20
        city_map.frame.wait_for_function(_TILES, timeout=20_000)
        city_map.frame.get_by_text("OpenStreetMap").wait_for()
        page.screenshot(path=pictures / "tiles.png")
    assert asked
    city_map.open(url)  # nobody answers at that address any more
    assert len(city_map.dots()) == 20
    assert city_map.painted_pixels() > 20
    assert not city_map.frame.evaluate(_TILES)
    page.screenshot(path=pictures / "plain.png")
    secrets(home, 'street_tiles = "false"')
    city_map.open(url)
    page.get_by_text("Filter", exact=True).click()
    page.get_by_text("Heat layer").wait_for()
    assert page.get_by_text("Street map").count() == 0
    assert city_map.hosts == {"127.0.0.1"}


@contextmanager
def tile_server() -> Iterator[tuple[str, list[str]]]:
    """A server of one grey tile, its address, and what it was asked for."""
    asked: list[str] = []

    class Tiles(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(_TILE)

        def log_message(self, *_: object) -> None:
            """Nothing: the list says it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tiles)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


_TILE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGOoBwAAgQCB2NxgpQAAAABJRU5ErkJggg=="
)
_TILES = "() => [...document.querySelectorAll('.leaflet-tile-loaded')].some(t => t.naturalWidth)"
_DARK = """() => {
  const colour = getComputedStyle(document.querySelector(".stApp")).backgroundColor;
  return colour.match(/\\d+/g).slice(0, 3).every(part => Number(part) < 60);
}"""
_ROWS = """rows => {
  const table = document.querySelector("[data-testid=stDataFrame] [role=grid]");
  return table && Number(table.getAttribute("aria-rowcount")) === rows;
}"""
