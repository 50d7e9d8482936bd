"""The dashboard's entry point: `streamlit run dashboards/app.py -- --workspace NAME`.

Only this file acts when it is run. What a person can mend is shown as a message, not a traceback.
"""

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from dashboards.launch import place_leaflet
from dashboards.readings import Choice, choose
from dashboards.screens import (
    city_map,
    freshness,
    model_health,
    moves_panel,
    releases,
    system_health,
    top,
    what_if,
)
from mlops_bikeshare.domain.errors import BikeshareError

_COMPACT = """<style>
.stMainBlockContainer {padding-top: 3.2rem; padding-bottom: 2rem}
.stMainBlockContainer h1 {font-size: 2rem; padding: .5rem 0 0}
.stMainBlockContainer h2 {font-size: 1.4rem; padding: .75rem 0 .25rem}
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] * {color: inherit}
[data-testid="stCaptionContainer"] {opacity: .88}
[data-testid="stMetric"] {padding-right: 1.5rem}
@media (max-width: 640px) {
  .stMainBlockContainer {padding-left: 1rem; padding-right: 1rem}
  .stMarkdown table {display: block; overflow-x: auto}
  .stMarkdown td {min-width: 6.5rem}
}
</style>"""
_PAGES: tuple[tuple[str, str, str, Callable[[Choice], None]], ...] = (
    ("City Map", "map", "", city_map.show),
    ("Top-N", "format_list_numbered", "top", top.show),
    ("Moves", "local_shipping", "moves", moves_panel.show),
    ("What if", "tune", "what-if", what_if.show),
    ("Model Health", "monitor_heart", "model-health", model_health.show),
    ("System Health", "dns", "system-health", system_health.show),
    ("Data Freshness", "update", "data-freshness", freshness.show),
    ("Releases", "rocket_launch", "releases", releases.show),
)


def main() -> None:
    """Draw the chosen page."""
    st.set_page_config(page_title="Bike-share stockouts", page_icon="🚲", layout="wide")
    st.html(_COMPACT)
    pages = [
        st.Page(
            partial(_page, show),
            title=title,
            icon=f":material/{icon}:",
            url_path=path,
            default=not path,
        )
        for title, icon, path, show in _PAGES
    ]
    st.navigation(pages, position="top").run()


def _page(show: Callable[[Choice], None]) -> None:
    try:
        place_leaflet()
        show(_choice())
    except BikeshareError as error:
        st.error(str(error), icon=":material/error:")


def _choice() -> Choice:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace")
    given = parser.parse_args(sys.argv[1:])
    return choose(Path.cwd(), os.environ, workspace=given.workspace)


if __name__ == "__main__":
    main()
