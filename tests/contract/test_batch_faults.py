"""A batch against a real host whose model, or which itself, fails in the middle."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError
from mlops_bikeshare.domain.label import Label
from mlops_bikeshare.domain.tables import INFERENCE
from mlops_bikeshare.domain.windows import Window, stamp
from mlops_bikeshare.features.definition import FEATURE_NAMES, feature_digest
from mlops_bikeshare.flows import infer
from mlops_bikeshare.flows.features import ONLINE
from mlops_bikeshare.flows.judging import beats
from mlops_bikeshare.monitoring.metrics import MODEL
from mlops_bikeshare.serving import endpoints, predict
from mlops_bikeshare.serving.predict import Patience, invoke
from mlops_bikeshare.serving.session import Clients
from mlops_bikeshare.settings import FILE, Settings, load
from tests.contract.models import create_endpoint, put_model, variant

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2021, 9, 1, 12, tzinfo=UTC)
STATIONS = 600
ENDPOINT = "bikeshare-staging"
# The feature `docks` tells it what to do.
MOODY = """
import os, time
import numpy as np
import pandas as pd

COLUMNS = [f"p_{t}_{h}" for t in ("bikeout", "dockout") for h in range(10, 121, 10)]

class Scorer:
    @classmethod
    def load(cls, folder):
        return cls()

    def predict(self, frame):
        order = frame["docks"].to_numpy()
        if (order == 666).any():
            raise RuntimeError("told to fail")
        time.sleep(0.3 * (order == 777).any())
        answer = np.full((len(frame), 24), 0.25)
        answer[order == 888] = np.nan
        answer[order == 999] = 7.0
        columns = COLUMNS[:5] if (order == 555).any() else COLUMNS
        return pd.DataFrame(answer[:, :len(columns)], columns=columns)
