"""The City Map in a real Chromium, on a real workspace, without the internet."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.driven import CityMap, Dashboard

pytestmark = pytest.mark.browser

STATIONS = 300


def test_every_station_is_a_painted_dot_and_nothing_leaves_this_machine(
    made_dashboard: "Dashboard", city_map: "CityMap", pictures: Path
) -> None:
    city_map.open(made_dashboard.url)
    dots = city_map.dots()
    assert len({dot["station_id"] for dot in dots}) == STATIONS
    assert len({dot["colour"] for dot in dots}) == 9
    assert city_map.painted_pixels() > 10 * STATIONS
    city_map.page.screenshot(path=pictures / "map.png", full_page=True)
    assert city_map.hosts == {"127.0.0.1"}


def test_another_horizon_recolours_the_dots_and_keeps_the_place(
    made_dashboard: "Dashboard", city_map: "CityMap"
) -> None:
    city_map.open(made_dashboard.url)
    before = city_map.colours()
    city_map.frame.evaluate("void window.map.setZoom(window.map.getZoom() + 1)")
    city_map.frame.wait_for_function("() => !window.map._animatingZoom")
    zoom = city_map.frame.evaluate("window.map.getZoom()")
    city_map.horizon(120)
    city_map.wait_for_other_colours(before)
    assert len(city_map.colours()) == STATIONS
    assert city_map.frame.evaluate("window.map.getZoom()") == zoom
    city_map.page.get_by_text("Likely in 120 min").wait_for()


def test_a_click_on_a_dot_shows_the_station_and_does_not_rebuild_the_map(
    made_dashboard: "Dashboard", city_map: "CityMap", pictures: Path
) -> None:
    city_map.open(made_dashboard.url)
    station = city_map.apart()
    city_map.frame.evaluate("void (window.dot = Object.values(window.map._layers).at(-1))")
    city_map.click(station)
    card = city_map.wait_for_card(station)
    assert re.search(r"\d+ bikes?, \d+ docks? free\ncapacity \d+\nin 30 min: out of bikes ", card)
    page = city_map.page
    page.get_by_text(f"Station {station} · counted 12 min ago").wait_for()
    for label in ("Bikes", "Docks free", "Capacity", "Out of bikes in 30 min"):
        page.get_by_test_id("stMetric").filter(has_text=label).first.wait_for()
    page.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first.wait_for()
    page.get_by_text("As a table").click()
    page.get_by_test_id("stDataFrame").wait_for()
    page.screenshot(path=pictures / "station.png", full_page=True)
    assert city_map.frame.evaluate("window.map.hasLayer(window.dot)")
    assert city_map.ring() == station
    assert city_map.hosts == {"127.0.0.1"}


def test_the_chosen_station_stays_through_another_horizon_and_has_its_ring(
    made_dashboard: "Dashboard", city_map: "CityMap"
) -> None:
    city_map.open(made_dashboard.url)
    station = city_map.apart()
    before = city_map.colours()
    city_map.click(station)
    city_map.page.get_by_text(f"Station {station} ·").wait_for()
    city_map.horizon(60)
    city_map.wait_for_other_colours(before)
    city_map.page.get_by_text("Out of bikes in 60 min").wait_for()
    assert city_map.page.get_by_text(f"Station {station} ·").count() == 1
    assert city_map.ring() == station
    assert "in 60 min:" in city_map.wait_for_card(station)


def test_a_station_is_found_by_its_name_with_the_keyboard(
    made_dashboard: "Dashboard", city_map: "CityMap"
) -> None:
    city_map.open(made_dashboard.url)
    city_map.dots()
    city_map.page.get_by_role("textbox", name="Find a station").focus()
    city_map.page.keyboard.type("Harbour Quay 96")
    city_map.page.keyboard.press("Enter")
    city_map.page.get_by_text("Station 0096 ·").wait_for()
    city_map.frame.wait_for_function("() => window.map.stationRing && window.map.stationRing._map")
    assert city_map.ring() == "0096"


def test_a_phone_in_dark_mode_sees_a_dark_page_and_map_without_scrolling_sideways(
    made_dashboard: "Dashboard", city_map: "CityMap", pictures: Path
) -> None:
    city_map.page.set_viewport_size({"width": 390, "height": 844})
    city_map.page.emulate_media(color_scheme="dark")
    city_map.open(made_dashboard.url)
    assert len(city_map.dots()) == STATIONS
    assert city_map.page.evaluate("document.documentElement.scrollWidth") <= 390
    for place, element in ((city_map.page, ".stApp"), (city_map.frame, "#map_div")):
        colour = place.locator(element).evaluate("e => getComputedStyle(e).backgroundColor")
        assert max(int(part) for part in re.findall(r"\d+", colour)[:3]) < 60
    city_map.page.screenshot(path=pictures / "phone.png", full_page=True)
