"""An archive is its files, and nothing of who packed it or when."""

import os
from pathlib import Path

from mlops_bikeshare.serving.archive import unpack
from mlops_bikeshare.serving.packing import pack


def folder(at: Path, *, seconds: int) -> Path:
    (at / "artifacts").mkdir(parents=True)
    for name, text in (("MLmodel", "flavors"), ("artifacts/scorer.json", "{}")):
        (at / name).write_text(text)
        (at / name).chmod(0o600 if seconds else 0o644)
        os.utime(at / name, (seconds, seconds))
    return at


def test_the_same_files_are_the_same_archive_whoever_packs_them_and_whenever(
    tmp_path: Path,
) -> None:
    for name, seconds in (("one", 0), ("two", 1_700_000_000)):
        pack(folder(tmp_path / name, seconds=seconds), tmp_path / f"{name}.tar.gz")

    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "one.tar.gz", tmp_path / "out")
    assert (tmp_path / "out" / "MLmodel").read_text() == "flavors"
    assert (tmp_path / "out" / "artifacts" / "scorer.json").read_text() == "{}"
