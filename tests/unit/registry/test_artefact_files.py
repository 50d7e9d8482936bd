import json
import shutil
from pathlib import Path

import pytest

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.domain.label import USUAL, Label
from mlops_bikeshare.registry.artefact import (
    artefact_digest,
    drop_caches,
    feature_digest,
    read_label,
    read_persistence,
    read_reference,
    read_scorer,
    read_thresholds,
)


@pytest.fixture
def folder(artifacts: Path, tmp_path: Path) -> Path:
    shutil.copytree(artifacts, tmp_path / "model" / "artifacts")
    return tmp_path / "model"


def test_what_was_written_is_read_back(artifacts: Path) -> None:
    assert read_thresholds(artifacts) == {"bikeout": 0.4, "dockout": 0.4}
    assert read_reference(artifacts)["range"] == {"hour": [0.0, 23.0]}
    assert read_persistence(artifacts)["dockout"] == {"rates": {"30": [0.9, 0.1]}}
    spec = read_scorer(artifacts)
    assert read_label(artifacts) == Label(threshold=3, mode="within")
    assert spec["feature_digest"] == feature_digest(spec["features"])


def test_the_digest_does_not_depend_on_where_the_files_lie(folder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "deep")
    assert artefact_digest(moved) == artefact_digest(folder)


def test_the_digest_ignores_what_only_registry_downloads_have(folder: Path) -> None:
    before = artefact_digest(folder)
    (folder / "registered_model_meta").write_text("model_version: 1", encoding="utf-8")
    assert artefact_digest(folder) == before


def test_one_changed_byte_changes_the_digest(folder: Path) -> None:
    before = artefact_digest(folder)
    path = folder / "artifacts" / "bikeout.txt"
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert artefact_digest(folder) != before


def test_a_renamed_file_changes_the_digest(folder: Path) -> None:
    before = artefact_digest(folder)
    (folder / "artifacts" / "reference.json").rename(folder / "reference.json")
    assert artefact_digest(folder) != before


def test_a_pickle_is_refused(folder: Path) -> None:
    (folder / "python_model.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match=r"python_model\.pkl"):
        artefact_digest(folder)


def test_compiled_code_has_no_digest_until_it_is_dropped(folder: Path) -> None:
    before = artefact_digest(folder)
    cache = folder / "code" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / "scorer.cpython-311.pyc").write_bytes(b"runs instead of scorer.py")
    with pytest.raises(ModelError, match=r"code/__pycache__/scorer\.cpython-311\.pyc"):
        artefact_digest(folder)
    drop_caches(folder)
    assert artefact_digest(folder) == before


def test_an_empty_folder_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="empty or missing"):
        artefact_digest(tmp_path / "nothing")


def test_the_order_of_features_is_part_of_their_digest() -> None:
    assert feature_digest(["a", "b"]) != feature_digest(["b", "a"])


@pytest.mark.parametrize("text", ["{", json.dumps([1])])
def test_a_damaged_file_is_named(folder: Path, text: str) -> None:
    (folder / "artifacts" / "scorer.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"scorer\.json"):
        read_scorer(folder / "artifacts")


def test_a_version_from_before_there_was_a_choice_has_the_usual_label(folder: Path) -> None:
    path = folder / "artifacts" / "scorer.json"
    spec = json.loads(path.read_text())
    del spec["label"]
    path.write_text(json.dumps(spec))
    assert read_label(folder / "artifacts") == USUAL


def test_a_label_that_cannot_be_read_is_an_error(folder: Path) -> None:
    path = folder / "artifacts" / "scorer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "label": {"threshold": 2}}))
    with pytest.raises(ModelError, match=r"label: expected .*'mode': 'at'"):
        read_label(folder / "artifacts")
