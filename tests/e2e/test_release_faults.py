"""Faults of a release: killed anywhere, silently undone, tampered with, raced; nothing lies after.

A workspace with real versions on a real host; every test has a city, and so endpoints, of its own.
"""

import json
import multiprocessing
import random
import signal
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlparse

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, LakeError, ModelError, Refused
from mlops_bikeshare.domain.reports import GateReport
from mlops_bikeshare.domain.tables import MONITORING_AUDIT
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import deploy, gate, production, promote, records, serve, tracking, watch
from mlops_bikeshare.flows.judging import golden
from mlops_bikeshare.flows.releasing import execute, steps, vitals
from mlops_bikeshare.flows.releasing.expected import Expected
from mlops_bikeshare.monitoring.metrics import point
from mlops_bikeshare.registry import versions
from mlops_bikeshare.registry.artefact import artefact_digest
from mlops_bikeshare.registry.register import register
from mlops_bikeshare.release import guard
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.serving.archive import unpack
from mlops_bikeshare.settings import load
from tests.e2e import killing
from tests.e2e.versions import artifacts, rows

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2021, 9, 2, tzinfo=UTC)
CITIES = 200
# The long test takes every point of every command and counts them; these many there are at least.
SAMPLED = ("deploy", "promote", "rollback")
LEAST_POINTS = {"initial": 20, "deploy": 18, "promote": 36, "canary": 60, "rollback": 26}
TAGS = {
    f"test_{n}_{t}": "0.9"
    for n in ("pr_auc", "f1", "onset_brier_skill")
    for t in ("bikeout", "dockout")
}


class World:
    """The workspace, its host, and cities that share two trained versions."""

    def __init__(self, home: Path, ws: Workspace) -> None:
        self.home, self.ws, self.used = home, ws, 0
        first = ws.settings.city("c0")
        with tracking.run(ws, first, "versions", {}):
            made = [
                register(
                    artifacts(home / f"v{seed}", seed=seed), name="source", tags={}, probe=rows()
                )
                for seed in (1, 2)
            ]
        self.sources = [(self.client.get_model_version("source", v.version), v) for v in made]

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient()

    def city(self) -> City:
        """A city whose versions 1 and 2 are registered, 2 as challenger."""
        self.used += 1
        city = self.ws.settings.city(f"c{self.used}")
        self.client.create_registered_model(city.registered_model)
        for found, version in self.sources:
            self.register(city, found.source, version.digest)
        versions.move_alias(city.registered_model, "challenger", "2", expected=None)
        return city

    def register(self, city: City, source: str, digest: str) -> None:
        tags = {**TAGS, versions.DIGEST_TAG: digest}
        self.client.create_model_version(
            city.registered_model, source, tags=tags, await_creation_for=0
        )

    def served(self) -> City:
        """Version 1 in production."""
        city = self.city()
        deploy.deploy(self.ws, city, version="1", initial=True)
        return city

    def judged(self, *, staging: bool = False, version: str = "2") -> City:
        """And version 2 passed the gate."""
        city = self.served()
        if staging:
            deploy.deploy(self.ws, city, version=version)
        self.passes(city, version)
        return city

    def passes(self, city: City, version: str, *, at: datetime | None = None) -> None:
        found = versions.find(city.registered_model, version)
        staging = self.ws.settings.endpoint("staging", city.name)
        champion = versions.find_if_any(city.registered_model, versions.CHAMPION)
        report = GateReport(
            verdict="pass", city=city.name, endpoint=staging,
            model_version=version, artefact_digest=found.digest, window=Window.before(NOW),
            judged_at=at or self.ws.now, checks=(),
            pinned={"champion_version": champion.version} if champion else {},
        )  # fmt: skip
        records.keep_gate(self.ws, report, table="", junit="")
        records.audit(self.ws, "gate", why="verdict pass", facts=records.facts(report))

    def prod(self, city: City) -> endpoints.EndpointState:
        return endpoints.describe(self.ws.clients, self.ws.settings.endpoint("prod", city.name))

    def kinds(self, city: City) -> list[str]:
        told = records.audited(self.ws)
        mine = [e["kind"] for e in told if e["facts"].get("city") == city.name]
        return [kind for kind in mine if kind != "gate"]

    def state(self, city: City) -> tuple[str | None, dict[str, str]]:
        """The version that production serves alone, and the aliases."""
        prod = self.prod(city)
        assert prod.status == "InService"
        assert [v.name for v in prod.variants if v.weight > 0] == [prod.leading.name]
        return prod.leading.version, steps.aliases(city)

    def empty(self, city: City) -> None:
        """Its endpoints deleted: hundreds that nobody asks any more would fill the memory."""
        for stage in ("staging", "prod"):
            name = self.ws.settings.endpoint(stage, city.name)
            if endpoints.find(self.ws.clients, name) is not None:
                endpoints.delete_endpoint(self.ws.clients, name, timeout_s=60)

    def killed(self, city: City, command: str, kill_at: int) -> int | None:
        """Run a command that is killed at a point; the number of points when it came to its end."""
        counted = self.home / f"{city.name}-{command}-{kill_at}"
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(killing.PRELOADED)
        child = context.Process(
            target=killing.run, args=(self.home, city.name, command, kill_at, counted)
        )
        child.start()
        child.join()
        if counted.exists():
            return int(counted.read_text())
        assert child.exitcode == -signal.SIGKILL
        return None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("release")
    text = (ROOT / "bikeshare.toml").read_text()
    for number in range(CITIES):
        text += f'\n[cities.c{number}]\ntimezone = "America/Toronto"\ncountry = "CA"\n'
    (home / "bikeshare.toml").write_text(text)
    settings = load(home, {"BIKESHARE_HOME": str(home)}, {"serving.port": 0})
    ws = open_workspace(settings.with_workspace("release"), simulated=True)
    ws.advance(NOW)
    tracking.connect(ws)
    with serve.hosting(ws):
        yield World(home, ws)


