"""The City Map in a real Chromium, from asking for the page to every dot painted.

Warm: the server has answered once; each page is a new visitor with an empty cache.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.bed import Bed
from tests.bench.measure import BenchError, Row

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZES = (300, 2400)
LIMIT_S = 2.0
PAGES, QUICK_PAGES = 5, 3


def pages(bed: Bed) -> Iterator[Row]:
    from playwright.sync_api import sync_playwright

    from tests.browser.driven import CHROMIUM, FLAGS, dashboard
    from tests.browser.made_city import write_city

    if CHROMIUM is None:
        raise BenchError("no Chromium on PATH; install it with: apt-get install chromium")
    count = QUICK_PAGES if bed.quick else PAGES
    with sync_playwright() as play, tempfile.TemporaryDirectory() as folder:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for stations in SIZES:
            home = Path(folder) / f"{stations}"
            write_city(home, stations=stations)
            with dashboard(home, home / "dashboard.log") as shown:
                cold, *warm = (_painted(chromium, shown.url, stations) for _ in range(count + 1))
            yield Row(
                name=f"dashboard.warm_page_{stations}",
                ours=statistics.median(warm),
                peer=LIMIT_S,
                unit="s",
                against=f"limit, {stations:,} dots painted; first visitor {cold:.1f} s",
            )
        chromium.close()


def _painted(browser: "Browser", url: str, stations: int) -> float:
    from tests.browser.driven import CityMap

    context = browser.new_context(viewport={"width": 1280, "height": 900})
    shown, began = CityMap(context.new_page()), time.perf_counter()
    shown.open(url)
    if shown.painted_pixels() < stations:
        raise BenchError("the map has no painted dots")
    seconds = time.perf_counter() - began
    context.close()
    return seconds
