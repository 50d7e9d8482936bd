"""A retraining on a small simulated city with a real host: what is better goes to staging."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import deploy, features, ingest, records, serve
from mlops_bikeshare.flows.retrain import retrain, summary
from mlops_bikeshare.flows.runs import champion, training_run
from mlops_bikeshare.flows.train import Trained, train
from mlops_bikeshare.monitoring.metrics import MODEL, point
from mlops_bikeshare.registry import versions
from mlops_bikeshare.serving import endpoints
from mlops_bikeshare.settings import load
from mlops_bikeshare.sources.simulator.simulate import simulate
from mlops_bikeshare.training.split import Split

TOML = """
default_city = "small"
[training]
leaves = 15
max_rows = 20000
threads = 1
[retrain]
recent_days = 5
sliding_days = 20
seasons = ""
[serving]
port = 0
[cities.small]
timezone = "America/Toronto"
country = "CA"
"""
NOW = datetime(2025, 6, 17, tzinfo=UTC)
SPLIT = Split(
    Window.parse("2025-06-03..2025-06-05", key="train"),
    Window.parse("2025-06-05..2025-06-06", key="calibrate"),
    Window.parse("2025-06-06..2025-06-08", key="test"),
)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of a retraining; test_pictures.py draws some, and every demo all of them."""
    monkeypatch.setattr(training_run, "png", lambda *_: b"")


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    home = tmp_path_factory.mktemp("home")
    (home / "bikeshare.toml").write_text(TOML)
    made = simulate(
        stations=25, days=15, seed=3, start=date(2025, 6, 2), timezone="America/Toronto"
    )
    made.write(home / "recording")
    opened = open_workspace(load(home, {}, {"training.rounds": 2}), simulated=True)
    city = opened.settings.city()
    ingest.import_recording(opened, city, home / "recording")
    features.build(opened, city)
    opened.advance(NOW - timedelta(hours=1))
    prod = {"endpoint": opened.settings.endpoint("prod", city.name), "city": city.name}
    records.audit(opened, "deploy", why="the weak one", facts={**prod, "version": "1"})
    opened.advance(NOW)
    with serve.hosting(opened):
        yield opened


@pytest.fixture(scope="module")
def city(ws: Workspace) -> City:
    return ws.settings.city()


@pytest.fixture(scope="module")
def weak(ws: Workspace, city: City) -> Trained:
    """A champion of two trees, learned from two days."""
    return train(ws, city, SPLIT, alias=versions.CHAMPION)


def grown(ws: Workspace, rounds: int, **flags: float) -> Workspace:
    """The same workspace with other settings of training."""
    settings = load(ws.settings.root, {}, {"training.rounds": rounds, **flags})
    opened = open_workspace(settings, simulated=True)
    opened.advance(NOW)
    return opened


def aliases(city: City) -> dict[str, str | None]:
    found = {a: versions.find_if_any(city.registered_model, a) for a in versions.ALIASES}
    return {alias: version.version if version else None for alias, version in found.items()}


def test_a_quiet_champion_is_left_alone_and_a_check_writes_nothing(
    ws: Workspace, city: City, weak: Trained
) -> None:
    checked = retrain(ws, city, check=True)
    assert (checked.choice.row, checked.champion) == ("WAIT", weak.version)
    assert "quality of the champion is not known" in summary(checked)
    assert [entry["kind"] for entry in records.audited(ws)] == ["deploy"]
    assert retrain(ws, city).verdict is None
    assert [entry["kind"] for entry in records.audited(ws)] == ["deploy", "retrain"]


def test_figures_of_the_champion_before_say_nothing_of_this_one(
    ws: Workspace, city: City, weak: Trained
) -> None:
    of = {"EndpointName": ws.settings.endpoint("prod", city.name), "City": city.name}
    hours = [NOW - timedelta(hours=1 + hour) for hour in range(72)]
    ws.metrics.put([point("PR-AUC-24h", 0.3, at=at, dimensions=of) for at in hours])
    ws.metrics.put([point("DriftShare", 0.9, at=hours[0], dimensions=of)])

    found = champion.facts(ws, city, versions.find(city.registered_model, weak.version))

    assert (found.quality, found.quality_before, found.drift_share) == (None, None, None)


