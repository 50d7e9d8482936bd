"""The dashboard's entry point: `streamlit run dashboards/app.py -- --workspace NAME`.

Only this file acts when it is run. What a person can mend is shown as a message, not a traceback.
"""

import argparse
import os
import sys
from pathlib import Path

import streamlit as st

from dashboards.launch import place_leaflet
from dashboards.pages import city_map, moves_panel, what_if
from dashboards.readings import Choice, choose
from mlops_bikeshare.domain.errors import BikeshareError

_COMPACT = """<style>
.stMainBlockContainer {padding-top: 2.5rem; padding-bottom: 2rem}
.stMainBlockContainer h1 {font-size: 2rem; padding: .5rem 0 0}
</style>"""


def main() -> None:
    """Draw the chosen page."""
    st.set_page_config(page_title="Bike-share stockouts", page_icon="🚲", layout="wide")
    st.html(_COMPACT)
    pages = [
        st.Page(_city_map, title="City Map", icon=":material/map:", default=True),
        st.Page(_moves, title="Moves", icon=":material/local_shipping:"),
        st.Page(_what_if, title="What if", icon=":material/tune:"),
    ]
    page = st.navigation(pages)
    try:
        place_leaflet()
        page.run()
    except BikeshareError as error:
        st.error(str(error), icon=":material/error:")


def _city_map() -> None:
    city_map.show(_choice())


def _moves() -> None:
    moves_panel.show(_choice())


def _what_if() -> None:
    what_if.show(_choice())


def _choice() -> Choice:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace")
    given = parser.parse_args(sys.argv[1:])
    return choose(Path.cwd(), os.environ, workspace=given.workspace)


if __name__ == "__main__":
    main()
