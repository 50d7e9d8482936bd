"""The dashboard in a real Chromium: pages to every dot painted, clicks, bytes, memory, viewers.

Cold: the first visitor of a server that is up, with an empty cache. Warm: the page again, as an
operator who keeps it open reloads it. Tab: the page in another tab of the same browser. New: a new
visitor with an empty cache on a warm server. The page itself notes when the frame with the dots is
drawn: who asks from outside asks up to half a second late.
A click: from the mouse to the new station's counts and chances on the card in the map; a panel:
to all that is told beside it. A click's bytes are those of the websocket's messages, uncompressed.
"""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.bed import Bed
from tests.bench.measure import BenchError, Row

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.browser.driven import CityMap, Dashboard

STATIONS = 2400
PAGES, QUICK_PAGES = 5, 3
WARM_S, TAB_S, NEW_S, COLD_S, CLICK_MS, PANEL_MS = 1.0, 2.0, 2.0, 3.0, 300.0, 1000.0
CLICK_KB, VIEWERS_S = 20.0, 3.0
VIEWERS, REFRESHES, GROWTH_MB = 20, 500, 30.0
ROUNDS, DOT_BYTES = 3, 40
_VIEW = {"width": 1280, "height": 900}
# In every frame: when the canvas of the dots was first seen drawn, by the clock of the machine.
_NOTE = """(() => {
  const drawn = () => {
    const canvas = window.map && window.map.stationCanvas && window.map.stationCanvas._container;
    if (!canvas || !canvas.width || !canvas.height) return false;
    const row = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    for (let i = 3; i < row.length; i += 4) if (row[i]) return true;  // all are drawn in one frame
    return false;
  };
  const look = () => {
    if (drawn()) window.drawnAt = performance.timeOrigin + performance.now();
    else setTimeout(look, 5);  // not by frames: the component cancels what others asked for
  };
  look();
})()"""


def pages(bed: Bed) -> Iterator[Row]:
    from playwright.sync_api import sync_playwright

    from tests.browser.driven import CHROMIUM, FLAGS, dashboard
    from tests.browser.made_day import write_day

    if CHROMIUM is None:
        raise BenchError("no Chromium on PATH; install it with: apt-get install chromium")
    count = QUICK_PAGES if bed.quick else PAGES
    with sync_playwright() as play, tempfile.TemporaryDirectory() as folder:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        home = Path(folder)
        write_day(home, stations=STATIONS)
        with dashboard(home, home / "dashboard.log") as shown:
            _rest(shown)
            yield _seconds("cold_page", _new(chromium, shown), COLD_S, "the first visitor")
            new = [_new(chromium, shown) for _ in range(count)]
            yield _seconds("new_visitor", statistics.median(new), NEW_S, "an empty cache")
            context = _visitor(chromium)
            _tab(context, shown)
            tabs = [_tab(context, shown) for _ in range(count)]
            yield _seconds("new_tab", statistics.median(tabs), TAB_S, "ours, another tab")
            page = context.new_page()
            _painted(page, shown)
            warm = [_painted(page, shown) for _ in range(count)]
            yield _seconds("warm_page_2400", statistics.median(warm), WARM_S, "a reload")
            yield from _clicks(context, shown, count)
            context.close()
            if not bed.quick:
                yield _viewers(shown)
                yield _memory(chromium, shown)
        chromium.close()


def _seconds(name: str, ours: float, limit: float, what: str) -> Row:
    told = f"limit, {what}, {STATIONS:,} dots painted"
    return Row(name=f"dashboard.{name}", ours=ours, peer=limit, unit="s", against=told)


def _rest(shown: "Dashboard") -> None:
    """Until the server has imported its libraries, which it does without being asked."""
    end = time.monotonic() + 30
    while "ready" not in shown.log.read_text() and time.monotonic() < end:
        time.sleep(0.2)


def _visitor(browser: "Browser") -> "BrowserContext":
    context = browser.new_context(viewport=_VIEW)  # type: ignore[arg-type]
    context.add_init_script(_NOTE)
    return context


def _new(browser: "Browser", shown: "Dashboard") -> float:
    context = _visitor(browser)
    seconds = _painted(context.new_page(), shown)
    context.close()
    return seconds


