"""The artefact contract: trained, registered, archived, and used where this project is not."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.targets import HORIZONS_MIN, TARGETS, probability_column
from mlops_bikeshare.domain.windows import Window
from mlops_bikeshare.registry.artefact import (
    TargetFiles,
    artefact_digest,
    read_thresholds,
    write_artifacts,
)
from mlops_bikeshare.registry.register import register
from mlops_bikeshare.registry.scorer import Scorer
from mlops_bikeshare.registry.versions import (
    ANYTHING,
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    ModelVersion,
    download,
    find,
    find_if_any,
    move_alias,
    versions,
)
from mlops_bikeshare.training.candidate import HORIZON_FEATURE, train_candidate
from mlops_bikeshare.training.fit import FitParams
from mlops_bikeshare.training.split import Split
from mlops_bikeshare.training.table import Plan, TrainingTable

# SQLAlchemy 2.1 deprecates a loader that MLflow 3.17 uses.

Rows = NDArray[np.intp]
Horizons = NDArray[np.int16]
Labels = NDArray[np.float32]
FEATURES = ("num_bikes_available", "hour", "noise")
NAME = "bikeshare-contract"

STRANGER = """
import importlib.util, json, sys
import pandas as pd
assert importlib.util.find_spec("mlops_bikeshare") is None, "the package is importable here"
model, rows, out = sys.argv[1:]
frame = pd.read_parquet(rows)
sys.path.insert(0, model + "/code")
from scorer import Scorer
Scorer.load(model + "/artifacts").predict(frame).to_parquet(out + "/scorer.parquet")
assert "mlflow" not in sys.modules, "the scorer needs mlflow"
import mlflow
mlflow.pyfunc.load_model(model).predict(frame).to_parquet(out + "/pyfunc.parquet")
"""


@dataclass(frozen=True)
class World:
    """A registry with one version, the artifacts it came from, and rows to ask it."""

    version: ModelVersion
    artifacts: Path
    rows: pd.DataFrame
    experiment_id: str


def small_table() -> TrainingTable:
    """Five days of eight stations: who has few bikes will soon have none."""
    rng = np.random.default_rng(3)
    dt = np.repeat(np.arange(0, 5 * 86_400, 600), 8)
    station = np.tile(np.arange(8), 5 * 144)
    bikes = rng.integers(0, 21, len(dt))
    columns = [bikes, dt % 86_400 // 3600, rng.random(len(dt))]

    def labels(target: str, rows: Rows, horizon_min: Horizons) -> Labels:
        noise = np.random.default_rng(4).normal(0, 0.05, len(dt))[rows] * horizon_min
        count = bikes[rows] if target == "bikeout" else 20 - bikes[rows]
        return np.asarray(count + noise <= 4, dtype=np.float32)

    return TrainingTable(
        names=FEATURES,
        features=np.column_stack(columns).astype(np.float32),
        station_ids=[f"{i:03}" for i in range(8)],
        station=station,
        dt=dt.astype(np.int64),
        counts={"bikeout": bikes, "dockout": 20 - bikes},
        labels=labels,
    )


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of a candidate trained on the small table."""
    split = Split(
        Window.parse("1970-01-01..1970-01-04", key="train"),
        Window.parse("1970-01-04..1970-01-06", key="calibrate"),
    )
    candidate = train_candidate(
        small_table(), split, plan=Plan(params=FitParams(rounds=15, threads=1)), by_range=["hour"]
    )
    targets = {
        target.name: TargetFiles(
            boosters={h: b.text for h, b in candidate.boosters[target.name].parts.items()},
            column=target.probability,
            calibrators=candidate.calibrations[target.name].to_json(),
            threshold=candidate.calibrations[target.name].threshold,
            persistence=candidate.persistence[target.name].to_json(),
        )
        for target in TARGETS
    }
    return write_artifacts(
        tmp_path_factory.mktemp("candidate") / "artifacts",
        targets=targets,
        features=FEATURES,
        horizon_feature=HORIZON_FEATURE,
        horizons_min=HORIZONS_MIN,
        reference=candidate.reference,
    )


