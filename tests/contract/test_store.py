"""Every store keeps the same promises: files, and S3 on the wire."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlops_bikeshare.domain.errors import LakeError
from mlops_bikeshare.lake import s3
from mlops_bikeshare.lake.local import LocalStore
from mlops_bikeshare.lake.store import ObjectGoneError, Store
from tests.aws_wire import Wire, aws_on_the_wire

BUCKET = "bikeshare-lake"


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with aws_on_the_wire() as wire:
        yield wire


@pytest.fixture
def asked(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client that waits no time between attempts."""
    backoff = "botocore.retries.standard.ExponentialBackoff.delay_amount"
    monkeypatch.setattr(backoff, lambda *_: 0.0)
    wire.busy = wire.lost = 0
    client = s3.client("us-east-1", attempts=3, url=wire.url)
    client.create_bucket(Bucket=BUCKET)
    return client


def on_s3(client: Any) -> s3.S3Store:
    return s3.S3Store(client, bucket=BUCKET, folder=uuid.uuid4().hex)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path / "lake")
    return on_s3(request.getfixturevalue("asked"))


def test_an_object_reads_back_as_written(store: Store) -> None:
    assert store.create("raw/a.bin", b"one")

    assert store.read("raw/a.bin") == b"one"


def test_a_key_is_created_once_and_never_changed(store: Store) -> None:
    store.create("raw/a.bin", b"one")

    assert not store.create("raw/a.bin", b"two")
    assert store.read("raw/a.bin") == b"one"


def test_what_is_replaced_is_read_whole_by_everybody_who_looks_meanwhile(store: Store) -> None:
    bodies = [bytes([65 + i]) * 50_000 for i in range(8)]
    store.replace("published/a.json", bodies[0])
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(store.replace, "published/a.json", body) for body in bodies]
        seen = [store.read("published/a.json") for _ in range(20)]
    assert all(done.exception() is None for done in writing)
    assert set(seen) <= set(bodies)
    assert store.keys("published") == ["published/a.json"]


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
    with pytest.raises(ObjectGoneError, match=r"raw/a\.bin"):
        store.read("raw/a.bin")


def test_a_deleted_object_is_gone_and_deleting_twice_is_no_error(store: Store) -> None:
    store.create("raw/a.bin", b"")
    store.delete("raw/a.bin")
    store.delete("raw/a.bin")

    assert store.keys("raw") == []


def test_a_folder_goes_with_its_last_object(store: Store) -> None:
    store.create("raw/a/b/1", b"")
    store.create("raw/c/2", b"")
    store.delete("raw/a/b/1")

    assert store.folders("raw") == ["c"]


def test_a_key_cannot_leave_the_lake(store: Store) -> None:
    with pytest.raises(LakeError, match="leaves the lake"):
        store.create("../outside", b"")


def test_a_listing_goes_over_all_pages(asked: Any) -> None:
    store = on_s3(asked)
    for i in range(25):
        store.create(f"raw/{i:04}/a", b"")
    asked.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 10}
    )

    assert store.keys("raw") == [f"raw/{i:04}/a" for i in range(25)]
    assert store.folders("raw") == [f"{i:04}" for i in range(25)]


def test_a_put_is_repeated_while_s3_is_busy(asked: Any, wire: Wire) -> None:
    store = on_s3(asked)
    wire.busy = 2

    assert store.create("raw/a.bin", b"one")
    assert store.read("raw/a.bin") == b"one"


def test_a_put_whose_answer_was_lost_is_known_as_ours(asked: Any, wire: Wire) -> None:
    store = on_s3(asked)
    wire.lost = 1

    assert store.create("raw/a.bin", b"one")
    assert not store.create("raw/a.bin", b"one")


def test_a_retry_does_not_claim_what_another_wrote(asked: Any, wire: Wire) -> None:
    store = on_s3(asked)
    store.create("raw/a.bin", b"one")
    wire.busy = 1

    assert not store.create("raw/a.bin", b"one")


def test_s3_that_stays_busy_is_an_error_that_says_so_and_stores_nothing(
    asked: Any, wire: Wire
) -> None:
    store = on_s3(asked)
    wire.busy = 3

    with pytest.raises(LakeError, match=r"raw/a\.bin.*S3 is busy; try again"):
        store.create("raw/a.bin", b"one")
    assert wire.busy == 0
    assert store.keys("raw") == []


def test_a_bucket_that_is_not_there_is_named_with_the_setting(asked: Any) -> None:
    store = s3.S3Store(asked, bucket="nowhere-to-be-found", folder="main")

    with pytest.raises(LakeError, match=r"lake\.bucket"):
        store.create("raw/a.bin", b"one")
    with pytest.raises(LakeError, match="NoSuchBucket"):
        store.keys("raw")
