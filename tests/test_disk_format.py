"""The diskcache Disk that keeps bytes, the database's transactions, and patience with locks."""

import os
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from time import monotonic

import pytest
from diskcache import Cache

from kv_core.disk_format import IN_DATABASE, BytesDisk, connect, patiently, read_value, transaction
from kv_core.errors import (
    CorruptEntryError,
    InvalidKeyError,
    SerializationError,
    StoreClosedError,
    StoreSetupError,
    StoreTimeoutError,
)


@pytest.fixture
def cache(tmp_path):
    """A diskcache Cache with our Disk."""
    with Cache(str(tmp_path), disk=BytesDisk, disk_min_file_size=IN_DATABASE) as cache:
        yield cache


@pytest.fixture
def connection(tmp_path):
    """A connection to a new database."""
    with closing(connect(tmp_path / "new")) as connection:
        yield connection


def test_bytes_disk_keeps_bytes_in_the_database(cache, tmp_path):
    """Bytes of any size come back, and no file is made for them."""
    cache.set("key", b"x" * 100_000)

    assert cache.get("key") == b"x" * 100_000
    assert cache.get("key", read=True).read() == b"x" * 100_000
    assert list(cache) == ["key"]
    assert not list(tmp_path.rglob("*.val"))


def test_bytes_disk_takes_nothing_else(cache):
    """What diskcache would pickle is refused, as key and as value."""
    for value in ("text", 5, None, ["list"], bytearray(b"x")):
        with pytest.raises(SerializationError):
            cache.set("key", value)
    for key in (b"x", 5, ("a", "b")):
        with pytest.raises(InvalidKeyError):
            cache.set(key, b"x")


@pytest.mark.faults(97)
def test_bytes_disk_loads_no_pickle(cache):
    """A planted pickle raises, as value and as key."""
    cache.set("key", b"x")
    cache._sql("UPDATE Cache SET mode = 4, value = ?", (pickle.dumps([1]),))
    with pytest.raises(CorruptEntryError):
        cache.get("key")
    cache._sql("UPDATE Cache SET raw = 0, key = ?", (pickle.dumps([1]),))
    with pytest.raises(CorruptEntryError):
        list(cache)


def test_bytes_disk_stays_inside(tmp_path):
    """A value file is read and removed inside the directory alone, also through links, and a lost one raises."""
    directory = tmp_path / "cache"
    (directory / "ab" / "cd").mkdir(parents=True)
    inside = directory / "ab" / "cd" / "file.val"
    inside.write_bytes(b"inside")
    outside = tmp_path / "outside"
    outside.write_bytes(b"outside")
    (directory / "link").symlink_to(outside)
    disk = BytesDisk(str(directory))

    assert disk.fetch(2, "ab/cd/file.val", None, read=False) == b"inside"
    for name in ("../outside", str(outside), "link", "lost", "ab", "", "\0", "cache.db"):
        with pytest.raises(CorruptEntryError):
            disk.fetch(2, name, None, read=False)
        disk.remove(name)
    assert outside.exists()
    disk.remove("ab/cd/file.val")
    assert not (directory / "ab").exists()


@pytest.mark.parametrize(("mode", "value"), [(0, None), (1, 5), (1, 2.5), (1, None), (4, b"x"), (9, b"x"), (2, b"x")])
def test_other_rows_are_corrupt(tmp_path, mode, value):
    """A row of another mode or type is not a value."""
    with pytest.raises(CorruptEntryError):
        read_value(tmp_path, mode, None, value)


def test_new_database_appears_at_once(tmp_path):
    """Processes that make one database together all find a whole one, and leave nothing else behind."""
    code = f"""if True:
        from pathlib import Path
        from kv_core.disk_format import connect
        connect(Path({str(tmp_path / "kv")!r})).close()
    """
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(6)]

    assert [process.wait() for process in processes] == [0] * 6
    assert [path.name for path in (tmp_path / "kv").iterdir()] == ["cache.db"]


def test_connecting_makes_no_database_by_itself(tmp_path):
    """A directory without a database gets a whole one; a log without one is refused."""
    tmp_path.joinpath("cache.db-wal").write_bytes(b"log")
    with pytest.raises(StoreSetupError, match="missing"):
        connect(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["cache.db-wal"]


def test_transaction_is_rolled_back(connection):
    """An error undoes all of it, a part inside another is part of it, and the connection stays usable."""

    def interrupted():
        with transaction(connection):
            with transaction(connection):
                connection.execute("INSERT INTO Settings VALUES ('mine', 1)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert not connection.in_transaction
    assert connection.execute("SELECT * FROM Settings WHERE key = 'mine'").fetchall() == []
    with transaction(connection):
        connection.execute("INSERT INTO Settings VALUES ('mine', 2)")
    assert connection.execute("SELECT value FROM Settings WHERE key = 'mine'").fetchone() == (2,)


def test_files_are_deleted_after_the_commit(connection):
    """A value file stays while its transaction may still be undone."""
    file = connection.directory / "file.val"
    file.write_bytes(b"x")

    def undone():
        with transaction(connection):
            connection.files.append("file.val")
            raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        undone()
    assert file.exists()

    with transaction(connection):
        connection.files.append("file.val")
        assert file.exists()
    assert not file.exists()


def test_failed_commit_leaves_no_open_transaction(connection, monkeypatch):
    """After a commit that failed, the next transaction is a new one."""
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    connection.execute("CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(sqlite3.IntegrityError), transaction(connection):
        connection.execute("INSERT INTO child VALUES (1)")  # found out by COMMIT alone

    with transaction(connection):
        connection.execute("INSERT INTO parent VALUES (1)")
    assert connection.execute("SELECT count(*) FROM parent, child").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM parent").fetchone() == (1,)


def test_patience_ends(connection):
    """A job that finds the database locked is tried until its deadline, or until the check raises."""

    def check():
        raise StoreClosedError("closed")

    with closing(connect(connection.directory)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreTimeoutError) as caught:
            patiently(monotonic() + 0.05, None, connection.execute, "BEGIN IMMEDIATE")
        assert caught.value.outcome == "not_applied"
        with pytest.raises(StoreClosedError):
            patiently(monotonic() + 60, check, connection.execute, "BEGIN IMMEDIATE")


def test_other_errors_are_not_repeated(connection):
    """What is wrong with a statement is not a matter of patience."""
    with pytest.raises(sqlite3.OperationalError, match="syntax"):
        patiently(monotonic() + 60, None, connection.execute, "nonsense")


def test_missing_diskcache_names_the_extra(tmp_path):
    """Without diskcache the store's import says what to install; others do not miss it."""
    code = """if True:
        import sys
        sys.modules["diskcache"] = None
        import kv_core.aio.stores.memory
        try:
            import kv_core.aio.stores.disk
        except ImportError as error:
            print(type(error).__name__, error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "MissingDependencyError DiskStore needs diskcache: pip install 'kvstack[disk]'\n"