def prepared(world: World, command: str) -> City:
    if command == "initial":
        return world.city()
    if command == "deploy":
        return world.served()
    city = world.judged(staging=command == "canary")
    if command == "rollback":
        promote.promote(world.ws, city)
    return city


def check_end(world: World, city: City, command: str) -> None:
    """What a command leaves, however often it was interrupted: once, whole, and verified."""
    kinds = world.kinds(city)
    if command == "deploy":
        staging = world.ws.settings.endpoint("staging", city.name)
        assert endpoints.describe(world.ws.clients, staging).leading.version == "2"
        assert kinds == ["deploy", "deploy"]
        return
    ends = {
        "initial": ("1", {"champion": "1", "challenger": "2"}, ["deploy"]),
        "promote": ("2", {"champion": "2", "previous_champion": "1"}, ["deploy", "promotion"]),
        "canary": (
            "2", {"champion": "2", "previous_champion": "1"}, ["deploy", "deploy", "promotion"],
        ),
        "rollback": (
            "1", {"champion": "1", "challenger": "2"}, ["deploy", "promotion", "rollback"],
        ),
    }  # fmt: skip
    version, aliases, decided = ends[command]
    assert world.state(city) == (version, aliases)
    assert [k for k in kinds if k in {"deploy", "promotion", "rollback"}] == decided
    assert not any("failed" in kind for kind in kinds)
    if command == "canary":
        assert kinds.count("canary") == 3
    if command in {"promote", "canary"}:
        assert kinds.count("dashboard") == kinds.count("alarms") == 1
    assert execute.unfinished(world.ws, world.prod(city).name) is None


def kill_and_finish(world: World, command: str, kill_at: int) -> None:
    city = prepared(world, command)
    assert world.killed(city, command, kill_at) is None
    killing.COMMANDS[command](world.ws, city)
    check_end(world, city, command)
    world.empty(city)


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "judge_hold", lambda *_, **__: guard.Held(decision="go", checks=()))


@pytest.mark.usefixtures("proven")
@pytest.mark.parametrize("command", SAMPLED)
def test_killed_at_a_sampled_point_a_release_is_finished_by_the_next_call(
    world: World, command: str
) -> None:
    kill_and_finish(
        world, command, random.Random(f"kill {command}").randrange(LEAST_POINTS[command])
    )


