"""SageMaker's Model Registry in step with MLflow's, on the wire and with each role's rights."""

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.backends import Workspace, open_workspace
from mlops_bikeshare.cli import main
from mlops_bikeshare.flows import model_packages, tracking
from mlops_bikeshare.flows.releasing import tagged
from mlops_bikeshare.flows.runs import baselines, training_run
from mlops_bikeshare.registry import packages, versions
from mlops_bikeshare.registry.artefact import artefact_digest
from mlops_bikeshare.registry.register import register
from mlops_bikeshare.registry.versions import ModelVersion
from mlops_bikeshare.serving.archive import unpack
from mlops_bikeshare.settings import load
from mlops_bikeshare.training.candidate import Candidate, train_candidate
from mlops_bikeshare.training.fit import FitParams
from mlops_bikeshare.training.table import Plan
from tests.aws_account import MODELS, Account, Working, account
from tests.e2e.conftest import ROOT
from tests.e2e.shown import shown
from tests.e2e.versions import artifacts, rows
from tests.roles import TESTS
from tests.unit.training.test_candidate import SPLIT, table

NOW = datetime(2025, 6, 7, tzinfo=UTC)
GROUP = "bikeshare-demo"
PLAN = Plan(params=FitParams(rounds=5, threads=1))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registry")
    (folder / "bikeshare.toml").write_text((ROOT / "bikeshare.toml").read_text())
    return folder


@pytest.fixture(scope="module")
def stands(home: Path) -> Iterator[Account]:
    with (
        pytest.MonkeyPatch.context() as patch,
        account(home, now=NOW, monkeypatch=patch) as found,
    ):
        patch.setenv("BIKESHARE_HOME", str(home))
        patch.setenv("BIKESHARE_DEFAULT_CITY", "demo")
        patch.setenv("BIKESHARE_STATE_DIR", str(home / "disk"))
        patch.setenv("BIKESHARE_REGISTRY__SAGEMAKER", "yes")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
        yield found


def opened() -> Workspace:
    return open_workspace(load(Path.cwd(), os.environ, {}), simulated=True)


@pytest.fixture(scope="module")
def candidate() -> Candidate:
    return train_candidate(table(), SPLIT, plan=PLAN)


@pytest.fixture(scope="module")
def version(home: Path, candidate: Candidate, calls: Working) -> ModelVersion:  # noqa: ARG001
    """A version in MLflow with the baselines of its training, of which SageMaker knows nothing."""
    ws = opened()
    city = ws.settings.city("demo")
    with tracking.run(ws, city, "small", {"kind": "training"}):
        baselines.log(ws, table(), SPLIT, PLAN, candidate)
        tags = {versions.CITY_TAG: city.name, **training_run.test_tags(candidate)}
        files = artifacts(home, seed=1)
        return register(files, name=city.registered_model, tags=tags, probe=rows())


@pytest.fixture(scope="module")
def registered(stands: Account, version: ModelVersion, calls: Working) -> dict[str, Any]:
    """The package that a training in a job of SageMaker registers, after answers that were lost."""
    stands.packages.lost = 2  # the group's, then the package's
    with calls.doing("sagemaker_jobs"):
        ws = opened()
        done = model_packages.sync(ws, ws.settings.city("demo"), approvals=False)
        again = model_packages.sync(ws, ws.settings.city("demo"), approvals=False)
    assert again.changes == ()
    assert done.failed == {}
    assert [change.version for change in done.changes] == [version.version]
    (package,) = stands.packages.packages.values()
    return package


def stored(stands: Account, url: str) -> bytes:
    """An object of the bucket of models, read by its owner."""
    from boto3.session import Session

    owner = Session("owner", TESTS)
    s3 = owner.client("s3", endpoint_url=stands.wire.url, region_name="ca-central-1")
    body: bytes = s3.get_object(Bucket=MODELS, Key=url.removeprefix(f"s3://{MODELS}/"))[
        "Body"
    ].read()
    return body


def decided(version: ModelVersion, word: str, *, at: str, why: str) -> None:
    """A decision as the audit tells MLflow."""
    entry = {"at": at, "who": "ann", "why": why, "digest": "d", "facts": {}}
    tagged.tag(opened().settings.city("demo"), version.version, entry, word=word)