def test_bad_quality_trains_and_what_is_no_better_is_skipped(
    ws: Workspace, city: City, weak: Trained
) -> None:
    of = {"EndpointName": ws.settings.endpoint("prod", city.name), "City": city.name}
    ws.metrics.put([point("PR-AUC-24h", 0.5, at=NOW, dimensions=of)])
    demanding = grown(ws, 2, **{"retrain.least_gain": 0.5})
    done = retrain(demanding, city)
    assert (done.choice.row, done.choice.cause) == ("REACTIVE", "quality")
    assert done.verdict == "SKIP"
    assert all("is less than" in r or "not clear" in r for r in done.reasons)
    assert aliases(city) == {
        "champion": weak.version, "challenger": None, "previous_champion": None
    }  # fmt: skip
    kept = versions.find(city.registered_model, str(done.version))
    assert kept.tags["retrain_verdict"] == "SKIP"


def test_what_is_better_on_recent_days_is_deployed_to_staging_and_learned_from_neither_set(
    ws: Workspace, city: City, weak: Trained
) -> None:
    done = retrain(grown(ws, 80), city, force=True)
    assert (done.verdict, done.endpoint) == ("DEPLOY", "bikeshare-staging")
    assert aliases(city)["challenger"] == done.version
    state = endpoints.describe(ws.clients, "bikeshare-staging")
    assert state.leading.version == done.version
    assert done.split is not None
    assert done.split.held_out == SPLIT.test
    assert done.split.test == Window.parse("2025-06-12..2025-06-17", key="recent")
    assert done.split.calibrate.end <= done.split.test.start
    entries = records.audited(ws)
    frozen = [e["facts"]["frozen"] for e in entries if e["kind"] == "frozen days"]
    assert frozen == [str(SPLIT.test)]
    entry = entries[-1]
    assert (entry["kind"], entry["facts"]["verdict"]) == ("retrain", "DEPLOY")
    assert entry["facts"]["champion"] == weak.version


def test_a_challenger_whose_day_on_staging_is_not_over_is_not_replaced(
    ws: Workspace, city: City
) -> None:
    staged = aliases(city)["challenger"]

    done = retrain(grown(ws, 80), city)

    assert (done.choice.cause, done.verdict, done.endpoint) == ("quality", "DEPLOY", None)
    assert f"challenger {staged} stays on bikeshare-staging" in done.reasons[-1]
    assert aliases(city)["challenger"] == staged != done.version
    assert endpoints.describe(ws.clients, "bikeshare-staging").leading.version == staged
    assert records.audited(ws)[-1]["facts"]["endpoint"] is None


def test_a_verdict_is_on_record_though_staging_does_not_take_the_version(
    ws: Workspace, city: City, weak: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise EndpointError("no machine to be had")

    monkeypatch.setattr(deploy, "deploy", refuses)
    with pytest.raises(EndpointError, match="no machine"):
        retrain(grown(ws, 80), city, force=True)
    facts = records.audited(ws)[-1]["facts"]
    assert (facts["verdict"], facts["endpoint"]) == ("DEPLOY", None)
    kept = versions.find(city.registered_model, facts["version"])
    assert kept.tags["retrain_verdict"] == "DEPLOY"
    assert facts["champion"] == weak.version


def test_a_candidate_below_the_frozen_floor_is_rejected_though_it_is_newer(
    ws: Workspace, city: City, weak: Trained
) -> None:
    anchor = champion.anchor(
        ws, city, versions.find(city.registered_model, weak.version), freeze=True
    )
    champion.keep(ws, city, anchor)
    path = ws.path / "retrain" / "small.json"
    path.write_text(path.read_text().replace(str(anchor.floor["bikeout"]), "0.99"))
    done = retrain(grown(ws, 80), city, force=True)
    assert done.verdict == "REJECT"
    assert any("its floor 0.990" in reason for reason in done.reasons)
    path.unlink()


@pytest.mark.usefixtures("weak")
@pytest.mark.parametrize("force", [True, False])
def test_too_few_days_say_so_and_where_nobody_asked_they_are_an_alarm(
    ws: Workspace, city: City, *, force: bool
) -> None:
    later = grown(ws, 2, **{"retrain.recent_days": 12})
    later.advance(NOW + timedelta(minutes=10 if force else 20))
    with pytest.raises(InputError, match=r"wait for newer days|wait for more days"):
        retrain(later, city, force=force)
    failed = later.metrics.latest(
        MODEL, "RetrainFailures", {"City": city.name}, before=later.now, within_s=60
    )
    assert (failed and failed[1]) == (None if force else 1.0)
