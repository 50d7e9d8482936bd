"""A made-up city in a real lake, the real dashboard on it, and a real Chromium."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser import made_city, made_day
from tests.browser.driven import CHROMIUM, FLAGS, WAIT_MS, CityMap, Dashboard, dashboard


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        reason = "no Chromium on PATH; install it with: apt-get install chromium"
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def write_city() -> Callable[..., None]:
    """Write a workspace with one batch of predictions."""
    return made_city.write_city


@pytest.fixture(scope="session")
def write_settings() -> Callable[[Path], None]:
    """Write a bikeshare.toml and nothing else."""
    return made_city.write_settings


@pytest.fixture(scope="session")
def start_dashboard(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Dashboard]]:
    with ExitStack() as running:

        def start(home: Path, **environ: str) -> Dashboard:
            log = tmp_path_factory.mktemp("log") / "streamlit.log"
            return running.enter_context(dashboard(home, log, **environ))

        yield start


@pytest.fixture(scope="session")
def made_dashboard(
    tmp_path_factory: pytest.TempPathFactory, start_dashboard: Callable[..., Dashboard]
) -> Dashboard:
    """One dashboard on one made-up city of 300 stations, for all tests that change nothing."""
    home = tmp_path_factory.mktemp("home")
    made_day.write_day(home, stations=300)
    return start_dashboard(home)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Per module: while it is open its event loop runs, and other tests of the process need theirs.
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def pictures(request: pytest.FixtureRequest) -> Path:
    """Where a test keeps its pictures for people to look at: var/browser/<test> of the checkout."""
    folder: Path = made_city.ROOT / "var" / "browser" / request.node.name.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def city_map(browser: Browser) -> Iterator[CityMap]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WAIT_MS)
    shown = CityMap(context.new_page())
    shown.page.on("request", lambda r: shown.hosts.add(r.url.split("/")[2].split(":")[0]))
    yield shown
    context.close()
