"""Quiet days of real cities, lived through with a real host: no alarm may fire.

A champion learns from the days before; then every poll, batch, judgement and look at the alarms of
the recorded days happens on the simulated clock. `BIKESHARE_QUIET_DAYS=1` lives through fewer days.
"""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import alarms, deploy, features, ingest, replay, serve
from mlops_bikeshare.flows.train import by_shares, train
from mlops_bikeshare.monitoring.metrics import MODEL
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.recorded import open_recording
from tests.e2e.conftest import Home

pytestmark = [pytest.mark.recordings, pytest.mark.long]

# Tests share the machine, so that latency says nothing about the host.
SHARED = {"latency_p95_ms = 200.0": "latency_p95_ms = 20000.0", "threads = 2": "threads = 1"}
SMALLER = {"training.max_rows": 200_000, "training.rounds": 150, "serving.port": 0}
DAYS = [
    ("boston", "2021-06-21..2021-08-02", "2021-08-02..2021-08-23"),
    # from an hour after the gap of the recording, whose first poll comes after 16:00, to its end
    ("taipei", "2024-05-20..2024-05-25", "2024-05-25T17:00Z..2024-05-28T16:00Z"),
]


@pytest.mark.parametrize(("name", "history", "quiet"), DAYS)
def test_quiet_days_of_a_real_city_set_off_no_alarm(
    recordings: Path, new_home: Callable[..., Home], name: str, history: str, quiet: str
) -> None:
    home = new_home(SHARED).path
    settings = load(home, {"BIKESHARE_HOME": str(home)}, SMALLER)
    ws = open_workspace(
        settings.with_workspace("quiet", default_city=name), simulated=True, owner=name
    )
    city, window = ws.settings.city(name), Window.parse(quiet, key="quiet")
    most = int(os.environ.get("BIKESHARE_QUIET_DAYS", "99"))
    window = Window(window.start, min(window.end, window.start + timedelta(days=most)))
    learned = Window.parse(history, key="history")
    ingest.import_recording(ws, city, recordings / name, window=learned)
    features.build(ws, city, window=learned)
    champion = train(ws, city, by_shares(learned), label="champion")
    fired: dict[str, list[datetime]] = {}

    def look(ws: Workspace, _: City) -> None:
        for alarm, kept in alarms.read(ws).items():
            if kept["state"] == "ALARM":
                fired.setdefault(alarm, []).append(ws.now)

    ws.advance(window.start)  # alarms count from the deploy on
    with serve.hosting(ws):
        deploy.deploy(ws, city, version=champion.version, initial=True)
        feed = open_recording(recordings / name)
        done = replay.replay(ws, city, feed, window, after_batch=look)

    assert done.failed_batches == 0
    said = {
        alarm: (len(at), f"{at[0]:%F %H:%M}", f"{at[-1]:%F %H:%M}") for alarm, at in fired.items()
    }
    assert said == {}, spread(ws, city, window)


def spread(ws: Workspace, city: City, window: Window) -> str:
    """The least of the day's scores and the most of drift, for whoever asks why."""
    of = {"EndpointName": ws.settings.endpoint("prod", city.name), "City": city.name}
    told = []
    for metric in ("PR-AUC-24h", "PR-AUC-Reference", "F1-24h", "F1-Reference", "PSI", "DriftShare"):
        found = ws.metrics.series(
            MODEL, metric, of, window=window, statistic="Average", period_s=3600
        )
        values = [value for _, value in found]
        told.append(f"{metric} {min(values):.3f}..{max(values):.3f}" if values else metric)
    return ", ".join(told)