@pytest.mark.long
@pytest.mark.usefixtures("proven")
@pytest.mark.parametrize("command", LEAST_POINTS)
def test_killed_at_any_point_a_release_is_finished_by_the_next_call(
    world: World, command: str
) -> None:
    points = world.killed(prepared(world, command), command, -1)
    assert points is not None
    assert points >= LEAST_POINTS[command]
    for kill_at in range(points - 1):
        kill_and_finish(world, command, kill_at)
    city = prepared(world, command)
    assert world.killed(city, command, points - 1) is None  # its last line was written
    check_end(world, city, command)


def test_an_endpoint_that_silently_restores_the_old_config_stops_the_promotion(
    world: World, tmp_path: Path
) -> None:
    city = world.served()
    broken = versions.download(versions.find(city.registered_model, "2"), tmp_path)
    booster = broken / "artifacts" / "bikeout.txt"
    booster.write_text("no trees here")
    world.register(city, str(broken), artefact_digest(broken))
    versions.move_alias(city.registered_model, "challenger", "3", expected="2")
    world.passes(city, "3")
    before = world.state(city), world.prod(city).config

    with pytest.raises(EndpointError, match=r"refused config .* and restored"):
        promote.promote(world.ws, city)

    assert (world.state(city), world.prod(city).config) == before
    assert world.kinds(city) == ["deploy", "promotion failed"]


def test_a_model_that_answers_nan_reaches_neither_staging_nor_production(
    world: World, tmp_path: Path
) -> None:
    city = world.served()
    spoilt = versions.download(versions.find(city.registered_model, "2"), tmp_path)
    scorer = spoilt / "artifacts" / "scorer.json"
    scorer.write_text(scorer.read_text().replace('"c": 0.1', '"c": NaN'))
    world.register(city, str(spoilt), artefact_digest(spoilt))
    versions.move_alias(city.registered_model, "challenger", "3", expected="2")
    world.passes(city, "3")
    before = world.state(city)

    with pytest.raises(EndpointError):
        deploy.deploy(world.ws, city, version="3")
    failed = records.audited(world.ws)[-1]
    assert (failed["kind"], failed["facts"]["version"]) == ("deploy failed", None)
    with pytest.raises(EndpointError):
        promote.promote(world.ws, city)
    assert records.audited(world.ws)[-1]["facts"]["version"] == "1"

    staging = world.ws.settings.endpoint("staging", city.name)
    assert endpoints.find(world.ws.clients, staging) is None
    assert world.state(city) == before


def test_a_model_of_another_city_reaches_neither_staging_nor_production(world: World) -> None:
    city = world.served()
    source, version = world.sources[1]
    tags = {**TAGS, versions.DIGEST_TAG: version.digest, versions.CITY_TAG: "c0"}
    world.client.create_model_version(
        city.registered_model, source.source, tags=tags, await_creation_for=0
    )
    versions.move_alias(city.registered_model, "challenger", "3", expected="2")
    world.passes(city, "3")
    before = world.state(city)

    with pytest.raises(ModelError, match="learned from c0"):
        deploy.deploy(world.ws, city, version="3")
    with pytest.raises(ModelError, match="learned from c0"):
        promote.promote(world.ws, city)

    staging = world.ws.settings.endpoint("staging", city.name)
    assert endpoints.find(world.ws.clients, staging) is None
    assert world.state(city) == before


@pytest.mark.usefixtures("proven")
def test_a_tampered_archive_gets_no_traffic(world: World, tmp_path: Path) -> None:
    city = world.judged(staging=True)
    staging = world.ws.settings.endpoint("staging", city.name)
    tamper(world, endpoints.describe(world.ws.clients, staging).leading.model_data_url, tmp_path)
    before = world.state(city), world.prod(city).config

    with pytest.raises(EndpointError, match="serves an archive with digest"):
        promote.canary(world.ws, city)

    assert (world.state(city), world.prod(city).config) == before
    assert "canary" not in world.kinds(city)


