"""The operations API over HTTP: a small simulated city, a real host, real jobs, kills."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from mlops_bikeshare.api import server
from mlops_bikeshare.api.jobs import Jobs
from mlops_bikeshare.api.sign_in import MAX_BODY
from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import SettingsError
from mlops_bikeshare.domain.reports import GateReport
from mlops_bikeshare.domain.targets import HORIZONS_MIN
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.features.definition import FEATURE_NAMES
from mlops_bikeshare.flows import deploy, features, infer, ingest, promote, records, serve, tracking
from mlops_bikeshare.flows.features import OFFLINE
from mlops_bikeshare.flows.releasing import execute
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.register import register
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.predict import invoke
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.simulator.simulate import simulate
from tests.e2e.api_asked import TOKEN, Api
from tests.e2e.shown import shown
from tests.e2e.versions import artifacts, rows

TOML = """
default_city = "small"
[training]
rounds = 3
leaves = 7
max_rows = 20000
threads = 1
[serving]
port = 0
[api]
feed = "public"
[cities.small]
timezone = "America/Toronto"
country = "CA"
"""
NOW = datetime(2025, 6, 9, tzinfo=UTC)
DAY = Window.day(date(2025, 6, 7))
TAGS = {
    f"test_{n}_{t}": "0.9"
    for n in ("pr_auc", "f1", "onset_brier_skill")
    for t in ("bikeout", "dockout")
}
PROD = "bikeshare-prod"


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    home = tmp_path_factory.mktemp("home")
    (home / "bikeshare.toml").write_text(TOML)
    made = simulate(stations=30, days=7, seed=3, start=date(2025, 6, 2), timezone="America/Toronto")
    made.write(home / "recording")
    opened = open_workspace(load(home, {}, {}), simulated=True)
    city = opened.settings.city()
    ingest.import_recording(opened, city, home / "recording")
    features.build(opened, city)
    opened.advance(NOW)
    with serve.hosting(opened):
        yield opened


@pytest.fixture(scope="module")
def city(ws: Workspace) -> City:
    return ws.settings.city()


@pytest.fixture(scope="module")
def champion(
    ws: Workspace, city: City, tmp_path_factory: pytest.TempPathFactory
) -> versions.ModelVersion:
    """Version 1 in production; version 2 would like to be there."""
    folder, wide = tmp_path_factory.mktemp("versions"), FEATURE_NAMES
    with tracking.run(ws, city, "versions", {}):
        first, _ = [
            register(
                artifacts(folder / f"{n}", seed=n, features=wide, horizons_min=HORIZONS_MIN),
                name=city.registered_model,
                tags=TAGS,
                probe=rows(wide),
            )
            for n in (1, 2)
        ]
    deploy.deploy(ws, city, version=first.version, initial=True)
    versions.move_alias(city.registered_model, versions.CHALLENGER, "2", expected=None)
    return first


@pytest.fixture(scope="module")
def api(ws: Workspace, champion: versions.ModelVersion) -> Iterator[Api]:
    assert champion.version == "1"
    running = Api(ws.settings.root)
    yield running
    assert running.end() == 0


def ended(api: Api, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.client.post(path, json=body, params={"wait_s": 300})
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert api.client.get(f"/jobs/{job['id']}").json() == job
    return job


def aliases(city: City) -> dict[str, str | None]:
    found = {a: versions.find_if_any(city.registered_model, a) for a in versions.ALIASES}
    return {alias: version.version if version else None for alias, version in found.items()}


def some_records(ws: Workspace, city: City, count: int) -> list[dict[str, float | None]]:
    rows = ws.lake.read(OFFLINE, city=city.name, window=DAY)[list(FEATURE_NAMES)]
    return [
        {str(name): None if np.isnan(value) else float(value) for name, value in row.items()}
        for row in rows.head(count).to_dict("records")
    ]


def test_without_the_token_only_ping_and_a_public_feed_answer(api: Api) -> None:
    with httpx.Client(base_url=api.url, trust_env=False, timeout=30) as stranger:
        assert stranger.get("/ping").json() == {"status": "healthy"}
        assert stranger.get("/predictions/schema.json").status_code == 200
        for path in ("/status", "/metrics", "/jobs", "/openapi.json"):
            assert stranger.get(path).status_code == 401
        for said in ("Bearer another", "Basic YTpi", ""):
            refused = stranger.post("/promote", json={}, headers={"authorization": said})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"


def test_openapi_tells_every_route_and_that_a_token_is_wanted(api: Api) -> None:
    told = api.client.get("/openapi.json").json()
    posts = {"/train", "/predict", "/gate", "/promote", "/promote_champion", "/rollback"}
    gets = {"/status", "/metrics", "/drift_reports", "/jobs/{name}", "/predictions/{city}.json"}
    assert posts | gets <= set(told["paths"])
    assert told["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


def test_what_was_asked_wrongly_is_explained_and_never_repeated(api: Api) -> None:
    sent = "hunter2"
    for path, body in (
        ("/train", {"trget": sent}),
        ("/train", {"target": sent}),
        ("/predict", {"records": [{"a": sent}]}),
        ("/promote", {"canary": {"x": sent}}),
    ):
        answer = api.client.post(path, json=body)
        assert answer.status_code == 422
        assert sent not in answer.text
    for path, body in (
        ("/train", {"window": "tomorrow"}),
        ("/gate", {"window": "9d"}),
        ("/train", {"city": "atlantis"}),
    ):
        assert api.client.post(path, json=body).status_code == 422
    assert api.client.post("/promote", content=b"{}").status_code == 422, "no JSON, no deed"
    assert api.client.get("/jobs/none").status_code == 404
    assert api.client.get("/jobs").json() == []


def test_a_body_is_bounded_whether_it_says_its_length_or_not(api: Api) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield b" " * (MAX_BODY // 2)

    json_ = {"content-type": "application/json"}
    long = api.client.post("/predict", content=b" " * (MAX_BODY + 1), headers=json_)
    streamed = api.client.post("/predict", content=pieces(), headers=json_)
    assert (long.status_code, streamed.status_code) == (413, 413)


def test_records_are_answered_as_the_endpoint_does_with_the_version_that_did(
    api: Api, ws: Workspace, city: City, champion: versions.ModelVersion
) -> None:
    records_ = some_records(ws, city, 3)
    answer = api.client.post("/predict", json={"records": records_})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    asked = ws.lake.read(OFFLINE, city=city.name, window=DAY)[list(FEATURE_NAMES)].head(3)
    said = invoke(ws.clients, PROD, asked, dt=NOW).frame
    for i, one in enumerate(told["predictions"]):
        assert one["model_version"] == "1"
        for name in ("p_bikeout", "p_dockout"):
            mine = [said[f"{name}_{h}"].iloc[i] for h in told["champion"]["horizons_min"]]
            assert np.array_equal(one[name], mine)
    assert told["endpoint"] == PROD
    assert told["champion"]["artefact_digest"] == champion.digest
    trained_at = datetime.fromisoformat(told["champion"]["trained_at"])
    assert abs((datetime.now(UTC) - trained_at).total_seconds()) < 600


def test_a_record_without_a_feature_is_refused_by_name(api: Api, ws: Workspace, city: City) -> None:
    (record,) = some_records(ws, city, 1)
    first = FEATURE_NAMES[0]
    del record[first]
    answer = api.client.post("/predict", json={"records": [{**record, "moon": 1.0}]})
    assert answer.status_code == 422
    assert f"missing {first}; unknown moon" in answer.json()["detail"]
    nowhere = api.client.post("/predict", json={"records": [record], "endpoint": "nowhere"})
    assert nowhere.status_code == 503


@pytest.mark.long
def test_the_page_shows_a_test_training_that_changes_nothing_and_a_refused_promotion(
    api: Api, city: City, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = aliases(city)
    monkeypatch.setenv("API", api.url)
    monkeypatch.setenv("BIKESHARE_API__TOKEN", TOKEN)
    exec(shown("Operations API"), {})  # noqa: S102 - the page is ours
    trained, promoted = capsys.readouterr().out.splitlines()
    assert trained.endswith("none: test mode")
    assert promoted.startswith("refused ")

    _, job = api.client.get("/jobs").json()
    assert (job["state"], job["kind"], job["attempts"]) == ("done", "train", 1)
    made = job["result"]
    assert set(made["metrics"]) == {"bikeout"}
    assert 0 <= made["metrics"]["bikeout"]["model"]["brier"] <= 1
    assert versions.find(city.registered_model, made["version"]).run_id == made["run_id"]
    assert aliases(city) == before


def test_what_a_flow_refuses_is_told_as_refused_and_what_is_not_there_as_failed(api: Api) -> None:
    failed = ended(api, "/gate", {})
    assert failed["state"] == "failed"
    assert "bikeshare-staging" in failed["error"]
    refused = ended(api, "/promote_champion", {})
    assert (refused["kind"], refused["state"]) == ("promote", "refused")
    assert "gate" in refused["error"]
    rolled = ended(api, "/rollback", {})
    assert rolled["state"] == "refused"


def test_status_metrics_and_drift_are_told(api: Api, ws: Workspace, city: City) -> None:
    seen = api.client.get("/status").json()
    assert (seen["city"], seen["models"]["champion"]["version"]) == (city.name, "1")
    metrics = api.client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "bikeshare_clock_timestamp_seconds" in metrics.text
    assert api.client.get("/drift_reports").json() == []
    day = "monitoring/drift_reports/date=2025-06-08"
    for hour in (3, 21, 20):
        ends = f'"window": "2025-06-07T{hour:02}:00..2025-06-08T{hour:02}:00"'
        ws.lake.store.create(f"{day}/{hour}.json", f'{{"city": "small", {ends}}}'.encode())
    told = api.client.get("/drift_reports", params={"most": 2}).json()
    assert [one["window"][-5:] for one in told] == ["21:00", "20:00"]


def test_the_feed_is_served_with_its_validator(api: Api, ws: Workspace, city: City) -> None:
    assert api.client.get("/predictions/small.json").status_code == 404
    (batch,) = infer.infer(ws, city)
    assert batch.failure is None
    with httpx.Client(base_url=api.url, trust_env=False, timeout=30) as app:
        first = app.get("/predictions/small.json")
        assert first.json()["last_updated"] == "2025-06-09T00:00:00Z"
        assert first.headers["cache-control"] == "max-age=610"
        kept = {"if-none-match": f'"other", {first.headers["etag"]}'}
        again = app.get("/predictions/small.json", headers=kept)
        assert (again.status_code, again.content) == (304, b"")
        assert app.get("/predictions/atlantis.json").status_code == 404


@pytest.mark.long
def test_after_a_kill_an_interrupted_job_says_so_and_a_begun_promotion_is_finished(
    api: Api, ws: Workspace, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = api.client.post("/train", json={}).json()["id"]
    waits = api.client.post("/gate", json={"endpoint": PROD}).json()["id"]
    while api.client.get(f"/jobs/{began}").json()["state"] == "queued":
        continue
    assert api.end(kill=True) != 0
    challenger = versions.find(city.registered_model, versions.CHALLENGER)
    interrupted_promotion(ws, city, challenger, monkeypatch)
    jobs = Jobs(ws.path / "jobs.db")
    with sqlite3.connect(ws.path / "jobs.db") as file:
        file.execute(
            "INSERT INTO jobs (id, kind, city, asked, state, asked_at, attempts) VALUES"
            " ('p', 'promote', 'small', '{\"canary\": false}', 'running', ?, 1)",
            (NOW.isoformat(),),
        )
    file.close()

    api.start()

    told = api.client.get(f"/jobs/{began}").json()
    assert (told["state"], told["result"]) == ("interrupted", None)
    assert "while it ran" in told["error"]
    promoted = api.client.get("/jobs/p", params={"wait_s": 300}).json()
    assert (promoted["state"], promoted["attempts"]) == ("done", 2), promoted
    assert promoted["result"]["to_version"] == challenger.version
    assert endpoints.describe(ws.clients, PROD).leading.version == challenger.version
    assert [e["kind"] for e in records.audited(ws)].count("promotion") == 1
    judged = api.client.get(f"/jobs/{waits}", params={"wait_s": 300}).json()
    assert (judged["state"], judged["result"]["verdict"]) == ("done", "unknown")
    assert jobs.running() == []
    back = ended(api, "/rollback", {"reason": "a drill"})
    assert back["result"]["to_version"] == "1"


def interrupted_promotion(
    ws: Workspace, city: City, challenger: versions.ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kill between the endpoint and the aliases leaves behind."""
    report = GateReport(
        verdict="pass", city=city.name, endpoint="bikeshare-staging",
        model_version=challenger.version, artefact_digest=challenger.digest,
        window=Window.before(NOW), judged_at=ws.now, checks=(), pinned={"champion_version": "1"},
    )  # fmt: skip
    records.keep_gate(ws, report, table="", junit="")
    records.audit(ws, "gate", why="verdict pass", facts=records.facts(report))

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(versions, "move_alias", killed)
        with pytest.raises(KeyboardInterrupt):
            promote.promote(ws, city)
    assert execute.unfinished(ws, PROD) is not None


def test_one_api_serves_a_workspace_and_none_is_open_without_a_token(
    api: Api, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.process.poll() is None
    monkeypatch.setattr(server, "_LOCK_TRIES", 1)
    with pytest.raises(SettingsError, match="another operations API serves workspace 'main'"):
        server.run(ws, ready=print)
    for flags in ({"api.host": "0.0.0.0"}, {"api.host": "0.0.0.0", "api.token": ""}):  # noqa: S104
        opened = open_workspace(load(Path(ws.settings.root), {}, flags))
        with pytest.raises(SettingsError, match="BIKESHARE_API__TOKEN"):
            server.run(opened, ready=print)
