from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_bikeshare.domain.errors import ModelError
from mlops_bikeshare.serving.host.faults import ApiError
from mlops_bikeshare.serving.host.objects import ObjectStore


@given(key=st.text(alphabet="a./\\\0é", min_size=1, max_size=12))
def test_no_key_leaves_its_bucket(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    root = tmp_path_factory.mktemp("store")
    store = ObjectStore(root)
    try:
        path = store.path("bucket", key)
    except ApiError:
        return
    assert path.resolve().is_relative_to(root.resolve() / "bucket")
    assert path != root / "bucket"


def test_a_link_in_a_bucket_leads_nowhere(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "s3")
    (tmp_path / "s3" / "bucket").mkdir()
    (tmp_path / "s3" / "bucket" / "out").symlink_to(tmp_path)
    with pytest.raises(ApiError, match="not a path below"):
        store.path("bucket", "out/file")


@pytest.mark.parametrize("bucket", ["", "..", ".incoming", "UPPER", "a", "a/b"])
def test_a_bucket_has_a_bucket_name(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(ApiError, match="bucket is not valid"):
        ObjectStore(tmp_path).path(bucket, "key")


def test_deleting_the_last_object_removes_its_folders_only(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    for key in ("a/b/c", "a/d"):
        (tmp_path / "content").write_bytes(b"x")
        store.put(tmp_path / "content", "bucket", key)
    store.delete("bucket", "a/b/c")
    assert [key for key, _ in store.keys("bucket", "a/")] == ["a/d"]
    assert not (tmp_path / "bucket" / "a" / "b").exists()
    assert (tmp_path / "bucket").is_dir()


def test_a_key_below_another_object_is_refused(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    (tmp_path / "one").write_bytes(b"x")
    (tmp_path / "two").write_bytes(b"x")
    store.put(tmp_path / "one", "bucket", "a")
    with pytest.raises(ApiError, match="through another object"):
        store.put(tmp_path / "two", "bucket", "a/b")


def test_a_missing_archive_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="s3://bucket/none"):
        ObjectStore(tmp_path).archive("s3://bucket/none")
