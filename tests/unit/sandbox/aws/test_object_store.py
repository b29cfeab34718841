"""The store's files: after any number of writes, and a crash between any two of them, old or new state is there."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.aws.object_store import ObjectStore, StoredVersion

NOW = datetime(2024, 6, 25, 12, 30, 15, 123456, tzinfo=UTC)


def version(store: ObjectStore, key: str, value: bytes) -> StoredVersion:
    return StoredVersion("null", NOW, store.write_value("lake", key, value).path.name, {"etag": "x"}, {"a": "b"})


def contents(root: Path) -> dict[str, bytes]:
    store = ObjectStore(root)
    return {
        key: store.stored_value("lake", versions[-1].value_file or "").read() for key, versions in store.load("lake")
    }


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(tmp_path)
    store.save_bucket("lake", {"region_name": "us-east-1"})
    return store


def test_what_is_saved_is_loaded(store: ObjectStore, tmp_path: Path) -> None:
    saved = version(store, "a", b"x")
    store.save("lake", "a", [saved])
    again = ObjectStore(tmp_path)
    assert again.buckets() == {"lake": {"region_name": "us-east-1"}}
    assert dict(again.load("lake")) == {"a": [saved]}


def test_a_crash_before_the_record_is_written_keeps_the_old_value(store: ObjectStore, tmp_path: Path) -> None:
    store.save("lake", "a", [version(store, "a", b"old")])
    store.write_value("lake", "a", b"new, never saved")
    assert contents(tmp_path) == {"a": b"old"}
    assert len(list((tmp_path / "lake" / "objects").iterdir())) == 2


def test_replaced_and_removed_values_leave_no_file(store: ObjectStore, tmp_path: Path) -> None:
    for value in (b"1", b"2", b"3"):
        store.save("lake", "a", [version(store, "a", value)])
    assert contents(tmp_path) == {"a": b"3"}
    store.save("lake", "a", [])
    assert list((tmp_path / "lake" / "objects").iterdir()) == []


def test_a_stored_value_reads_like_a_file(store: ObjectStore) -> None:
    value = store.write_value("lake", "a", b"0123456789")
    assert value.read(3) == b"012"
    assert value.read() == b"3456789"
    value.seek(-2, 2)
    assert value.read() == b"89"
    value.seek(0)
    assert value.read(-1) == b"0123456789"


@given(keys=st.sets(st.text(min_size=1, max_size=1024), max_size=20))
def test_any_key_has_a_file_of_its_own(keys: set[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("store")
    store = ObjectStore(root)
    store.save_bucket("lake", {})
    for key in keys:
        store.save("lake", key, [version(store, key, key.encode("utf-8", "surrogatepass"))])
    assert contents(root) == {key: key.encode("utf-8", "surrogatepass") for key in keys}