def tamper(world: World, url: str, folder: Path) -> None:
    """Make a table of the archive another one, so that it loads and answers as before."""
    bucket, key = urlparse(url).netloc, urlparse(url).path.removeprefix("/")
    archive, files = folder / "model.tar.gz", folder / "files"
    world.ws.clients.s3.download_file(bucket, key, str(archive))
    files.mkdir()
    unpack(archive, files)
    (files / "artifacts" / "persistence.json").write_text(json.dumps({"bikeout": {}}))
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(files, arcname=".")
    world.ws.clients.s3.upload_file(str(archive), bucket, key)


def test_answers_unlike_the_registrys_model_are_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = world.judged()
    honest = golden._registered
    monkeypatch.setattr(golden, "_registered", lambda folder, asked: honest(folder, asked) + 1e-8)

    with pytest.raises(EndpointError, match="answers the golden batch unlike version 2"):
        promote.promote(world.ws, city)

    assert world.state(city)[0] == "1"


@pytest.mark.parametrize("failed_before", [True, False])
def test_an_alarm_that_the_new_version_sets_off_takes_it_back_one_from_before_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch, *, failed_before: bool
) -> None:
    city = world.judged()
    world.ws.advance(world.ws.now + timedelta(minutes=5))
    if failed_before:
        failing(world, city)
        world.ws.advance(world.ws.now + timedelta(minutes=5))
    honest = golden.verify

    def verify(*args: Any, **kwargs: Any) -> None:
        honest(*args, **kwargs)
        world.ws.advance(world.ws.now + timedelta(minutes=1))
        if not failed_before:
            failing(world, city)

    monkeypatch.setattr(golden, "verify", verify)
    if failed_before:
        done = promote.promote(world.ws, city)
        fires, _, unsure = promote.summary(world.ws, done).partition("not enough data")
        assert "not confirmed quiet: firing: " in fires
        assert "errors-5xx" in fires
        assert "latency-warn" in unsure
        return
    with pytest.raises(Refused, match=r"since version 2 is there: firing: .*errors-5xx"):
        promote.promote(world.ws, city)
    assert world.state(city) == ("1", {"champion": "1", "challenger": "2"})
    assert world.kinds(city) == ["deploy", "promotion failed"]


def test_a_champion_alias_that_was_moved_by_hand_stops_a_promotion(world: World) -> None:
    city = world.judged()
    versions.move_alias(city.registered_model, "champion", "2", expected="1")
    with pytest.raises(Refused, match="moved by hand"):
        promote.promote(world.ws, city)
    assert world.kinds(city) == ["deploy"]


def test_an_alias_moved_while_a_promotion_runs_is_left_alone_and_the_endpoint_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = world.judged()
    honest = golden.verify

    def verify(*args: Any, **kwargs: Any) -> None:
        honest(*args, **kwargs)
        versions.move_alias(city.registered_model, "previous_champion", "2", expected=None)

    monkeypatch.setattr(golden, "verify", verify)
    with pytest.raises(ModelError, match="was moved meanwhile"):
        promote.promote(world.ws, city)

    moved = {"champion": "1", "challenger": "2", "previous_champion": "2"}
    assert world.state(city) == ("1", moved)


def test_of_two_promotions_at_once_one_is_refused_and_changes_nothing(world: World) -> None:
    city = world.judged()
    with execute.alone(world.ws), pytest.raises(Refused, match="another promotion or rollback"):
        promote.promote(world.ws, city)
    assert world.kinds(city) == ["deploy"]
    assert promote.promote(world.ws, city).to_version == "2"


def test_a_verdict_of_the_future_is_refused(world: World) -> None:
    city = world.served()
    world.passes(city, "2", at=world.ws.now + timedelta(minutes=1))
    with pytest.raises(Refused, match="it holds for 60 min"):
        promote.promote(world.ws, city)
    assert world.state(city)[0] == "1"


def test_a_canary_comes_back_by_hand_to_the_config_from_before(world: World) -> None:
    city = world.judged(staging=True)
    config = world.prod(city).config

    held = promote.canary(world.ws, city)

    assert isinstance(held, promote.Holding)
    assert held.shares == {"1": 0.9, "2": 0.1}
    with pytest.raises(Refused, match="goes on with it"):
        promote.promote(world.ws, city)
    with pytest.raises(Refused, match="a canary of its version rests"):
        production.stop_staging(world.ws, city)
    back = promote.rollback(world.ws, city, reason="riders complain")
    assert (back.from_version, back.to_version) == ("2", "1")
    assert (world.state(city)[0], world.prod(city).config) == ("1", config)
    told = production.tell(world.ws, city).reigns
    assert [(r.kind, r.shares) for r in told] == [
        ("deploy", {"1": 1.0}), ("canary", {"1": 0.9, "2": 0.1}), ("promotion failed", {"1": 1.0}),
    ]  # fmt: skip
    assert (world.ws.path / "incidents").is_dir()


