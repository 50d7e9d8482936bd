"""Every page in a real Chromium: what it shows, its faults for axe, a phone, filters, download."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.driven import CityMap, Dashboard

pytestmark = pytest.mark.browser

PAGES = {
    "": ("City Map", "Most at risk"),
    "top": ("Top-N", "No move is worth a van"),
    "model-health": ("Model Health", "Onset Brier skill over persistence"),
    "system-health": ("System Health", "alarms of production fire"),
    "data-freshness": ("Data Freshness", "No row broke its contract"),
    "releases": ("Releases", "The audit's chain of 2 lines holds"),
}
# Of Streamlit's own frame, which a page cannot mend; anything else that is serious fails.
NOT_OURS = {"frame-title", "scrollable-region-focusable"}
STATIONS = 300


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_its_content_to_everyone_and_asks_nobody_else(
    made_dashboard: "Dashboard", city_map: "CityMap", path: str, tmp_path: Path
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    title, content = PAGES[path]
    city_map.open(f"{made_dashboard.url}/{path}")
    page = city_map.page
    page.get_by_role("heading", name=title, exact=True).wait_for()
    page.get_by_text(content).first.wait_for()
    for chart in page.get_by_test_id("stVegaLiteChart").all():
        chart.locator("canvas, svg").first.wait_for()
    city_map.wait_until_drawn()
    found = Axe().run(page).response["violations"]
    serious = {
        fault["id"]: [node["html"][:200] for node in fault["nodes"]]
        for fault in found
        if fault["impact"] in {"serious", "critical"} and fault["id"] not in NOT_OURS
    }
    assert serious == {}
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => document.documentElement.scrollWidth <= 390")
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
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
    assert lines[0].startswith("rank,station,will be,risk")


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


def test_empty_wrong_and_broken_are_messages_and_the_other_pages_go_on(
    city_map: "CityMap",
    start_dashboard: "Callable[..., Dashboard]",
    write_settings: Callable[[Path], None],
    write_city: Callable[..., None],
    tmp_path: Path,
) -> None:
    write_settings(tmp_path)
    url = start_dashboard(tmp_path).url
    page = city_map.page
    # From the last: a first visitor of a new server may come by any address.
    for path in reversed(PAGES):
        city_map.open(f"{url}/{path}")
        page.get_by_text("There is no workspace 'main' yet").wait_for()
        page.get_by_text("make demo", exact=True).wait_for()
    assert not (tmp_path / "var").exists()
    secrets = tmp_path / ".streamlit" / "secrets.toml"
    secrets.parent.mkdir()
    secrets.write_text('sm_endpont = "x"')
    city_map.open(url)
    page.get_by_text("unknown key 'sm_endpont'").wait_for()
    secrets.unlink()
    write_city(tmp_path, stations=20)
    city_map.open(f"{url}/system-health")
    page.get_by_text("has no metrics yet").wait_for()
    (tmp_path / "var" / "main" / "metrics.db").write_bytes(b"no database at all" * 99)
    city_map.open(f"{url}/releases")
    page.get_by_text("Nothing was deployed or decided").wait_for()
    city_map.open(f"{url}/system-health")
    page.get_by_text("metrics.db").first.wait_for()
    city_map.open(url)
    page.get_by_text("of 20 stations").wait_for()
    secrets.write_text('view_predictions = "v_elsewhere"')
    city_map.open(url)
    page.get_by_text("The lake cannot be read.").wait_for()
    page.get_by_text("v_elsewhere").first.wait_for()


_ROWS = """rows => {
  const table = document.querySelector("[data-testid=stDataFrame] [role=grid]");
  return table && Number(table.getAttribute("aria-rowcount")) === rows;
}"""