def test_a_registry_that_refuses_costs_nothing_that_stands_and_the_command_is_named(
    stands: Account, version: ModelVersion, calls: Working, caplog: pytest.LogCaptureFixture
) -> None:
    stands.packages.closed = True
    with calls.doing("sagemaker_jobs"):
        ws = opened()
        model_packages.after(
            ws, ws.settings.city("demo"), f"version {version.version}", approvals=False
        )
    stands.packages.closed = False

    assert f"version {version.version} stands, but SageMaker's registry was not told" in caplog.text
    assert "`bikeshare registry sync --city demo`" in caplog.text


def test_a_version_is_registered_once_though_answers_are_lost(
    stands: Account, version: ModelVersion, registered: dict[str, Any]
) -> None:
    told = registered["CustomerMetadataProperties"]

    assert stands.packages.asked.count("CreateModelPackage") == 2
    assert registered["ModelApprovalStatus"] == "PendingManualApproval"
    assert told["mlflow_version"] == version.version
    assert told["artefact_digest"] == version.digest
    assert told["run_id"] == version.run_id
    assert told["city"] == "demo"
    assert told["feature_digest"] == version.tags["feature_digest"]
    trained_at = versions.registered_at(version).replace(microsecond=0)
    assert datetime.fromisoformat(told["trained_at"]) == trained_at


def test_the_package_has_the_endpoints_image_and_an_archive_of_the_versions_files(
    stands: Account, version: ModelVersion, registered: dict[str, Any], tmp_path: Path
) -> None:
    (container,) = registered["InferenceSpecification"]["Containers"]
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(stored(stands, container["ModelDataUrl"]))
    (tmp_path / "files").mkdir()
    unpack(archive, tmp_path / "files")

    assert container["Image"] == opened().settings.serving.image_url
    assert artefact_digest(tmp_path / "files") == version.digest


def test_its_baselines_are_the_runs_and_lie_where_and_as_the_package_says(
    stands: Account, version: ModelVersion, candidate: Candidate, registered: dict[str, Any]
) -> None:
    import mlflow

    def read(source: dict[str, str]) -> Any:
        body = stored(stands, source["S3Uri"])
        assert source["ContentDigest"] == f"sha256:{hashlib.sha256(body).hexdigest()}"
        name = source["S3Uri"].partition("/baselines/")[2]
        run = f"runs:/{version.run_id}/baselines/{name}"
        assert mlflow.artifacts.load_text(run).encode() == body
        return json.loads(body)

    told = registered["ModelMetrics"]
    assert told == registered["DriftCheckBaselines"]
    data = {part: read(source) for part, source in told["ModelDataQuality"].items()}
    quality = {part: read(source) for part, source in told["ModelQuality"].items()}

    assert [f["name"] for f in data["Statistics"]["features"]] == ["bikes", "flow", "hour"]
    types = [f["inferred_type"] for f in data["Constraints"]["features"]]
    assert types == ["Integral", "Fractional", "Fractional"]
    count = int(SPLIT.masks(table().dt).fit.sum())
    assert data["Statistics"]["dataset"]["item_count"] == count
    target = registered["CustomerMetadataProperties"]["model_quality_target"]
    scores = {q.target: q.model for q in candidate.quality if q.horizon_min == 30}
    assert scores[target].pr_auc == min(s.pr_auc for s in scores.values() if s.pr_auc is not None)
    metrics = quality["Statistics"]["binary_classification_metrics"]
    assert metrics["f1"]["value"] == pytest.approx(scores[target].f1)
    asked = quality["Constraints"]["binary_classification_constraints"]
    assert asked["f1"]["comparison_operator"] == "LessThanThreshold"


def test_the_status_follows_promotion_and_rollback_with_who_and_why(
    stands: Account, version: ModelVersion, registered: dict[str, Any], calls: Working
) -> None:
    number = registered["CustomerMetadataProperties"]["mlflow_version"]
    assert number == version.version

    def synced() -> tuple[list[str], str, str]:
        with calls.doing("deployer"):
            ws = opened()
            done = model_packages.sync(ws, ws.settings.city("demo"))
        (package,) = stands.packages.packages.values()
        moved = [f"{change.was} → {change.status}" for change in done.changes]
        return moved, package["ModelApprovalStatus"], package["ApprovalDescription"]

    decided(version, "promotion", at="2025-06-07T00:00:00+00:00", why="gate passed")
    versions.move_alias(version.name, versions.CHAMPION, number, expected=None)
    assert synced() == (
        ["PendingManualApproval → Approved"],
        "Approved",
        "champion, promotion by ann at 2025-06-07T00:00:00+00:00: gate passed",
    )
    assert synced()[0] == []

    decided(version, "rolled_back", at="2025-06-08T00:00:00+00:00", why="warnings late")
    versions.move_alias(version.name, versions.CHAMPION, None, expected=versions.ANYTHING)
    assert synced() == (
        ["Approved → Rejected"],
        "Rejected",
        "rolled back by ann at 2025-06-08T00:00:00+00:00: warnings late",
    )