"""


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    shutil.copy(ROOT / FILE, tmp_path / FILE)
    flags = {"workspace": "faults", "default_city": "boston"}
    space = open_workspace(load(tmp_path, {}, flags), simulated=True)
    space.advance(NOW)
    kept = space.path / "models" / "bikeshare-boston-7"
    (kept / "artifacts").mkdir(parents=True)
    (kept / "complete.json").write_text(json.dumps({"folder": "."}))
    # out with no bike 0.9, with one 0.8, with more 0.1
    table = {"rates": {str(h): [0.9, 0.8, 0.1] for h in range(10, 121, 10)}}
    text = json.dumps({"bikeout": table, "dockout": table})
    (kept / "artifacts" / "persistence.json").write_text(text)
    return space


@pytest.fixture
def host(ws: Workspace, own_host: Callable[..., Any], models: Any) -> Any:
    made = own_host(root=ws.path)
    put_model(made.clients, "moody", models(scorer=MOODY, columns=()), version="7")
    create_endpoint(made.clients, ENDPOINT, variant("AllTraffic", "moody"))
    return made


@pytest.fixture
def city(ws: Workspace) -> City:
    return ws.settings.city("boston")


def features(**orders: float) -> pd.DataFrame:
    """Stations s000 … with two bikes and five docks; `orders` tells the model what to do."""
    frame = pd.DataFrame(5.0, index=range(STATIONS), columns=list(FEATURE_NAMES), dtype="float32")
    frame["bikes"] = np.float32(2)
    for station, order in orders.items():
        frame.loc[int(station[1:]), "docks"] = order
    return frame.assign(station_id=[f"s{number:03d}" for number in range(STATIONS)])


def batch(ws: Workspace, city: City, asked: pd.DataFrame) -> tuple[infer.Batch, pd.DataFrame]:
    state = endpoints.describe(ws.clients, ENDPOINT)
    done = infer._batch(ws, city, state, NOW, asked)
    return done, ws.lake.read(INFERENCE, city=city.name)


def posted(ws: Workspace, name: str) -> list[float]:
    of = {"EndpointName": ENDPOINT, "City": "boston"}
    window = Window(NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    found = ws.metrics.series(MODEL, name, of, window=window, statistic="Average", period_s=300)
    return [value for _, value in found]


@pytest.mark.parametrize(
    ("order", "lost", "words"),
    [
        (666, 200, "the model failed"),
        (888, 1, "1 stations were answered without probabilities"),
        (999, 1, "1 stations were answered without probabilities"),
        (555, 200, "answered without probabilities"),
    ],
)
def test_stations_that_a_model_does_not_answer_get_the_persistence_of_its_version(
    host: Any, ws: Workspace, city: City, order: float, lost: int, words: str
) -> None:
    assert host.facts is not None
    done, rows = batch(ws, city, features(s250=order))
    assert words in str(done.failure)
    assert (done.stations, done.rows, done.fallback) == (
        STATIONS - lost,
        12 * STATIONS,
        12 * lost,
    )
    stand_ins = rows[rows["source"] == "fallback"]
    assert "s250" in set(stand_ins["station_id"])
    assert stand_ins["station_id"].nunique() == lost
    assert set(stand_ins["p_bikeout"]) == {0.1}
    assert stand_ins[["model_version", "variant"]].isna().all(axis=None)
    answered = rows[rows["source"] == "model"]
    assert set(answered["model_version"]) == {"7"}
    assert set(answered["p_dockout"]) == {0.25}
    assert posted(ws, "BatchSuccessRate") == [pytest.approx(1 - lost / STATIONS)]
    assert posted(ws, "PredictionHeartbeat") == [1]


def test_a_host_killed_in_the_middle_of_a_batch_costs_the_rest_of_it(
    host: Any, ws: Workspace, city: City
) -> None:
    asked, points = features(s000=777, s200=777, s400=777), host.root / "points.jsonl"

    def kill() -> None:
        # the second answer is being recorded, so the first was acknowledged
        while not points.exists() or len(points.read_text().splitlines()) <= 5:
            time.sleep(0.005)
        os.kill(host.facts.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    done, rows = batch(ws, city, asked)
    killer.join()
    assert "no answer" in str(done.failure)
    assert 0 < done.fallback <= 12 * 400
    assert done.rows == len(rows) == 12 * STATIONS
    assert posted(ws, "BatchSuccessRate") == [pytest.approx(done.stations / STATIONS)]


@contextlib.contextmanager
def flapping(url: str) -> Iterator[tuple[str, Counter[int]]]:
    """An address before a host that answers in turns: throttled, unavailable, hung up, through."""
    told: Counter[int] = Counter()

    class Turns(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked = self.path.startswith("/endpoints/")
            turn = sum(told.values()) % 4 if asked else 3
            if turn == 2:
                told[0] += 1
                self.close_connection = True
                return
            if turn == 3:
                headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                got = httpx.post(f"{url}{self.path}", content=body, headers=headers, timeout=60)
                status, answer, kept = got.status_code, got.content, dict(got.headers)
            else:
                code = ("ThrottlingException", "ServiceUnavailable")[turn]
                status, answer = (429, 503)[turn], b'{"message": "later"}'
                kept = {"x-amzn-ErrorType": code}
            told[status] += asked
            self.send_response(status)
            for name, value in kept.items():
                if name.lower() not in {"date", "content-length"}:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Turns) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", told
        finally:
            server.shutdown()
            thread.join()


def test_an_endpoint_that_flaps_is_asked_again_until_it_answers(host: Any, city: City) -> None:
    asked = features()[list(FEATURE_NAMES)]
    with flapping(host.facts.url) as (url, told):
        clients = Clients(url=url, region="eu-west-1")
        patience = Patience(in_flight=1)
        answers = invoke(clients, ENDPOINT, asked, dt=NOW, patience=patience)
    assert city.name == "boston"
    assert answers.answered.all()
    assert [chunk.attempts for chunk in answers.chunks] == [4, 4, 4]
    assert told == {429: 3, 503: 3, 0: 3, 200: 3}


def test_a_host_that_dies_and_returns_between_batches_costs_one_batch(
    host: Any, ws: Workspace, city: City
) -> None:
    state, asked = endpoints.describe(ws.clients, ENDPOINT), features()
    os.kill(host.facts.pid, signal.SIGKILL)
    host.process.wait()
    lost = infer._batch(ws, city, state, NOW, asked)
    host.start()
    ws.advance(NOW + timedelta(minutes=10))
    found = endpoints.describe(ws.clients, ENDPOINT)
    back = infer._batch(ws, city, found, NOW + timedelta(minutes=10), asked)
    assert (lost.stations, lost.fallback) == (0, 12 * STATIONS)
    assert (back.stations, back.fallback, back.failure) == (STATIONS, 0, None)


def test_stand_ins_alone_are_no_heartbeat_and_unknown_counts_have_none(
    host: Any, ws: Workspace, city: City
) -> None:
    asked = features()
    asked.loc[:9, ["bikes", "docks"]] = np.nan
    state = endpoints.describe(ws.clients, ENDPOINT)
    host.stop()
    host.start()
    host.clients.sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    endpoints.wait_gone(host.clients, ENDPOINT, timeout_s=10)
    done = infer._batch(ws, city, state, NOW, asked)
    assert (done.stations, done.rows) == (0, 12 * (STATIONS - 10))
    assert posted(ws, "PredictionHeartbeat") == []
    assert posted(ws, "BatchSuccessRate") == [0]


def test_what_a_run_that_was_killed_after_its_rows_left_unsaid_the_next_one_posts(
    host: Any, ws: Workspace, city: City
) -> None:
    assert host.facts is not None
    asked = features(s250=888)
    online = asked.assign(dt=pd.Timestamp(NOW).as_unit("ms"))
    ws.lake.write(ONLINE, online, city="boston", name=stamp(NOW))
    child = multiprocessing.get_context("spawn").Process(target=killed, args=(ws.settings, asked))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    rows = ws.lake.read(INFERENCE, city="boston")
    assert len(rows) == 12 * STATIONS
    assert posted(ws, "PredictionHeartbeat") == posted(ws, "BatchSuccessRate") == []

    (again,) = infer.infer(ws, city, at=NOW)

    assert again.already_there
    assert posted(ws, "PredictionHeartbeat") == [1]
    assert posted(ws, "BatchSuccessRate") == [pytest.approx(1 - 1 / STATIONS)]
    assert len(ws.lake.read(INFERENCE, city="boston")) == len(rows)
    assert beats.mend(ws, city, ENDPOINT, up_to=NOW + timedelta(minutes=10)) == []


def test_an_endpoint_that_cannot_be_looked_at_costs_the_other_no_batch(
    host: Any, ws: Workspace, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert host.facts is not None
    honest = endpoints.find

    def found(clients: Clients, name: str) -> endpoints.EndpointState | None:
        if name == "bikeshare-prod":
            raise EndpointError("its model was deleted")
        return honest(clients, name)

    monkeypatch.setattr(endpoints, "find", found)
    monkeypatch.setattr(infer, "online_features", lambda *_: features())

    done = {batch.endpoint: batch for batch in infer.infer(ws, city, at=NOW)}

    assert (done[ENDPOINT].stations, done[ENDPOINT].failure) == (STATIONS, None)
    assert (done["bikeshare-prod"].rows, done["bikeshare-prod"].failure) == (
        0,
        "its model was deleted",
    )


def killed(settings: Settings, asked: pd.DataFrame) -> None:
    """A batch whose process dies when it is about to post."""
    space = open_workspace(settings, simulated=True)
    beats.post = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
    batch(space, settings.city("boston"), asked)


@pytest.mark.parametrize(
    ("moves", "told"),
    [
        ([["other"]], ("8", 0.75)),
        ([["other", ENDPOINT]], ("7", 0.25)),
        ([["other"], [ENDPOINT], ["other"]], (None, 0.25)),
    ],
)
def test_answers_carry_the_version_that_gave_them_when_the_endpoint_moves_meanwhile(
    ws: Workspace,
    city: City,
    host: Any,
    models: Any,
    moves: list[list[str]],
    told: tuple[str | None, float],
) -> None:
    other = MOODY.replace("0.25", "0.75")
    put_model(host.clients, "other", models(scorer=other, columns=()), version="8")
    host.clients.sagemaker.create_endpoint_config(
        EndpointConfigName="other", ProductionVariants=[variant("AllTraffic", "other")]
    )
    left = list(moves)

    def moved(*args: Any, **kwargs: Any) -> Any:
        found = predict.invoke(*args, **kwargs)
        for config in left.pop(0) if left else ():
            endpoints.restore_config(ws.clients, ENDPOINT, config)
            endpoints.wait_in_service(ws.clients, ENDPOINT, config=config, timeout_s=60)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(infer, "invoke", moved)
        done, rows = batch(ws, city, features())

    assert (done.stations, done.fallback) == (STATIONS, 0)
    versions = rows["model_version"].astype(object).where(rows["model_version"].notna(), None)
    assert set(zip(versions, rows["p_bikeout"], strict=True)) == {told}


def test_a_version_of_another_threshold_is_not_asked_and_the_batch_says_so(
    ws: Workspace, city: City, host: Any, models: Any
) -> None:
    own = {"feature_definition": feature_digest(Label(threshold=3))}
    put_model(host.clients, "three", models(scorer=MOODY, columns=()), version="7", **own)
    host.clients.sagemaker.create_endpoint_config(
        EndpointConfigName="three",
        ProductionVariants=[variant("Baseline", "moody"), variant("Candidate", "three")],
    )
    endpoints.restore_config(ws.clients, ENDPOINT, "three")
    endpoints.wait_in_service(ws.clients, ENDPOINT, config="three", timeout_s=60)

    done, rows = batch(ws, city, features())

    assert "version 7 was trained on other features" in str(done.failure)
    assert (done.stations, set(rows["source"])) == (0, {"fallback"})
    assert posted(ws, "PredictionHeartbeat") == []
    assert not (host.root / "points.jsonl").exists()  # nobody was asked


def test_catching_up_writes_no_predictions_for_the_past(
    host: Any, ws: Workspace, city: City
) -> None:
    assert host.facts is not None
    with pytest.raises(InputError, match=r"2021-09-01 11:50 UTC is over"):
        infer.infer(ws, city, at=NOW - timedelta(minutes=10))
    assert ws.lake.days(INFERENCE, city=city.name) == []
