"""One log line per flow: what it read, what it wrote, how long it took.

Input    a flow `(ws, city, ...) -> result` and a function that says what its result stands for.
Output   the same flow; when it ends without an error it logs at INFO, with `fields` on the record
         for machines. A flow that runs inside another (a batch of a replay) logs at DEBUG: the
         outer one speaks for it. A flow that fails logs nothing: its error says why.
"""

import functools
import logging
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.flows.process import stopping

P = ParamSpec("P")
R = TypeVar("R")
Flow = Callable[Concatenate[Workspace, City, P], R]

log = logging.getLogger(__name__)
_inside: ContextVar[bool] = ContextVar("inside a flow", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a flow read and wrote: names and plain values."""

    read: Mapping[str, Any]
    wrote: Mapping[str, Any]


def logged(name: str, tell: Callable[[R], Told]) -> Callable[[Flow[P, R]], Flow[P, R]]:
    """Log one line about a flow each time it is done."""

    def decorate(flow: Flow[P, R]) -> Flow[P, R]:
        @functools.wraps(flow)
        def run(ws: Workspace, city: City, /, *args: P.args, **kwargs: P.kwargs) -> R:
            began, level = time.perf_counter(), logging.DEBUG if _inside.get() else logging.INFO
            outer = _inside.set(True)
            try:
                stopping.heed()
                result = flow(ws, city, *args, **kwargs)
                stopping.heed()
            finally:
                _inside.reset(outer)
            _line(level, name, ws, city, tell(result), took_s=time.perf_counter() - began)
            return result

        return run

    return decorate


def _line(level: int, name: str, ws: Workspace, city: City, told: Told, *, took_s: float) -> None:
    fields = {
        "city": city.name,
        "workspace": ws.settings.workspace,
        "as_of": ws.now.isoformat(timespec="seconds"),
        "read": dict(told.read),
        "wrote": dict(told.wrote),
        "took_s": round(took_s, 3),
    }
    text = f"read {_text(told.read)}; wrote {_text(told.wrote)}; took {took_s:.1f} s"
    log.log(level, "%s %s: %s", name, city.name, text, extra={"event": name, "fields": fields})


def _text(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in facts.items())


def _value(value: str | float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