def test_a_canary_whose_vitals_cannot_be_read_waits_where_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = world.judged(staging=True)
    promote.canary(world.ws, city)
    world.ws.advance(world.ws.now + timedelta(minutes=10))

    def held(error: Exception, *broken: tuple[Any, str]) -> promote.Holding:
        with monkeypatch.context() as patch:
            for module, name in broken:
                patch.setattr(module, name, _raising(error))
            found = promote.canary(world.ws, city)
        assert isinstance(found, promote.Holding)
        assert str(error) in found.waits_for
        return found

    partly = LakeError("CloudWatch answered in part")
    assert held(partly, (vitals, "of_canary")).shares == {"1": 0.9, "2": 0.1}
    assert held(EndpointError("no endpoint host runs"), (endpoints, "describe")).shares == {}
    assert not any("failed" in kind for kind in world.kinds(city))


def _raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.usefixtures("proven")
def test_after_a_canary_the_way_back_is_by_weights_alone(world: World) -> None:
    city = world.judged(staging=True)
    assert isinstance(promote.canary(world.ws, city), promote.Moved)
    config = world.prod(city).config

    back = promote.rollback(world.ws, city, reason="test")

    assert (back.to_version, back.endpoint_config) == ("1", config)
    assert world.prod(city).weights == {"Baseline": 1.0, "Candidate": 0.0}
    assert back.seconds < 10


@pytest.mark.usefixtures("proven")
def test_going_back_to_a_landed_canary_serves_no_older_version_even_for_one_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = world.judged(staging=True)
    promote.canary(world.ws, city)
    landed = world.prod(city).config
    world.register(city, world.sources[0][0].source, world.sources[0][1].digest)
    versions.move_alias(city.registered_model, "challenger", "3", expected=None)
    world.passes(city, "3")
    honest, served = endpoints.wait_in_service, []

    def waited(*args: Any, **kwargs: Any) -> endpoints.EndpointState:
        state = honest(*args, **kwargs)
        served.append({v.version for v in state.variants if v.weight > 0})
        return state

    monkeypatch.setattr(endpoints, "wait_in_service", waited)
    with monkeypatch.context() as patch:
        patch.setattr(golden, "verify", _raising(EndpointError("it answers nonsense")))
        with pytest.raises(EndpointError, match="nonsense"):
            promote.promote(world.ws, city)

    assert served == [{"3"}, {"2"}]
    assert world.prod(city).weights == {"Candidate": 1.0, "Baseline": 0.0}
    failed = records.audited(world.ws)[-1]["facts"]
    assert failed["endpoint_config"] == world.prod(city).config != landed
    assert promote.rollback(world.ws, city, reason="test").to_version == "1"


@pytest.mark.usefixtures("proven")
def test_a_canary_lands_although_a_training_made_a_newer_challenger_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = world.judged(staging=True)
    with monkeypatch.context() as patch:
        patch.setattr(guard, "judge_hold", lambda *_, **__: guard.Held(decision="hold", checks=()))
        assert isinstance(promote.canary(world.ws, city), promote.Holding)
    world.register(city, world.sources[0][0].source, world.sources[0][1].digest)
    versions.move_alias(city.registered_model, "challenger", "3", expected="2")

    assert isinstance(promote.canary(world.ws, city), promote.Moved)

    aliases = {"champion": "2", "previous_champion": "1", "challenger": "3"}
    assert world.state(city) == ("2", aliases)


