# Written by tools/mirror.py from tests/aio/stores/test_disk_golden.py: change that file instead.
"""What other releases and other libraries wrote on disk is read as it stands; `tests/golden/` says how it was made."""

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kv_core.errors import UnsupportedEntryVersionError
from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.testing import ToldClock

GOLDEN = Path(__file__).parents[2] / "golden"
THEIRS = sorted(GOLDEN.glob("py_key_value/disk-*.sql"))
OURS = sorted(GOLDEN.glob("kvstack/disk-*.sql"))
LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def restore(tmp_path):
    """Return a function that makes a directory of what was written down of one."""

    def make(golden):
        (tmp_path / "kv").mkdir()
        with closing(sqlite3.connect(tmp_path / "kv" / "cache.db")) as connection:
            connection.executescript(golden.read_text(encoding="utf-8"))
        return tmp_path / "kv"

    return make


def rows(folder):
    """Return what is in a database, but for when it was written."""
    with closing(sqlite3.connect(folder / "cache.db")) as connection:
        query = "SELECT key, raw, expire_time, tag, size, mode, filename, value FROM Cache ORDER BY key"
        return connection.execute(query).fetchall()


def write(store):
    """Put what the golden files of our own hold."""
    store.put("ada", {"name": "Ada", "scores": [1.5, None, True, {"é": "\u2028"}]}, collection="users")
    store.put("raw", {"bytes": b"\x00\xff", "n": 2**64 - 1}, collection="a:b%", ttl=3_000_000_000)
    store.put_many(["", "a::b c/ü"], [{}, {"n": -(2**63)}], ttl=[0.5, None])
    store.increment("hits", 41, initial=1, ttl=3_000_000_000)


def read(store):
    """Return the same, as it is read: by address, value and ttl in seconds."""
    return {
        (collection, key): store.ttl(key, collection=collection)
        for collection in store.collections()
        for key in store.keys(collection)
    }


@pytest.mark.faults(149)
@pytest.mark.parametrize("golden", THEIRS, ids=lambda path: path.stem)
def test_entries_of_py_key_value(restore, golden):
    """Entries of py-key-value 0.4 and 0.5 are read, listed, and end when they would have; those that ended are gone."""
    folder = restore(golden)
    ends = re.findall(r'"expires_at": "([^"]+)", "key": "(\w+)"', golden.read_text(encoding="utf-8"))
    left = {key: (datetime.fromisoformat(end) - LATER).total_seconds() for end, key in ends}
    with DiskStore(directory=folder, _clock=ToldClock(LATER)) as store:
        found = read(store)

        assert found == {
            ("users", "ada"): ({"name": "Ada", "born": 1815}, None),
            ("users", "grace"): (
                {"name": "Grace", "tags": ["navy", None, True, 1.5], "nested": {"é": {"deep": [{}]}}},
                left["grace"],
            ),
            ("default_collection", "a::b c/ü"): ({"text": 'line\n"quoted" \u2028 \U0001f5dd'}, None),
            ("many", "1"): ({"n": 2**53 + 1}, left["1"]),
            ("many", "2"): ({}, left["1"]),
        }
        assert store.get_many(["ada", "gone", "grace"], collection="users") == [
            {"name": "Ada", "born": 1815},
            None,
            found["users", "grace"][0],
        ]
        assert store.touch("ada", ttl=60, collection="users") is True
        assert store.ttl("ada", collection="users") == ({"name": "Ada", "born": 1815}, 60)
        assert store.cull() == 1


@pytest.mark.faults(149)
def test_there_are_golden_files():
    """Both of its releases are there, and at least one of ours."""
    assert [path.stem[5:8] for path in THEIRS] == ["0.4", "0.5"]
    assert OURS


@pytest.mark.faults(149)
@pytest.mark.parametrize("golden", OURS, ids=lambda path: path.stem)
def test_entries_of_our_releases(restore, golden):
    """What each of our releases wrote is read exactly."""
    with DiskStore(directory=restore(golden), _clock=ToldClock()) as store:
        assert read(store) == {
            ("users", "ada"): ({"name": "Ada", "scores": [1.5, None, True, {"é": "\u2028"}]}, None),
            ("a:b%", "raw"): ({"bytes": b"\x00\xff", "n": 2**64 - 1}, 3_000_000_000),
            ("default_collection", ""): ({}, 0.5),
            ("default_collection", "a::b c/ü"): ({"n": -(2**63)}, None),
            ("default_collection", "hits"): ({"value": 42}, 3_000_000_000),
        }


@pytest.mark.faults(149)
def test_the_layout_is_the_latest(restore, tmp_path):
    """What is written today is, row by row, what the latest golden file holds; a change of layout needs a new one."""
    with DiskStore(directory=tmp_path / "new", _clock=ToldClock()) as store:
        write(store)

    assert rows(tmp_path / "new") == rows(restore(OURS[-1]))


@pytest.mark.faults(149)
def test_entries_of_a_later_version(restore):
    """An entry of a version that is not known is an error that says so, not a miss and not a wrong value."""
    folder = restore(OURS[-1])
    with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as connection:
        connection.execute("UPDATE Cache SET value = replace(value, '\"version\":1}', '\"version\":2}')")
        connection.execute("UPDATE Cache SET value = CAST(value AS BLOB)")

    with DiskStore(directory=folder, _clock=ToldClock()) as store:
        for operation in (store.get, store.ttl, store.get_with_revision):
            with pytest.raises(UnsupportedEntryVersionError, match="ada"):
                operation("ada", collection="users")
        with pytest.raises(UnsupportedEntryVersionError, match="ada"):
            store.get_many(["ada"], collection="users")
