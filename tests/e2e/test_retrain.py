"""A retraining on a small simulated city with a real host: what is better goes to staging."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.domain.city import City
from mlops_bikeshare.domain.errors import EndpointError, InputError
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.flows import deploy, features, ingest, records, serve
from mlops_bikeshare.flows.retrain import retrain, summary
from mlops_bikeshare.flows.runs import champion
from mlops_bikeshare.flows.train import Trained, train
from mlops_bikeshare.monitoring.metrics import point
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
    assert not records.audited(ws)
    assert retrain(ws, city).verdict is None
    assert [entry["kind"] for entry in records.audited(ws)] == ["retrain"]


def test_bad_quality_trains_and_what_is_no_better_is_skipped(
    ws: Workspace, city: City, weak: Trained
) -> None:
    of = {"EndpointName": ws.settings.endpoint("prod", city.name), "City": city.name}
    ws.metrics.put([point("PR-AUC-24h", 0.5, at=NOW, dimensions=of)])
    done = retrain(grown(ws, 2), city)
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
def test_too_few_days_since_the_champion_say_so(ws: Workspace, city: City) -> None:
    with pytest.raises(InputError, match=r"wait for newer days|wait for more days"):
        retrain(grown(ws, 2, **{"retrain.recent_days": 12}), city, force=True)