def test_a_rollback_finishes_no_deploy_and_no_way_back_to_another_version(world: World) -> None:
    fresh = world.city()
    assert world.killed(fresh, "initial", 12) is None
    with pytest.raises(Refused, match=r"deploy .* is not finished.* `bikeshare deploy --alias 1"):
        promote.rollback(world.ws, fresh, reason="test")
    assert "deploy" not in world.kinds(fresh)

    city = prepared(world, "rollback")
    assert world.killed(city, "rollback", 8) is None
    with pytest.raises(Refused, match=r"version 2 was asked for; .* ends it with version 1"):
        promote.rollback(world.ws, city, reason="test", to="2")
    assert "rollback" not in world.kinds(city)
    assert promote.rollback(world.ws, city, reason="test", to="1").to_version == "1"


@pytest.mark.long
def test_any_earlier_version_comes_back_and_a_stranger_does_not(world: World) -> None:
    city = world.judged()
    promote.promote(world.ws, city)
    promote.rollback(world.ws, city, reason="test")

    again = promote.rollback(world.ws, city, reason="it was right after all", to="2")

    assert (again.from_version, again.to_version) == ("1", "2")
    assert world.state(city)[1]["champion"] == "2"
    world.register(city, world.sources[0][0].source, world.sources[0][1].digest)
    with pytest.raises(Refused, match="version 3 was never in production"):
        promote.rollback(world.ws, city, reason="test", to="3")


def test_a_server_error_in_production_rolls_it_back_and_leaves_a_folder(world: World) -> None:
    city = world.judged()
    done = promote.promote(world.ws, city)
    assert watch.watch(world.ws, city).moved is None
    world.ws.advance(world.ws.now + timedelta(minutes=10))
    failing(world, city)

    seen = watch.watch(world.ws, city)

    assert seen.moved is not None
    assert seen.moved.to_version == "1"
    assert world.state(city) == ("1", {"champion": "1", "challenger": "2"})
    (folder,) = (world.ws.path / "incidents").glob(f"rollback-{done.endpoint}-*")
    assert {path.name for path in folder.iterdir()} == {
        "incident.json", "gate.json", "timeline.json", "metrics.json", "metrics.png",
        "predictions.parquet",
    }  # fmt: skip
    assert "Invocation5XXErrors" in json.loads((folder / "incident.json").read_text())["trigger"][0]
    assert watch.watch(world.ws, city).moved is None


def test_a_trigger_with_nothing_to_roll_back_to_is_told_beside_the_alarms(world: World) -> None:
    city = world.served()
    world.ws.advance(world.ws.now + timedelta(minutes=10))
    failing(world, city)

    seen = watch.watch(world.ws, city)

    assert seen.moved is None
    assert "no earlier version to go back to" in str(seen.stuck)
    assert seen.alarms
    assert "not rolled back" in watch.summary(seen)
    assert world.kinds(city) == ["deploy"]


def failing(world: World, city: City) -> None:
    state = world.prod(city)
    of = {"EndpointName": state.name, "VariantName": state.leading.name}
    world.ws.metrics.put([point("Invocation5XXErrors", 1, at=world.ws.now, dimensions=of)])


def test_a_rollback_that_was_killed_is_finished_by_watch_without_a_trigger(world: World) -> None:
    city = prepared(world, "rollback")
    assert world.killed(city, "rollback", 8) is None
    world.ws.advance(world.ws.now + timedelta(minutes=10))

    seen = watch.watch(world.ws, city)

    assert seen.triggers == ()
    assert seen.moved is not None
    assert seen.moved.to_version == "1"
    check_end(world, city, "rollback")
    assert watch.watch(world.ws, city).moved is None