def test_what_the_page_shows_mends_both_registries_and_prints_it(
    stands: Account,
    registered: dict[str, Any],
    calls: Working,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stands.packages.groups.clear()
    stands.packages.packages.clear()
    stands.packages.tokens.clear()
    with calls.doing("deployer"):
        exec(shown("SageMaker's registry and monitor"), {})  # noqa: S102 - the page is ours
    printed = capsys.readouterr().out

    (package,) = stands.packages.packages.values()
    version = package["CustomerMetadataProperties"]["mlflow_version"]
    assert f"{GROUP}: 1 changed" in printed
    assert f"version {version}: registered → Rejected (rolled back by ann" in printed
    assert f"{registered['ModelPackageArn']} Rejected" in printed


def test_a_file_that_changed_is_told_and_costs_no_other_version(
    stands: Account, version: ModelVersion, calls: Working, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    before, client = dict(stands.packages.packages), MlflowClient()
    source = client.get_model_version(version.name, version.version).source
    tags = {versions.DIGEST_TAG: "another", versions.CITY_TAG: "demo"}
    made = client.create_model_version(version.name, source, tags=tags)

    with calls.doing("deployer"):
        code = main(["registry", "sync", "--city", "demo", "--json"])

    assert code == 2
    (why,) = json.loads(capsys.readouterr().out)["failed"].values()
    assert f"{version.name}/{made.version} was registered with digest another" in why
    assert stands.packages.packages == before


def test_no_package_is_approved_while_another_cannot_be_withdrawn(
    stands: Account, version: ModelVersion, calls: Working
) -> None:
    (mine,) = stands.packages.packages.values()
    facts = mine["CustomerMetadataProperties"] | {"mlflow_version": "9"}
    arn = mine["ModelPackageArn"].rpartition("/")[0] + "/9"
    theirs = mine | {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}
    stands.packages.packages[arn] = theirs | {"CustomerMetadataProperties": facts}
    decided(version, "promotion", at="2025-06-09T00:00:00+00:00", why="gate passed")
    versions.move_alias(version.name, versions.CHAMPION, version.version, expected=None)

    def synced() -> model_packages.Synced:
        with calls.doing("deployer"):
            ws = opened()
            return model_packages.sync(ws, ws.settings.city("demo"))

    stands.packages.stuck = {arn}
    half = synced()
    assert "The package is in use" in half.failed["9"]
    assert "not approved while the package of version 9 still is" in half.failed[version.version]
    assert mine["ModelApprovalStatus"] == "Rejected"
    stands.packages.stuck.clear()
    assert {change.version for change in synced().changes} == {"9", version.version}
    assert mine["ModelApprovalStatus"] == "Approved"
    assert stands.packages.packages[arn]["ModelApprovalStatus"] == "Rejected"


def test_what_is_no_longer_champion_when_its_turn_comes_is_not_approved(
    stands: Account, version: ModelVersion, calls: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = next(iter(stands.packages.packages.values()))
    mine["ModelApprovalStatus"] = "PendingManualApproval"
    planned = packages.plan

    def and_then_a_rollback(*asked: Any, **more: Any) -> list[packages.Change]:
        changes = planned(*asked, **more)
        versions.move_alias(version.name, versions.CHAMPION, None, expected=version.version)
        return changes

    monkeypatch.setattr(packages, "plan", and_then_a_rollback)
    with calls.doing("deployer"):
        ws = opened()
        done = model_packages.sync(ws, ws.settings.city("demo"))

    assert "another version became champion meanwhile" in done.failed[version.version]
    assert mine["ModelApprovalStatus"] == "PendingManualApproval"


def test_whatever_goes_wrong_a_move_that_stands_is_not_failed(
    stands: Account,  # noqa: ARG001
    version: ModelVersion,
    calls: Working,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any, **__: Any) -> list[packages.Change]:
        raise KeyError("ModelPackageArn")

    monkeypatch.setattr(packages, "plan", broken)
    with calls.doing("deployer"):
        ws = opened()
        model_packages.after(
            ws, ws.settings.city("demo"), f"the rollback to version {version.version}"
        )

    assert f"the rollback to version {version.version} stands" in caplog.text
    assert "KeyError" in caplog.text
