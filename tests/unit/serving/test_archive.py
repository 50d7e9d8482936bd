import gzip
import io
import pickle
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving import archive as archives
from mlops_bikeshare.serving.archive import unpack


def pack(folder: Path, *members: tarfile.TarInfo) -> Path:
    archive = folder / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for member in members:
            member.size = 3 if member.isreg() else 0
            tar.addfile(member, io.BytesIO(b"abc") if member.isreg() else None)
    return archive


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_files_and_folders_come_out_as_they_went_in(tmp_path: Path) -> None:
    archive = pack(tmp_path, tarfile.TarInfo("MLmodel"), tarfile.TarInfo("code/scorer.py"))
    into = tmp_path / "into"
    into.mkdir()
    unpack(archive, into)
    assert (into / "code" / "scorer.py").read_bytes() == b"abc"


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/etc/out", "a/b/../../../out", "..\\out", ".."]
)
def test_a_member_that_leaves_the_folder_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    into = tmp_path / "into"
    into.mkdir()
    archive = pack(tmp_path, tarfile.TarInfo("first"), tarfile.TarInfo(name))
    with pytest.raises(ModelError, match="leaves its folder"):
        unpack(archive, into)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = pack(tmp_path, link("a", kind, "/etc/passwd"))
    with pytest.raises(ModelError, match="link or a device"):
        unpack(archive, tmp_path)


@pytest.mark.parametrize("name", ["python_model.pkl", "artifacts/m.joblib", "a/b.PKL"])
def test_a_pickle_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=f"{name}' is a pickle"):
        unpack(pack(tmp_path, tarfile.TarInfo(name)), tmp_path)


COMPILED = ["code/__pycache__/scorer.cpython-311.pyc", "code/__PyCache__/x.txt", "code/scorer.PYC"]


def beside_its_source(tmp_path: Path, name: str) -> tuple[Path, Path]:
    """An archive of a module and something compiled, and an empty folder."""
    into = tmp_path / "into"
    into.mkdir()
    return pack(tmp_path, tarfile.TarInfo("code/scorer.py"), tarfile.TarInfo(name)), into


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_code_is_left_where_it_is_by_who_runs_the_source_beside_it(
    tmp_path: Path, name: str
) -> None:
    archive, into = beside_its_source(tmp_path, name)
    unpack(archive, into, drop_compiled=True)
    assert [path.name for path in into.rglob("*")] == ["code", "scorer.py"]


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_code_is_refused_because_python_would_run_it_before_the_source(
    tmp_path: Path, name: str
) -> None:
    archive, into = beside_its_source(tmp_path, name)
    with pytest.raises(ModelError, match=f"{name}' is compiled code"):
        unpack(archive, into)
    assert list(into.iterdir()) == []


@given(content=st.binary(max_size=300))
def test_anything_that_is_no_archive_is_a_model_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "model.tar.gz").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be unpacked"):
        unpack(folder / "model.tar.gz", folder)


def bomb(folder: Path, kind: bytes, size: int) -> Path:
    """An archive of a few kilobytes with one member of zeros."""
    archive, member = folder / "model.tar.gz", tarfile.TarInfo("x")
    member.type, member.size = kind, size
    with gzip.open(archive, "wb") as out:
        out.write(member.tobuf(tarfile.GNU_FORMAT))
        for _ in range(size // 1024**2):
            out.write(bytes(1024**2))
        out.write(bytes(10240))
    return archive


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_that_unpacks_to_more_than_its_limit_is_refused_before_it_is_read(
    tmp_path: Path, kind: bytes
) -> None:
    archive = bomb(tmp_path, kind, 20 * 1024**2)
    assert archive.stat().st_size < 100_000
    with pytest.raises(ModelError, match=r"headers exceed 16,777,216 bytes"):
        unpack(archive, tmp_path)


def test_more_members_than_the_headers_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_HEADERS", 20 * 512)
    unpack(pack(tmp_path, *(tarfile.TarInfo(str(n)) for n in range(10))), tmp_path)
    with pytest.raises(ModelError, match="headers exceed"):
        unpack(pack(tmp_path, *(tarfile.TarInfo(str(n)) for n in range(30))), tmp_path)


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, into = bomb(tmp_path, tarfile.REGTYPE, 20 * 1024**2), tmp_path / "into"
    into.mkdir()
    monkeypatch.setattr(archives, "MAX_BYTES", 20 * 1024**2 - 1)
    with pytest.raises(ModelError, match="more than 20,971,519 bytes unpacked"):
        unpack(archive, into)
    assert list(into.iterdir()) == []


def test_a_pickle_is_refused_whatever_it_is_called(tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    content = pickle.dumps({"a": 1})
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in (("MLmodel", b"{}"), ("data/weights.bin", content), ("x", b"abc")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    into = tmp_path / "into"
    into.mkdir()

    with pytest.raises(ModelError, match=r"'data/weights\.bin' is a pickle"):
        unpack(archive, into)
    assert not list(into.iterdir())
    unpack(archive, into, allow_pickle=True)
    assert (into / "data" / "weights.bin").read_bytes() == content