@pytest.mark.parametrize("by", ["rollback", "watch"])
def test_what_ends_a_promotion_that_was_half_taken_back_goes_no_further_back(
    world: World, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    city = world.judged()
    promote.promote(world.ws, city)
    world.register(city, world.sources[0][0].source, world.sources[0][1].digest)
    versions.move_alias(city.registered_model, "challenger", "3", expected=None)
    world.passes(city, "3")
    with monkeypatch.context() as patch:
        patch.setattr(golden, "verify", _raising(EndpointError("it answers nonsense")))
        patch.setattr(endpoints, "restore_config", _raising(EndpointError("no host runs")))
        with pytest.raises(EndpointError, match="no host runs"):
            promote.promote(world.ws, city)
    assert world.prod(city).leading.version == "3"

    if by == "watch":
        back = watch.watch(world.ws, city).moved
    else:
        back = promote.rollback(world.ws, city, reason="riders complain")

    assert back is not None
    assert (back.kind, back.from_version, back.to_version) == ("rollback", "3", "2")
    assert world.state(city)[0] == "2"
    assert world.kinds(city)[-1] == "promotion failed"


def test_the_audit_is_a_table_too_and_tells_who_was_in_production_when(world: World) -> None:
    city = world.judged()
    before = world.ws.now
    world.ws.advance(before + timedelta(minutes=10))
    promote.promote(world.ws, city)

    table = world.ws.lake.read(MONITORING_AUDIT, city=city.name)
    told = [e for e in records.audited(world.ws) if e["facts"].get("city") == city.name]

    assert sorted(table["digest"]) == sorted(e["digest"] for e in told)
    assert set(table["kind"]) == {"deploy", "gate", "promotion", "dashboard", "alarms"}
    for at, version in ((before, "1"), (world.ws.now, "2")):
        (reign,) = production.tell(world.ws, city, at=at).reigns
        assert reign.version == version
    tags = versions.find(city.registered_model, "2").tags
    assert tags["promotion_why"] == "gate passed"
    assert tags["promotion_audit"] in set(table["digest"])
    until = world.ws.now + timedelta(hours=2)
    prod = world.prod(city).name
    gate.waive(world.ws, city, check="PSI", reason="holiday", until=until, endpoint=prod)
    promote.rollback(world.ws, city, reason="riders complain")
    tags = versions.find(city.registered_model, "2").tags
    digests = {e["kind"]: e["digest"] for e in records.audited(world.ws)}
    assert (tags["waiver_check"], tags["waiver_why"]) == ("PSI", "holiday")
    assert (tags["rolled_back_why"], tags["rolled_back_version"]) == ("riders complain", "1")
    back = versions.find(city.registered_model, "1").tags
    found = [tags["waiver_audit"], tags["rolled_back_audit"], back["rollback_audit"]]
    assert found == [digests["waiver"], digests["rollback"], digests["rollback"]]
    assert world.ws.sm_endpoint == world.ws.settings.endpoint("prod", city.name)


def test_whether_the_approved_version_moves_is_asked_inside_the_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = world.judged()
    alone = execute.alone

    @contextmanager
    def waited(ws: Workspace) -> Iterator[None]:
        versions.move_alias(city.registered_model, "challenger", "1", expected="2")
        with alone(ws):
            yield

    monkeypatch.setattr(execute, "alone", waited)
    with pytest.raises(Refused, match="the challenger is version 1, not 2"):
        promote.promote(world.ws, city, approved=Expected(version="2"))
    assert world.state(city)[0] == "1"


def test_whether_staging_is_needed_is_asked_inside_the_lock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = world.judged(staging=True)
    alone = execute.alone

    @contextmanager
    def waited(ws: Workspace) -> Iterator[None]:
        promote.canary(ws, city)  # who had the lock before began a canary
        with alone(ws):
            yield

    monkeypatch.setattr(production, "execute", SimpleNamespace(alone=waited))
    with pytest.raises(Refused, match="a canary of its version rests"):
        production.stop_staging(world.ws, city)


@pytest.mark.long
def test_staging_is_stopped_or_moved_when_nothing_needs_it(world: World) -> None:
    city = world.judged(staging=True)
    resized = production.resize_staging(world.ws, city, instance_type="ml.t2.medium")
    state = endpoints.describe(world.ws.clients, resized.endpoint)
    config = world.ws.clients.sagemaker.describe_endpoint_config(EndpointConfigName=state.config)
    assert config["ProductionVariants"][0]["InstanceType"] == "ml.t2.medium"
    assert state.leading.version == "2"
    production.stop_staging(world.ws, city)
    assert endpoints.find(world.ws.clients, resized.endpoint) is None
    assert production.start_staging(world.ws, city).running
    again = endpoints.describe(world.ws.clients, resized.endpoint)
    assert (again.status, again.config, again.leading.version) == ("InService", state.config, "2")
    assert production.start_staging(world.ws, city).running, "it runs: nothing to do"
