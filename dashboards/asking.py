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

from dashboards.readings import Choice, Empty, opened
from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import BikeshareError, InputError, LakeError
from mlops_bikeshare.flows import feedback, moves, what_if
from mlops_bikeshare.flows.feedback import Said
from mlops_bikeshare.flows.moves import Round
from mlops_bikeshare.flows.supposing.basis import Basis
from mlops_bikeshare.flows.supposing.changes import Changes

T = TypeVar("T")
KEPT_S = 55


@st.cache_data(ttl=KEPT_S, show_spinner="Planning …", hash_funcs={Choice: repr})
def suggested(choice: Choice, city: str, dt: datetime, *, vans: int, capacity: int) -> Round:
    """The round of moves for the endpoint on show; `dt` names the batch it is for."""
    _ = dt  # a new batch is a new plan
    ws = _workspace(choice)
    return moves.suggest(
        ws,
        ws.settings.city(city),
        vans=vans,
        capacity=capacity,
        endpoint=choice.endpoint.value,
        view=choice.views.predictions,
    )


@st.cache_resource(ttl=KEPT_S, show_spinner="Reading the lake …", hash_funcs={Choice: repr})
def basis(choice: Choice, city: str) -> Basis:
    """What is known now, and who answers."""
    ws = _workspace(choice)
    return what_if.prepare(ws, ws.settings.city(city), endpoint=choice.endpoint.value)


def asked(choice: Choice, known: Basis, changes: Changes, station: str | None) -> what_if.Answer:
    """One request to the endpoint, kept in `whatif_requests`."""
    ws = _workspace(choice)
    with _writing():
        return what_if.ask(ws, known, changes, station_id=station)


def said(choice: Choice, city: str, station: str, what: str, note: str | None = None) -> Said:
    """Keep a person's word on a station."""
    ws = _workspace(choice)
    where = ws.settings.city(city)
    with _writing():
        return feedback.say(ws, where, station_id=station, what=what, note=note or None)


def _workspace(choice: Choice) -> Workspace:
    """As the readings have it: by the same profile, from the same bucket."""
    ws = opened(choice)
    if isinstance(ws, Empty):
        raise InputError(f"{ws.what} {ws.todo}")
    return ws


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
