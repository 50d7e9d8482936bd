"""Faults of answers: requests that are refused, a model that is slow, one that dies when asked.

Each is done to production's endpoint, on real processes and sockets, for half an hour, then looked
at, and becomes one `Finding`. What takes time takes real time: latency is never simulated.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial

import pandas as pd

from mlops_bikeshare.domain.errors import EndpointError
from mlops_bikeshare.domain.windows import CADENCE_S, Window
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.flows.drilling.findings import Finding, minutes_from, refused, within
from mlops_bikeshare.flows.drilling.production import FULL, TICK, Production, Seen
from mlops_bikeshare.flows.features import ONLINE
from mlops_bikeshare.serving import predict

HALF_HOUR = 3 * TICK
KILLED_EVERY_S = 0.02
ALLOWED_S = 1.0
BACK_S = 120.0
Hindrance = Callable[[], AbstractContextManager[None]]


def refused_requests(p: Production, start: datetime) -> Finding:
    """Another client asks for what no model can answer."""
    p.run(start)
    end = start + HALF_HOUR
    p.beside = partial(_ask_nonsense, p)
    p.run(end)
    p.beside = None
    p.run(end + timedelta(hours=1))
    rate, share = p.seen("rate-4xx-warn", start), p.seen("error-rate-critical", start)
    return Finding(
        fault="another client asks for nonsense",
        start=start,
        end=end,
        expected="alarms of refused requests within 20 min; every batch is full all the same",
        happened={
            "refused requests are an alarm within 20 min": within(rate.fired, start, 20),
            "so is their share": within(share.fired, start, 20),
            "every batch is full": p.all_full(Window(start, end)),
            "both are quiet again": _quiet(rate, share),
        },
        detected_min=minutes_from(start, share.fired),
    )


def slow_model(p: Production, start: datetime) -> Finding:
    """The model's process stands still for longer than the guard allows, at every batch.

    It does so from the poll on: what comes before the request is allowed for.
    """
    p.run(start)
    end = start + HALF_HOUR
    still_s = 1.5 * p.ws.settings.guard.latency_p95_ms / 1000 + ALLOWED_S
    with _at_each_batch(p, partial(_stopped, p, still_s)):
        p.run(end)
    p.run(end + timedelta(hours=2))
    warn, critical = p.seen("latency-warn", start), p.seen("latency-critical", start)
    return Finding(
        fault="the model is slow",
        start=start,
        end=end,
        expected="critical latency within 20 min, its hour a warning; every batch is full",
        happened={
            "latency is critical within 20 min": within(critical.fired, start, 20),
            "the hour is a warning once it is over": within(warn.fired, start, 60),
            "every batch is full": p.all_full(Window(start, end)),
            "both are quiet again": _quiet(warn, critical),
        },
        detected_min=minutes_from(start, critical.fired),
    )


def dying_model(p: Production, start: datetime) -> Finding:
    """The model's process is killed as often as the host starts it."""
    p.run(start)
    end = start + HALF_HOUR
    with _at_each_batch(p, partial(_killed, p)):
        p.run(end)
    _answering(p)
    p.run(end + timedelta(hours=1))
    failed, share = p.seen("errors-5xx-critical", start), p.seen("error-rate-critical", start)
    left, answered = p.seen("success-rate-warn", start), p.answered(Window(start, end))
    back = p.full_again(end)
    return Finding(
        fault="the model's process dies under every request",
        start=start,
        end=end,
        expected="an alarm within 10 min; stand-ins are told apart; full batches once it lives",
        happened={
            "failing requests are an alarm within 10 min": within(failed.fired, start, 10),
            "so is their share": within(share.fired, start, 20),
            "stations left without an answer are one within 20 min": within(left.fired, start, 20),
            "no stand-in counts as an answer": bool(answered)
            and all(part < FULL for part in answered.values()),
            "batches are full again at once": within(back, end, 0),
            "the alarms are quiet again": _quiet(failed, share, left),
        },
        detected_min=minutes_from(start, failed.fired),
        restored_min=minutes_from(end, back),
    )


def _quiet(*alarms: Seen) -> bool:
    return all(alarm.quiet is not None for alarm in alarms)


def _ask_nonsense(p: Production, at: datetime) -> None:
    with suppress(EndpointError):
        predict.invoke(p.ws.clients, p.prod, pd.DataFrame({"nonsense": [1.0]}), dt=at)


@contextmanager
def _at_each_batch(p: Production, fault: Hindrance) -> Iterator[None]:
    """Hold the fault from the poll of every batch until the batch was judged."""
    if not p.workers():
        raise EndpointError("the drill finds no process of a model: it needs a host, and /proc")
    with ExitStack() as held:

        def before(at: datetime) -> None:
            if at.timestamp() % CADENCE_S == 0:
                held.enter_context(fault())

        p.feed.before, p.beside = before, lambda _: held.close()
        try:
            yield
        finally:
            p.feed.before = p.beside = None


@contextmanager
def _stopped(p: Production, seconds: float) -> Iterator[None]:
    """The workers' processes stand still for so long."""
    workers = p.workers()
    _send(workers, signal.SIGSTOP)
    thaw = threading.Timer(seconds, _send, (workers, signal.SIGCONT))
    thaw.start()
    try:
        yield
    finally:
        thaw.join()


@contextmanager
def _killed(p: Production) -> Iterator[None]:
    """No worker's process lives for longer than a moment."""
    over = threading.Event()

    def reap() -> None:
        while not over.wait(KILLED_EVERY_S):
            _send(p.workers(), signal.SIGKILL)

    reaper = threading.Thread(target=reap, daemon=True)
    _send(p.workers(), signal.SIGKILL)
    reaper.start()
    try:
        yield
    finally:
        over.set()
        reaper.join()


def _send(pids: list[int], what: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


def _answering(p: Production) -> None:
    """Ask until the host's new process answers.

    Its start takes real time, of which the clock of the drill knows nothing. What is refused until
    then counts among the failed requests of the last faulty batch.
    """
    last = p.ws.now - TICK
    asked = p.ws.lake.read(ONLINE, city=p.city.name, window=Window(last, p.ws.now))
    row = asked[list(FEATURE_NAMES)].head(1)
    deadline = time.monotonic() + BACK_S
    while refused(lambda: predict.invoke(p.ws.clients, p.prod, row, dt=last), EndpointError):
        if time.monotonic() > deadline:
            raise EndpointError(f"no process of {p.prod} answered within {BACK_S:.0f} s")
