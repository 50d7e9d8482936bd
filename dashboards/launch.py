"""How the dashboard is started, and how Leaflet gets to where Streamlit serves files from.

`command` answers an argument list for a subprocess. `place_leaflet` copies the locked package's
files into dashboards/static, which Streamlit serves at /app/static; nothing comes from a CDN.
Raises SettingsError when the package is not installed or the folder cannot be written.
"""

import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path

from mlops_bikeshare.domain.errors import SettingsError

APP = Path(__file__).with_name("app.py")
STATIC = Path(__file__).with_name("static") / "leaflet"
LEAFLET_URL = "/app/static/leaflet"
_PACKAGE = "js_lib_leaflet"
_FILES = ("leaflet.js", "leaflet.css")
_OPTIONS = {
    "server.address": "127.0.0.1",
    "server.headless": "true",
    "server.enableStaticServing": "true",
    "server.enableWebsocketCompression": "true",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showSidebarNavigation": "false",
    "global.minCachedMessageSize": "2000",
    "theme.light.primaryColor": "#0a5286",
    "theme.dark.primaryColor": "#7cc4ff",
}


def command(*, port: int, workspace: str | None = None) -> list[str]:
    """The arguments that start the dashboard on 127.0.0.1; `workspace` None lets it choose."""
    options = [f"--{name}={value}" for name, value in _OPTIONS.items()]
    start = [sys.executable, "-m", "dashboards.serve", str(APP), f"--server.port={port}", *options]
    return [*start, "--", "--workspace", workspace] if workspace else start


def place_leaflet(folder: Path = STATIC) -> None:
    """Copy Leaflet from its installed package unless it is there already."""
    if all((folder / name).is_file() for name in _FILES):
        return
    try:
        with as_file(files(_PACKAGE) / "static" / _PACKAGE) as source:
            folder.mkdir(parents=True, exist_ok=True)
            for name in _FILES:
                _copy_whole(source / name, folder / name)
    except ModuleNotFoundError:
        msg = "Leaflet is not installed (package django-js-lib-leaflet); type make setup"
        raise SettingsError(msg) from None
    except OSError as error:
        raise SettingsError(f"cannot copy Leaflet to {folder}: {error}") from error


def _copy_whole(source: Path, target: Path) -> None:
    """Another process that starts at the same moment never serves half a file."""
    unfinished = target.with_suffix(".unfinished")
    shutil.copyfile(source, unfinished)
    unfinished.replace(target)