def _tab(context: "BrowserContext", shown: "Dashboard") -> float:
    page = context.new_page()
    seconds = _painted(page, shown)
    page.close()
    return seconds


def _painted(page: "Page", shown: "Dashboard") -> float:
    """Seconds from asking for the page, or for it once more, to every dot painted."""
    from tests.browser.driven import CityMap

    seen, began = CityMap(page), time.time()
    if page.url.startswith(shown.url):
        page.reload()
    else:
        seen.open(shown.url)
    seen.frame.wait_for_function("() => window.drawnAt")
    if seen.painted_pixels() < STATIONS or len(seen.dots()) != STATIONS:
        raise BenchError("the map has not every dot painted")
    return float(seen.frame.evaluate("() => window.drawnAt")) / 1e3 - began


def _clicks(context: "BrowserContext", shown: "Dashboard", count: int) -> Iterator[Row]:
    from tests.browser.driven import CityMap

    seen = CityMap(context.new_page())
    seen.open(shown.url)
    _clicked(seen, None)
    took, told_after, sent = [], [], []
    for _ in range(count):
        seen.listen()
        at_once, beside = _clicked(seen, seen.ring())
        took.append(at_once)
        told_after.append(beside)
        seen.wait_until_drawn()
        sent.append(seen.received / 1000)
    seen.page.close()
    for name, ours, limit, unit in (
        ("click", statistics.median(took), CLICK_MS, "ms"),
        ("click_panel", statistics.median(told_after), PANEL_MS, "ms"),
        ("click_bytes", statistics.median(sent), CLICK_KB, "kB"),
    ):
        told = f"limit, {STATIONS:,} stations"
        yield Row(name=f"dashboard.{name}", ours=ours, peer=limit, unit=unit, against=told)


def _clicked(seen: "CityMap", before: str | None) -> tuple[float, float]:
    """Milliseconds from a click on another dot to its station on the card, and in the panel."""
    station = seen.apart(but=before)
    place, frame = seen.place(station), seen.frame
    began = time.perf_counter()
    seen.page.mouse.click(*place)
    seen.wait_for_card(station, frame)
    at_once = 1000 * (time.perf_counter() - began)
    seen.wait_for_station(station)
    return at_once, 1000 * (time.perf_counter() - began)


def _memory(browser: "Browser", shown: "Dashboard") -> Row:
    """What the server grew by while one visitor redrew the page so many times."""
    from tests.browser.driven import CityMap

    context = browser.new_context(viewport=_VIEW)  # type: ignore[arg-type]
    seen = CityMap(context.new_page())
    seen.open(shown.url)
    seen.dots()
    _redraw(seen, REFRESHES // 10)
    before = _resident_mb(shown)
    _redraw(seen, REFRESHES)
    grown = _resident_mb(shown) - before
    context.close()
    told = f"limit, growth over {REFRESHES} redraws; {before:.0f} MB before"
    return Row(
        name="dashboard.memory", ours=max(grown, 0.1), peer=GROWTH_MB, unit="MB", against=told
    )


def _resident_mb(shown: "Dashboard") -> float:
    asked = ["ps", "-o", "rss=", "-p", str(shown.process.pid)]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout) / 1024


def _redraw(seen: "CityMap", times: int) -> None:
    """What the refresh of every minute does, without waiting for the minute."""
    for number in range(times):
        minutes = 40 if number % 2 == 0 else 30
        seen.horizon(minutes)
        seen.page.get_by_text(f"Likely in {minutes} min").wait_for()


def _viewers(shown: "Dashboard") -> Row:
    """Sessions that open the page at once and read it to the end, several times."""
    from tests.bench.viewers import together

    took = [
        seconds
        for _ in range(ROUNDS)
        for seconds in together(shown.url, viewers=VIEWERS, least_bytes=STATIONS * DOT_BYTES)
    ]
    worst = statistics.quantiles(took, n=20)[-1]
    told = f"limit, p95 of {VIEWERS} viewers at once, {ROUNDS} times, reading on the same 2 cores"
    return Row(name="dashboard.viewers_20", ours=worst, peer=VIEWERS_S, unit="s", against=told)