@pytest.fixture(scope="module")
def world(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry of its own, restored afterwards, with the first version registered."""
    root = tmp_path_factory.mktemp("registry")
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(f"sqlite:///{root / 'mlflow.db'}")
    experiment_id = mlflow.create_experiment(
        "contract", artifact_location=(root / "artifacts").as_uri()
    )
    rng = np.random.default_rng(5)
    values = rng.random((40, len(FEATURES)), dtype=np.float32) * 20
    values[::7, 2] = np.nan
    rows = pd.DataFrame(values, columns=list(FEATURES))
    with mlflow.start_run(experiment_id=experiment_id):
        version = register(artifacts, name=NAME, tags={"git": "abc"}, probe=rows)
    yield World(version, artifacts, rows, experiment_id)
    mlflow.set_tracking_uri(before)


@pytest.fixture
def unpacked(world: World, tmp_path: Path) -> Path:
    """The version after a trip through a tarball."""
    folder = download(world.version, tmp_path / "download")
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=".")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "elsewhere", filter="data")
    return tmp_path / "elsewhere"


@pytest.fixture
def strange_python(tmp_path: Path) -> Path:
    """A virtual environment with our libraries and without our package."""
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    theirs = next(home.glob("lib/python3*/site-packages"))
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        ours = path.name.startswith(("mlops_bikeshare", "__editable__", "projects", "dashboards"))
        if not ours and path.suffix != ".pth":
            (theirs / path.name).symlink_to(path)
    return home / "bin" / "python"


def test_an_archived_version_answers_alike_where_the_package_is_not_installed(
    world: World, unpacked: Path, strange_python: Path, tmp_path: Path
) -> None:
    world.rows.to_parquet(tmp_path / "rows.parquet")
    out, cwd = tmp_path / "out", tmp_path / "empty"
    out.mkdir()
    cwd.mkdir()
    ran = subprocess.run(
        [strange_python, "-I", "-c", STRANGER, unpacked, tmp_path / "rows.parquet", out],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    expected = Scorer.load(str(world.artifacts)).predict(world.rows)
    for answer in ("scorer", "pyfunc"):
        found = pd.read_parquet(out / f"{answer}.parquet")
        pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-12)


def test_the_archive_has_the_digest_that_was_registered(world: World, unpacked: Path) -> None:
    assert (
        artefact_digest(unpacked) == world.version.digest == world.version.tags["artefact_digest"]
    )


def test_what_loading_leaves_in_the_store_is_not_part_of_a_version(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    mlflow.pyfunc.load_model(world.version.uri).predict(world.rows)
    folder = download(world.version, tmp_path / "first")
    mlflow.pyfunc.load_model(str(folder)).predict(world.rows)
    assert list(folder.rglob("*.pyc"))
    again = download(world.version, tmp_path / "second")
    assert not list(again.rglob("*.pyc"))
    assert artefact_digest(again) == world.version.digest


def test_two_versions_in_one_process_keep_their_own_arithmetic(
    world: World, unpacked: Path
) -> None:
    first = mlflow.pyfunc.load_model(world.version.uri)
    code = unpacked / "code" / "scorer" / "__init__.py"
    text = code.read_text(encoding="utf-8")
    code.write_text(text.replace("answer: Floats = 0.5 *", "answer: Floats = 0.25 *"), "utf-8")
    second = mlflow.pyfunc.load_model(str(unpacked))
    np.testing.assert_allclose(second.predict(world.rows) * 2, first.predict(world.rows))


def test_the_layout_is_what_the_host_expects(unpacked: Path) -> None:
    names = {path.name for path in (unpacked / "artifacts").iterdir()}
    assert names == {
        "bikeout_10.txt",
        "bikeout_30.txt",
        "dockout_10.txt",
        "dockout_30.txt",
        "scorer.json",
        "reference.json",
        "persistence.json",
    }
    code = {path.relative_to(unpacked).as_posix() for path in (unpacked / "code").rglob("*.*")}
    assert code == {f"code/scorer/{name}.py" for name in ("__init__", "forest", "trees")}
    model = mlflow.models.Model.load(str(unpacked))
    assert model.metadata == {"scorer": "scorer:Scorer"}
    answers = [probability_column(t, horizon_min=h) for t in TARGETS for h in HORIZONS_MIN]
    assert model.signature.outputs.input_names() == answers
    assert read_thresholds(unpacked / "artifacts").keys() == {"bikeout", "dockout"}
    ranges = json.loads((unpacked / "artifacts" / "reference.json").read_text("utf-8"))["range"]
    assert ranges == {"hour": [0.0, 23.0]}


def test_the_signature_refuses_a_missing_column(world: World) -> None:
    loaded = mlflow.pyfunc.load_model(world.version.uri)
    with pytest.raises(mlflow.exceptions.MlflowException, match="hour"):
        loaded.predict(world.rows.drop(columns="hour"))


def test_a_model_that_does_not_work_is_not_registered(
    world: World, artifacts: Path, tmp_path: Path
) -> None:
    for path in artifacts.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "dockout_30.txt").write_text("not trees", encoding="utf-8")
    before = versions(NAME)
    with (
        mlflow.start_run(experiment_id=world.experiment_id),
        pytest.raises(ModelError, match="does not load and predict"),
    ):
        register(tmp_path, name=NAME, tags={}, probe=world.rows)
    assert versions(NAME) == before


def test_aliases_move_only_from_where_they_were_expected(world: World) -> None:
    number = world.version.version
    assert find_if_any(NAME, CHALLENGER) is None
    move_alias(NAME, CHALLENGER, number, expected=None)
    assert find(NAME, CHALLENGER).tags["stage"] == CHALLENGER
    with pytest.raises(ModelError, match="stands for version 1, expected no version"):
        move_alias(NAME, CHALLENGER, None, expected=None)
    move_alias(NAME, CHAMPION, number, expected=ANYTHING)
    champion = find(NAME, CHAMPION)
    assert set(champion.aliases) == {CHAMPION, CHALLENGER}
    assert champion.tags["stage"] == CHAMPION
    for alias in (CHAMPION, CHALLENGER):
        move_alias(NAME, alias, None, expected=number)
    assert find(NAME, number).tags["stage"] == "retired"


@pytest.mark.usefixtures("world")
def test_no_champion_means_no_serving() -> None:
    with pytest.raises(ModelError, match="no champion means no serving; versions: 1"):
        find(NAME, CHAMPION)


@pytest.mark.usefixtures("world")
def test_what_is_not_there_is_said_to_be_not_there() -> None:
    with pytest.raises(ModelError, match="no registered model bikeshare-atlantis"):
        find("bikeshare-atlantis", CHAMPION)
    with pytest.raises(ModelError, match="no registered model bikeshare-atlantis"):
        find_if_any("bikeshare-atlantis", CHAMPION)
    with pytest.raises(ModelError, match="has no version or alias '99'; versions: 1"):
        find(NAME, "99")
    with pytest.raises(ModelError, match="has no version or alias '99'"):
        move_alias(NAME, PREVIOUS, "99", expected=None)
    with pytest.raises(ModelError, match="unknown alias 'best'"):
        move_alias(NAME, "best", "1", expected=None)


def test_a_version_whose_files_were_changed_is_not_handed_out(world: World, tmp_path: Path) -> None:
    forged = ModelVersion(
        name=NAME,
        version=world.version.version,
        run_id=world.version.run_id,
        digest="0" * 64,
        aliases=(),
        tags={},
    )
    with pytest.raises(ModelError, match="do not deploy it"):
        download(forged, tmp_path / "download")


@pytest.mark.usefixtures("world")
def test_a_model_is_registered_within_a_run_only(artifacts: Path) -> None:
    with pytest.raises(ModelError, match="none is active"):
        register(artifacts, name=NAME, tags={}, probe=pd.DataFrame())
