"""What every page has: its title with a sentence, its refresh, its empty and its broken state.

A source that cannot be reached gives a message on the page that needs it; the others go on.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

import streamlit as st

from dashboards import readings
from dashboards.readings import Choice, Clients, Empty
from dashboards.risk import Theme
from dashboards.wording import span
from mlops_bikeshare.domain.errors import BikeshareError

REFRESH_S = 60
T = TypeVar("T")


class NothingYet(Exception):  # noqa: N818 - not a mishap
    """Carries an Empty out of a cached reading: that there is nothing is looked up every time."""

    def __init__(self, nothing: Empty) -> None:
        super().__init__(nothing.what)
        self.nothing = nothing


def there(found: "T | Empty") -> T:
    """What was found, for a cache to keep."""
    if isinstance(found, Empty):
        raise NothingYet(found)
    return found


def head(title: str, sentence: str) -> None:
    """Title and one sentence on what the page shows."""
    st.title(title, anchor=False)
    st.markdown(sentence)


def figures(told: Mapping[str, str]) -> None:
    """Figures with their names, side by side as many as fit."""
    with st.container(horizontal=True):
        for name, value in told.items():
            st.metric(name, value, width="content")


@st.cache_resource(ttl=REFRESH_S, show_spinner=False, hash_funcs={Choice: repr})
def clients(choice: Choice) -> Clients:
    """What all visitors read with; made anew every minute, as a demo may have replaced files."""
    return readings.connect(choice)


def read(reading: Callable[[], T], *, source: str) -> T | None:
    """What was read; None after saying why there is nothing, or which source is broken."""
    try:
        return reading()
    except NothingYet as yet:
        empty(yet.nothing)
    except BikeshareError as error:
        broken(source, error)
    return None


def empty(nothing: Empty) -> None:
    """What there is not, and what to type."""
    st.info(f"**{nothing.what}** {nothing.todo}", icon=":material/info:")
    st.code(nothing.command, language=None)


def broken(source: str, error: BikeshareError) -> None:
    """Which source, and why; the statement or path is for who mends it."""
    what, _, rest = str(error).partition("; the statement was:")
    st.error(f"**{source} cannot be read.** {what}", icon=":material/error:")
    if rest:
        with st.expander("The statement"):
            st.code(rest.strip(), language="sql")


def stale(what: str, age: timedelta, command: str) -> None:
    """What is shown is old: how old, and what to type."""
    st.warning(
        f"**Stale:** {what} {span(age)} old. For newer ones type `{command}`",
        icon=":material/schedule:",
    )


def theme() -> Theme:
    """As the visitor has it."""
    return "dark" if st.context.theme.type == "dark" else "light"
