"""Every store keeps the same promises."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.lake.store import Store


@pytest.fixture(params=["local"])
def store(tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "lake")


def test_an_object_reads_back_as_written(store: Store) -> None:
    assert store.create("raw/a.bin", b"one")

    assert store.read("raw/a.bin") == b"one"


def test_a_key_is_created_once_and_never_changed(store: Store) -> None:
    store.create("raw/a.bin", b"one")

    assert not store.create("raw/a.bin", b"two")
    assert store.read("raw/a.bin") == b"one"


def test_of_many_writers_of_a_key_exactly_one_wins(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda i: store.create("raw/a.bin", bytes([i])), range(32)))

    assert sum(won) == 1
    assert store.read("raw/a.bin") == bytes([won.index(True)])


def test_keys_are_sorted_and_bounded_by_the_folder(store: Store) -> None:
    for key in ("raw/b/2", "raw/b/1", "raw/bb/3"):
        store.create(key, b"")

    assert store.keys("raw/b") == ["raw/b/1", "raw/b/2"]
    assert store.folders("raw") == ["b", "bb"]
    assert store.keys("nothing") == store.folders("nothing") == []


def test_a_missing_object_is_an_error_that_names_it(store: Store) -> None:
    with pytest.raises(LakeError, match=r"raw/a\.bin"):
        store.read("raw/a.bin")


def test_a_deleted_object_is_gone_and_deleting_twice_is_no_error(store: Store) -> None:
    store.create("raw/a.bin", b"")
    store.delete("raw/a.bin")
    store.delete("raw/a.bin")

    assert store.keys("raw") == []


def test_a_key_cannot_leave_the_lake(store: Store) -> None:
    with pytest.raises(LakeError, match="leaves the lake"):
        store.create("../outside", b"")
