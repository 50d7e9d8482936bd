"""`make screenshots`: the pictures of the documents, taken of the real thing.

Needs a finished `make demo` and Chromium. Starts the dashboard and MLflow's window as a person
would, looks at them, and writes docs/pictures/*.png and a screencast.
"""

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.flows import tracking
from mlops_bikeshare.flows.runs import comparison
from mlops_bikeshare.settings import load
from tests.browser.driven import CHROMIUM, FLAGS, CityMap
from tests.browser.screencast import tour

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
DEMO = ROOT / "var" / "demo"
START_S = 60
PAGES = (
    ("top-n", "top", "Export CSV"),
    ("moves", "moves", "What was done or seen"),
    ("model-health", "model-health", "Onset Brier skill over persistence"),
    ("system-health", "system-health", "alarms of production fire"),
    ("data-freshness", "data-freshness", "Quarantine"),
    ("releases", "releases", "Decisions"),
)
WIDE = ViewportSize(width=1280, height=960)


def main() -> int:
    """Take every picture."""
    if CHROMIUM is None or not (DEMO / "report.html").is_file():
        print("screenshots need Chromium and a finished `make demo`", file=sys.stderr)
        return 2
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        report(browser)
        with served("dashboard") as url:
            city_map(browser, url)
            for name, path, told in PAGES:
                page_of(browser, f"{url}/{path}", name, told)
            screencast(browser, url)
        with served("mlflow-ui") as url:
            runs(browser, url)
            compared(browser, url)
        browser.close()
    return 0


def report(browser: Browser) -> None:
    """The demo's report, its first screen."""
    page = browser.new_page(viewport=WIDE)
    page.goto((DEMO / "report.html").as_uri())
    keep(page, "report")


def city_map(browser: Browser, url: str) -> None:
    """The map with one station chosen."""
    page = browser.new_page(viewport=ViewportSize(width=1280, height=1180))
    page.goto(url)
    page.wait_for_selector("iframe[title^='streamlit_folium']")
    frame = next(f for f in page.frames if "streamlit_folium" in f.url)
    frame.wait_for_function("() => window.map && window.map.stationCanvas")
    page.get_by_role("button", name=re.compile("out of bikes")).first.click()
    page.get_by_text("counted").first.wait_for()
    settle(page)
    keep(page, "city-map")


def screencast(browser: Browser, url: str) -> None:
    """A way through the pages."""
    path = PICTURES / "tour.webp"
    tour(CityMap(browser.new_page()), url, path)
    say(path)


def page_of(browser: Browser, url: str, name: str, told: str) -> None:
    """One of the other pages, its first screen."""
    page = browser.new_page(viewport=WIDE)
    page.goto(url)
    page.get_by_text(told).first.wait_for()
    for chart in page.get_by_test_id("stVegaLiteChart").all()[:4]:
        chart.locator("canvas, svg").first.wait_for()
    settle(page)
    keep(page, name)


def runs(browser: Browser, url: str) -> None:
    """The runs of the city in MLflow's window."""
    page = browser.new_page(viewport=ViewportSize(width=1440, height=900))
    page.goto(f"{url}/#/experiments/1/runs?workflowType=machine_learning")
    page.get_by_text("challenger").first.wait_for()
    settle(page)
    keep(page, "mlflow-runs")


def compared(browser: Browser, url: str) -> None:
    """The comparison that the newest training saved."""
    settings = load(ROOT, {}, {"workspace": "demo"})
    ws = open_workspace(settings)
    mlflow = tracking.connect(ws)
    (newest,) = mlflow.search_runs(
        search_all_experiments=True,
        filter_string="tags.kind = 'training' and attributes.status = 'FINISHED'",
        max_results=1,
        output_format="list",
    )
    city = settings.city(newest.data.tags["city"])
    address = comparison.saved(ws, city, newest.info.run_id)
    page = browser.new_page(viewport=ViewportSize(width=1440, height=1000))
    page.goto(url + address.removeprefix(tracking.WINDOW))
    page.locator(".js-plotly-plot").first.wait_for()
    settle(page)
    keep(page, "mlflow-compared")


def settle(page: Page) -> None:
    """Charts draw themselves after their data came; a picture wants them finished."""
    page.wait_for_timeout(3000)


def keep(page: Page, name: str) -> None:
    """Write one picture and say so."""
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    say(path)


def say(path: Path) -> None:
    """Which picture was written, and how large it is."""
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} kB")


@contextmanager
def served(command: str) -> Iterator[str]:
    """`bikeshare dashboard` or `bikeshare mlflow-ui` on the demo, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--workspace", "demo", command, "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_bikeshare", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Until it answers."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - loopback
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"{url} did not answer in {START_S} s")


if __name__ == "__main__":
    sys.exit(main())
