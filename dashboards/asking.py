"""What pages ask of flows beside readings: plans of moves, what-if, what people say of stations.

Input    a Choice, as for `readings`.
Output   what the flows answer; what is read is kept for a minute, so that a slider costs one
         request to the endpoint and nothing else.
Raises   BikeshareError of the flows, LakeError where this machine may not write; `told` turns it
         into a message on the page.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

import streamlit as st

from dashboards.readings import Choice
from mlops_bikeshare.backends import open_workspace
from mlops_bikeshare.domain.errors import BikeshareError, LakeError
from mlops_bikeshare.flows import feedback, moves, what_if
from mlops_bikeshare.flows.moves import Round
from mlops_bikeshare.flows.supposing.basis import Basis
from mlops_bikeshare.flows.supposing.changes import Changes

T = TypeVar("T")
KEPT_S = 55


@st.cache_data(ttl=KEPT_S, show_spinner="Planning …", hash_funcs={Choice: repr})
def suggested(choice: Choice, city: str, dt: datetime, *, vans: int, capacity: int) -> Round:
    """The round of moves for the endpoint on show; `dt` names the batch it is for."""
    _ = dt  # a new batch is a new plan
    ws = open_workspace(choice.settings)
    where = ws.settings.city(city)
    return moves.suggest(ws, where, vans=vans, capacity=capacity, endpoint=choice.endpoint.value)


@st.cache_resource(ttl=KEPT_S, show_spinner="Reading the lake …", hash_funcs={Choice: repr})
def basis(choice: Choice, city: str) -> Basis:
    """What is known now, and who answers."""
    ws = open_workspace(choice.settings)
    return what_if.prepare(ws, ws.settings.city(city), endpoint=choice.endpoint.value)


def asked(choice: Choice, known: Basis, changes: Changes, station: str | None) -> what_if.Answer:
    """One request to the endpoint, kept in `whatif_requests`."""
    ws = open_workspace(choice.settings)
    with _writing():
        return what_if.ask(ws, known, changes, station_id=station)


def said(choice: Choice, city: str, station: str, what: str, note: str | None = None) -> str:
    """Keep a person's word on a station; the line to show."""
    ws = open_workspace(choice.settings)
    where = ws.settings.city(city)
    with _writing():
        kept = feedback.say(ws, where, station_id=station, what=what, note=note or None)
    return feedback.summary(kept)


@contextmanager
def _writing() -> Iterator[None]:
    """A workspace that may only be read is no fault of the page."""
    try:
        yield
    except OSError as error:
        where = error.filename or "the workspace"
        raise LakeError(f"cannot write to {where}: {error.strerror}; nothing was kept") from error


def told(ask: Callable[[], T]) -> T | None:
    """What `ask` gives; None after a message when it cannot."""
    try:
        return ask()
    except BikeshareError as error:
        st.error(str(error), icon=":material/error:")
        return None
