"""Exporter: everything in the metric store for Prometheus, whether the endpoint host runs or not.

Input    a workspace; the time is the workspace's, read anew at every scrape.
Output   Samples: of every series the statistics that alarms use, and the metric's own, of the
         newest period that is over; which endpoints there are, what they serve, releases, alarms
         that fire. A series without data then is left out. `run` serves them on 127.0.0.1.
Raises   SettingsError for a port that is taken. A scrape that fails answers 500 and is logged.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mlops_bikeshare.backends import Workspace
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.windows import CADENCE_S, Window, floor_time
from mlops_bikeshare.flows import alarms as ticking
from mlops_bikeshare.flows import records
from mlops_bikeshare.flows.releasing import alarms
from mlops_bikeshare.monitoring.exposition import (
    CLOCK,
    CONTENT_TYPE,
    INFO,
    LOOKED,
    PREFIX,
    Sample,
    label_of,
    name_of,
    text,
)
from mlops_bikeshare.monitoring.metrics import CATALOGUE, ENDPOINT, MODEL, Metric, Statistic
from mlops_bikeshare.release import history

log = logging.getLogger(__name__)
# A state that no tick has confirmed for so long says nothing about now.
FRESH = timedelta(seconds=2 * CADENCE_S + 60)
Asked = Mapping[str, Sequence[tuple[Statistic, int]]]
_KNOWN = {metric.name: metric for metric in CATALOGUE}


def exposition(ws: Workspace) -> bytes:
    """The text of one scrape."""
    ws.follow()
    return text(samples(ws))


def samples(ws: Workspace) -> list[Sample]:
    """Every series as it is now."""
    clock = Sample(
        name=CLOCK,
        value=ws.now.timestamp(),
        meaning="The workspace's time.",
    )
    return [clock, *_stored(ws), *_released(ws), *_firing(ws)]


def run(ws: Workspace, *, port: int, stop: threading.Event, ready: Callable[[str], object]) -> None:
    """Serve until `stop` is set; `ready` is told the address once it listens."""
    server = _Server(ws, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    ready(f"http://127.0.0.1:{server.server_port}/metrics")
    try:
        stop.wait()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, ws: Workspace, port: int) -> None:
        self.ws = ws
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            msg = f"port {port} of 127.0.0.1 cannot be listened on: {error}"
            raise SettingsError(f"{msg}; choose another with --port") from None


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer /metrics."""
        if self.path != "/metrics":
            self._answer(404, b"only /metrics\n", "text/plain")
            return
        try:
            body = exposition(self.server.ws)
        except Exception:
            log.exception("a scrape failed")
            self._answer(500, b"see the log of bikeshare exporter\n", "text/plain")
            return
        self._answer(200, body, CONTENT_TYPE)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """A scrape every 15 s is no news."""


def _stored(ws: Workspace) -> Iterator[Sample]:
    environments = _environments(ws)
    asked = _asked(ws)
    for namespace in (MODEL, ENDPOINT):
        for name, of in ws.metrics.names(namespace):
            metric = _KNOWN.get(name)
            if metric is None:
                continue
            plain = set(of) == set(metric.dimensions)
            for statistic, period_s in asked[name] if plain else [_own(metric)]:
                value = _newest(ws, metric, of, statistic=statistic, period_s=period_s)
                if value is None:
                    continue
                labels = {label_of(key): part for key, part in of.items()}
                if "EndpointName" in of:
                    labels["environment"] = environments.get(of["EndpointName"], "")
                labels |= {"statistic": statistic, "period_s": str(period_s)}
                called = name_of(metric) if plain else f"{name_of(metric)}_detail"
                yield Sample(name=called, value=value, meaning=metric.meaning, labels=labels)


def _newest(
    ws: Workspace,
    metric: Metric,
    of: Mapping[str, str],
    *,
    statistic: Statistic,
    period_s: int,
) -> float | None:
    """The statistic of the newest period that is over; None where it has no data."""
    end = floor_time(ws.now, step_s=period_s)
    found = ws.metrics.series(
        metric.namespace,
        metric.name,
        of,
        window=Window(end - timedelta(seconds=period_s), end),
        statistic=statistic,
        period_s=period_s,
    )
    return found[-1][1] if found else None


def _own(metric: Metric) -> tuple[Statistic, int]:
    return metric.statistic, metric.every_s


def _asked(ws: Workspace) -> Asked:
    """Statistic and period that a metric is read in: its own, and those of its alarms."""
    found = {metric.name: {_own(metric)} for metric in CATALOGUE}
    for alarm in alarms.load(ws.settings).alarms:
        for name in alarm.inputs:
            found[name].add((alarm.statistic, alarm.period_s))
    return {name: sorted(pairs) for name, pairs in found.items()}


def _environments(ws: Workspace) -> dict[str, str]:
    return {
        ws.settings.endpoint(stage, city): stage
        for city in ws.settings.cities
        for stage in ticking.STAGES
    }


def _released(ws: Workspace) -> Iterator[Sample]:
    entries, kept = records.audited(ws), ticking.read(ws)
    for city in ws.settings.cities:
        for stage in ticking.STAGES:
            name = ws.settings.endpoint(stage, city)
            found = history.reigns(entries, name)
            if found:
                of = {"endpoint": name, "environment": stage, "city": city}
                yield Sample(name=INFO, value=1, meaning="An endpoint of a city.", labels=of)
                for version, share in found[-1].shares.items():
                    yield Sample(
                        name=f"{PREFIX}_serving_share",
                        value=share,
                        meaning="Share of the traffic that a version answers, by the audit.",
                        labels={**of, "version": version},
                    )
                yield from _moves(found, of)
                if stage == "prod":
                    yield _looked(kept, since=found[0].since, of=of)


def _looked(
    kept: Mapping[str, Mapping[str, Any]], *, since: datetime, of: Mapping[str, str]
) -> Sample:
    """When somebody last looked at an endpoint's alarms; never yet counts from its first deploy."""
    looks = [one["at"] for name, one in kept.items() if name.startswith(f"{of['endpoint']}-")]
    at = max(map(datetime.fromisoformat, looks), default=since)
    meaning = "When the local evaluator last looked at an endpoint's alarms."
    return Sample(name=LOOKED, value=at.timestamp(), meaning=meaning, labels=of)


def _moves(found: Sequence[history.Reign], of: Mapping[str, str]) -> Iterator[Sample]:
    for kind in sorted({reign.kind for reign in found}):
        mine = [reign.since for reign in found if reign.kind == kind]
        labels = {**of, "kind": kind}
        meaning = "Releases of each kind in the audit."
        yield Sample(name=f"{PREFIX}_releases", value=len(mine), meaning=meaning, labels=labels)
        yield Sample(
            name=f"{PREFIX}_release_timestamp_seconds",
            value=max(mine).timestamp(),
            meaning="When the newest release of each kind was.",
            labels=labels,
        )


def _firing(ws: Workspace) -> Iterator[Sample]:
    for name, kept in ticking.read(ws).items():
        fresh = ws.now - datetime.fromisoformat(kept["at"]) <= FRESH
        if fresh and kept["state"] != "INSUFFICIENT_DATA":
            yield Sample(
                name=f"{PREFIX}_alarm_firing",
                value=float(kept["state"] == "ALARM"),
                meaning="1 for an alarm that fires, 0 for one that is OK.",
                labels={"alarm": name, "severity": kept["severity"]},
            )
