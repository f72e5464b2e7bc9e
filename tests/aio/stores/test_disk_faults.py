"""What goes wrong on disk, for both stores there: files, damage, time, locks, room, and limits."""

import json
import os
import pickle
import resource
import shutil
import sqlite3
import stat
import threading
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from clock import stopwatch
from diskcache import Cache

from kv_core import address, codec
from kv_core.aio._runtime import gather
from kv_core.aio.stores.disk import DiskStore
from kv_core.aio.stores.multi_disk import MultiDiskStore
from kv_core.aio.testing import ToldClock
from kv_core.disk_format import IN_DATABASE, BytesDisk
from kv_core.errors import (
    CorruptEntryError,
    EntryTooLargeError,
    StoreClosedError,
    StoreFullError,
    StoreSetupError,
    StoreTimeoutError,
)

MEGABYTE = 1_000_000


@pytest.fixture
def clock():
    """A clock that stands still until it is told."""
    return ToldClock()


@pytest.fixture(params=[DiskStore, MultiDiskStore], ids=["disk", "multi_disk"])
def kind(request):
    """Both stores that keep their entries on disk."""
    return request.param


@pytest.fixture
def make(kind, tmp_path, clock):
    """Return a function that opens the same directory again."""
    return lambda **options: kind(directory=tmp_path / "kv", _clock=clock, **options)


@pytest.fixture
def folder(kind, tmp_path):
    """Where the database of the default collection is."""
    return tmp_path / "kv" if kind is DiskStore else tmp_path / "kv" / "default_collection"


@pytest.fixture
async def store(make):
    """A store on a directory that is made when it is first used."""
    store = make()
    yield store
    await store.close()


@pytest.fixture
def sql(folder):
    """Return a function that runs a statement behind the store's back."""

    def run(statement, *values):
        with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    return run


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(98)
async def test_files_belong_to_the_user_alone(store, tmp_path, folder):
    """Under umask 022 the directory has mode 0700, and the database, its log and the log's index 0600."""
    before = os.umask(0o022)
    try:
        await store.put("key", {"n": 1})
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "kv", folder, *folder.iterdir()]}
    assert modes == {"kv": 0o700, folder.name: 0o700, "cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600}


async def test_constructor_touches_nothing(make, tmp_path):
    """The directory is made by the first operation, not before."""
    store = make()
    await store.close()

    assert not (tmp_path / "kv").exists()


async def test_directory_that_is_a_file(tmp_path, make):
    """A directory option that names a file is found out at first use."""
    (tmp_path / "kv").write_text("not a directory")

    async with make() as store:
        with pytest.raises(StoreSetupError, match="kv"):
            await store.get("key")


@pytest.mark.faults(100)
@pytest.mark.parametrize(
    "content", [b"", b"SQLite format 4\0" + bytes(8192), b"\xff" * 16_384], ids=["empty", "old", "noise"]
)
async def test_file_that_is_not_a_database(folder, make, content):
    """An empty or foreign cache.db is refused, not replaced."""
    folder.mkdir(parents=True)
    (folder / "cache.db").write_bytes(content)

    async with make() as store:
        with pytest.raises(StoreSetupError, match=r"cache\.db"):
            await store.get("key")
    assert (folder / "cache.db").read_bytes() == content


@pytest.mark.faults(100)
async def test_overwritten_header(folder, make):
    """A database whose header was overwritten is refused by every operation, never shown as empty."""
    async with make() as store:
        await store.put("key", {"n": 1})
    with (folder / "cache.db").open("r+b") as file:
        file.write(b"\xde\xad\xbe\xef" * 25)

    async with make() as store:
        for operation, *args in ((store.get, "key"), (store.keys,), (store.put, "key", {"n": 2}), (store.collections,)):
            with pytest.raises((StoreSetupError, CorruptEntryError)):
                await operation(*args)


@pytest.mark.faults(100)
async def test_overwritten_pages(folder, make):
    """Noise in the middle of the database is CorruptEntryError."""
    async with make() as store:
        await store.put_many([f"key{n}" for n in range(2000)], [{"text": "x" * 200}] * 2000)
    with (folder / "cache.db").open("r+b") as file:
        file.seek(20 * 4096)
        file.write(os.urandom(60 * 4096))

    async with make() as store:
        with pytest.raises((CorruptEntryError, StoreSetupError)):
            await store.get_many([f"key{n}" for n in range(2000)])


@pytest.mark.faults(100)
async def test_foreign_schema(folder, make, sql):
    """Another application's database is refused, and stays as it is."""
    folder.mkdir(parents=True)
    sql("CREATE TABLE Cache (key, value)")

    async with make() as store:
        with pytest.raises(StoreSetupError, match="diskcache"):
            await store.put("key", {"n": 1})
    assert sql("SELECT name FROM sqlite_master") == [("Cache",)]


@pytest.mark.faults(100)
async def test_log_removed(kind, tmp_path, make, folder):
    """A log that was removed from beside its index is missed, as is a database from beside its log."""
    async with make() as store:
        await store.put("key", {"n": 1})
        shutil.copytree(tmp_path / "kv", tmp_path / "copy")  # what a crash leaves
    copy = tmp_path / "copy" / folder.relative_to(tmp_path / "kv")

    for name, complaint in (("cache.db-wal", r"cache\.db-wal"), ("cache.db", "missing")):
        (copy / name).rename(tmp_path / "hidden")
        async with kind(directory=tmp_path / "copy") as copied:
            for operation in (copied.get, copied.delete):
                with pytest.raises(StoreSetupError, match=complaint):
                    await operation("key")
        (tmp_path / "hidden").rename(copy / name)
    async with kind(directory=tmp_path / "copy") as copied:
        assert await copied.get("key") == {"n": 1}


@pytest.mark.faults(138)
async def test_log_and_synchronous_are_as_documented(store, sql):
    """The docstring says what a power loss may roll back, and the database is set accordingly."""

    def pragmas(connection):
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    await store.put("key", {"n": 1})

    assert await store._do(store.default_collection, None, pragmas) == [b"wal", 1]
    assert "synchronous=NORMAL" in (DiskStore.__doc__ or "")
    assert "what `DiskStore` promises" in (MultiDiskStore.__doc__ or "")


# Damaged and foreign entries ------------------------------------------------------------------------------------------


class Bomb:
    """What notes on the disk that it was unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def plant(store, sql):
    """Return a function that writes a row behind the store's back."""

    async def row(key, *, mode=1, filename=None, value=None):
        await store.put(key, {"n": 1})
        sql(
            "UPDATE Cache SET mode = ?, filename = ?, value = ? WHERE key = ?",
            *(mode, filename, value, address.encode("default_collection", key)),
        )

    return row


@pytest.mark.faults(97)
async def test_pickle_is_not_loaded(store, plant, tmp_path, folder):
    """A pickle, in the row or in a file, raises CorruptEntryError from every read, and runs nothing."""
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    folder.mkdir(parents=True)
    (folder / "bomb.val").write_bytes(bomb)
    await plant("row", mode=4, value=bomb)
    await plant("file", mode=4, filename="bomb.val")

    for key in ("row", "file"):
        for operation in (store.get, store.ttl, store.get_with_revision, store.increment):
            with pytest.raises(CorruptEntryError, match=key):
                await operation(key)
        with pytest.raises(CorruptEntryError, match=key):
            await store.get_many(["absent", key])
    assert not (tmp_path / "exploded").exists()
    assert await store.delete("row") is True
    await store.put("file", {"n": 2})
    assert await store.get("file") == {"n": 2}


@pytest.mark.faults(106)
@pytest.mark.parametrize(
    "content",
    [
        "garbage",
        b"",
        b"[]",
        b"\xff\xfe",
        "{}",
        b'{"version":1}',
        '{"collection":1,"key":2,"value":{},"version":1}',
        5,
        2.5,
        None,
    ],
)
async def test_garbage_is_corrupt(store, plant, content):
    """Whatever was written there that is not an entry, single and bulk reads raise the same."""
    await plant("key", value=content)

    with pytest.raises(CorruptEntryError, match="key"):
        await store.get("key")
    with pytest.raises(CorruptEntryError, match="key"):
        await store.get_many(["key"])
    with pytest.raises(CorruptEntryError, match="key"):
        await store.ttl("key")
    assert await store.put_if_absent("key", {"n": 2}) is False
    assert await store.delete("key") is True


BOMBS = {"dicts": '{"a":' * 100_000 + "1" + "}" * 100_000, "lists": "[" * 100_000 + "]" * 100_000, "digits": "9" * 5000}


@pytest.mark.faults(34, 35)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
async def test_bombs_are_corrupt(store, plant, bomb):
    """Bytes nested a hundred thousand deep, or with a number of five thousand digits, are an error by name."""
    await plant("key", value=f'{{"collection":"default_collection","key":"key","version":1,"value":{{"a":{bomb}}}}}')

    for read in (store.get, store.ttl, store.get_with_revision):
        with pytest.raises(CorruptEntryError, match="key"):
            await read("key")


@pytest.mark.faults(27)
async def test_copied_row(store, sql):
    """A row copied to another key is not that key's entry: every read says so, and no value is given."""
    await store.put("mine", {"secret": 1})
    names = [address.encode("default_collection", key) for key in ("yours", "mine")]
    sql("UPDATE Cache SET key = ? WHERE key = ?", *names)

    for read in (store.get, store.ttl, store.get_with_revision, store.increment):
        with pytest.raises(CorruptEntryError, match="yours"):
            await read("yours")
    with pytest.raises(CorruptEntryError, match="yours"):
        await store.get_many(["mine", "yours"])
    assert await store.get("mine") is None


@pytest.mark.faults(97)
async def test_files_outside_stay_alone(store, plant, tmp_path):
    """A planted file name that leads out of the directory is neither read nor deleted."""
    entry = {"collection": "default_collection", "key": "key", "value": {"n": 1}, "version": 1}
    (tmp_path / "outside").write_text(json.dumps(entry))
    for filename in ("../outside", str(tmp_path / "outside")):
        await plant("key", mode=3, filename=filename)
        with pytest.raises(CorruptEntryError, match="key"):
            await store.get("key")
        await store.put("key", {"n": 2})
        await plant("key", mode=3, filename=filename)
        await store.delete("key")
        await plant("key", mode=3, filename=filename)
        await store.destroy_collection("default_collection")

    assert (tmp_path / "outside").exists()


async def test_value_files_are_read_and_not_missed(store, plant, tmp_path, folder):
    """A value that py-key-value keeps in a file is read; a lost file is no miss; overwriting deletes it."""
    entry = codec.encode(codec.decode(await written(store, "key", {"text": "long"}), "default_collection", "key"))
    path = folder / "ab" / "cd" / "value.val"
    path.parent.mkdir(parents=True)
    path.write_bytes(entry)
    await plant("key", mode=3, filename="ab/cd/value.val")

    assert await store.get("key") == {"text": "long"}
    path.rename(tmp_path / "hidden")
    with pytest.raises(CorruptEntryError, match="lost"):
        await store.get("key")
    (tmp_path / "hidden").rename(path)
    await store.put("key", {"n": 2})
    assert await store.get("key") == {"n": 2}
    assert not path.parent.parent.exists()


async def written(store, key, value):
    """Return the bytes that the store writes."""
    await store.put(key, value)
    return await store._read("default_collection", key)


async def test_diskcache_finds_its_books_in_order(store, folder):
    """After writes, overwrites and deletes the database is one that diskcache itself calls sound."""
    for number in range(50):
        await store.put(f"key{number % 20}", {"n": number})
    await store.delete_many(["key1", "key2"])

    with Cache(str(folder), disk=BytesDisk, disk_min_file_size=IN_DATABASE, eviction_policy="none") as cache:
        assert cache.check() == []
        assert len(cache) == 18


# Time -----------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(54)
async def test_entries_end_at_the_microsecond(store, clock):
    """One microsecond before its end an entry is there for every read, and at its end for none."""
    await store.put("key", {"n": 1}, ttl=10)
    await clock.advance(10 - 1e-6)

    assert await store.get("key") == {"n": 1}
    assert await store.get_many(["key"]) == [{"n": 1}]
    assert (await store.ttl("key"))[0] == {"n": 1}
    assert await store.cull() == 0
    assert await store.keys() == ["key"]
    await clock.advance(1e-6)
    assert await store.get("key") is None
    assert await store.get_many(["key"]) == [None]
    assert await store.ttl("key") == (None, None)
    assert await store.ttl_many(["key"]) == [(None, None)]
    assert await store.keys() == []


@pytest.mark.faults(58)
async def test_each_reader_has_its_clock(kind, make, tmp_path):
    """An entry ends by the clock of the machine that reads it, as the docstring says."""
    late = ToldClock()
    await late.advance(120)
    async with make() as store, kind(directory=tmp_path / "kv", _clock=late) as other:
        await store.put("key", {"n": 1}, ttl=60)

        assert await other.get("key") is None
        assert await store.get("key") == {"n": 1}
    assert "this machine's wall clock" in (DiskStore.__doc__ or "")


@pytest.mark.faults(60)
async def test_timeouts_do_not_see_the_wall_clock(make, folder, monkeypatch):
    """Waiting for a lock takes as long as it should, though the wall clock jumps by an hour."""
    async with make(timeout=0.2) as store:
        await store.put("key", {"n": 1})
        with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for now in (time.time() + 3600, time.time() - 3600):
                monkeypatch.setattr("time.time", lambda now=now: now)
                with stopwatch() as watch, pytest.raises(StoreTimeoutError):
                    await store.put("key", {"n": 2})
                assert 0.1 < watch.seconds < 0.5


@pytest.mark.faults(56)
async def test_ended_entry_counts_as_absent(store, clock):
    """An entry that has ended and still lies there is not deleted, replaced, touched or counted up."""
    for key in ("a", "b", "c", "d"):
        await store.put(key, {"value": 1}, ttl=1)
    await clock.advance(timedelta(seconds=1).total_seconds())

    assert await store.delete("a") is False
    assert await store.put_if_present("b", {"n": 2}) is False
    assert await store.touch("b", ttl=5) is False
    assert await store.put_if_absent("b", {"n": 2}) is True
    assert await store.increment("c", initial=7) == 8
    assert await store.delete_many(["d", "b"]) == 1


@pytest.mark.faults(57)
async def test_room_of_ended_entries_is_given_back(store, clock, sql):
    """Entries that have ended are not listed, and later writes give back their room, little by little."""
    text = {"text": "x" * 500}
    for _ in range(5):
        await store.put_many([f"key{number}" for number in range(1000)], [text] * 1000, ttl=0.01)
        await clock.advance(1)
    assert await store.keys() == []
    for number in range(1000):
        await store.put("key", {"n": number})

    assert sql("SELECT count(*) FROM Cache") == [(1,)]
    assert sql("PRAGMA freelist_count") == [(0,)]
    assert sql("PRAGMA page_count")[0][0] < 50


async def test_cull_drops_what_has_ended(store, clock, sql):
    """`cull` drops all that has ended at once, more than fits into one step, and says how many."""
    await store.put_many([f"key{number}" for number in range(1200)], [{"n": 1}] * 1200, ttl=1)
    await store.put("stays", {"n": 1}, ttl=5)
    await clock.advance(1)

    assert await store.cull() == 1200
    assert await store.cull() == 0
    assert sql("SELECT count(*) FROM Cache") == [(1,)]


# Locks and threads ----------------------------------------------------------------------------------------------------


@pytest.mark.faults(101)
async def test_held_lock_ends_in_a_timeout(make, folder):
    """While another has the write lock, writes end at the timeout, saying that nothing was done, and reads go on."""
    async with make(timeout=0.3) as store:
        await store.put("key", {"n": 1})
        with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for write in (store.put, store.put_if_present, store.put_if_absent):
                with stopwatch() as watch, pytest.raises(StoreTimeoutError, match="key") as caught:
                    await write("key", {"n": 2})
                assert 0.2 < watch.seconds < 0.6
                assert caught.value.outcome == "not_applied"
            assert await store.get("key") == {"n": 1}
            other.execute("ROLLBACK")

        await store.put("key", {"n": 3})
        assert await store.get("key") == {"n": 3}


@pytest.mark.faults(101)
async def test_opening_waits_for_no_lock(make, folder):
    """A store that is opened while another has the write lock can read at once."""
    async with make() as store:
        await store.put("key", {"n": 1})
        with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with make(timeout=0.3) as late:
                assert await late.get("key") == {"n": 1}


@pytest.mark.faults(111)
async def test_first_puts_at_once(make, sql):
    """Fifty first puts of one key at once, through several stores, leave one row; of conditional ones, one wins."""
    stores = [make() for _ in range(5)]
    await gather(*[stores[number % 5].put("key", {"n": number}) for number in range(50)])
    won = await gather(*[stores[number % 5].put_if_absent("first", {"n": number}) for number in range(50)])

    assert sum(won) == 1
    assert sql("SELECT count(*) FROM Cache") == [(2,)]
    for store in stores:
        await store.close()


@pytest.mark.faults(102)
async def test_reading_adds_nothing(store, sql):
    """Reads of collections that were never written leave no row and open no file."""
    await store.put("key", {"n": 1})
    before = open_files(Path("/"))
    for number in range(20_000 if os.environ.get("KV_TEST_FULL") else 500):
        assert await store.get("key", collection=f"collection{number}") is None

    assert sql("SELECT count(*) FROM Cache") == [(1,)]
    assert open_files(Path("/")) <= before + 3  # a reader of its own, on the side that waits


@pytest.mark.faults(101)
async def test_no_update_is_lost_between_handles(make):
    """Increments through several stores on one directory all count."""
    stores = [make() for _ in range(4)]

    async def count(store):
        for _ in range(100):
            await store.increment("key", initial=0)

    await gather(*[count(store) for store in stores])

    assert await stores[0].get("key") == {"value": 400}
    for store in stores:
        await store.close()


def open_files(folder):
    """Return how many files below *folder* the process has open."""
    links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(link.is_relative_to(folder) for link in links)


@pytest.mark.faults(134)
async def test_close_leaves_no_thread_and_no_file(make, tmp_path):
    """After close there are as many threads and open files as before, and operations say that it was closed."""
    threads = threading.active_count()
    store = make()
    await store.put("key", {"n": 1})
    await store.get("key")
    assert open_files(tmp_path)
    await store.close()
    await store.close()

    assert threading.active_count() <= threads
    assert not open_files(tmp_path)
    with pytest.raises(StoreClosedError):
        await store.get("key")


async def fill(store):
    """Write until something is in the way."""
    for number in range(100):
        await store.put(f"key{number}", {"text": "x" * 50_000})


@pytest.mark.faults(108, 139)
async def test_full_disk_at_the_start(make, folder):
    """Without room for a new database a put is StoreFullError and leaves nothing; it goes on when there is room."""
    async with make() as store:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        try:
            for _ in range(2):
                with pytest.raises(StoreFullError, match="key") as caught:
                    await store.put("key", {"n": 1})
                assert caught.value.outcome == "not_applied"
            assert not list(folder.iterdir())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        await store.put("key", {"n": 1})
        assert await store.get("key") == {"n": 1}


@pytest.mark.faults(108, 139)
async def test_full_disk(make):
    """Without room a write is StoreFullError; earlier entries stay readable; it goes on when there is room."""
    async with make() as store:
        await store.put("first", {"n": 1})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE, hard))
        try:
            with pytest.raises(StoreFullError, match="key") as caught:
                await fill(store)
            assert caught.value.outcome == "not_applied"
            assert await store.get("first") == {"n": 1}
            with pytest.raises(StoreFullError):
                await store.put_many(["a", "b"], [{"text": "x" * MEGABYTE}] * 2)
            kept = await store.keys()
            assert all(value is not None for value in await store.get_many(kept))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert await store.get("a") is None
        await store.put("first", {"n": 2})
        assert await store.get("first") == {"n": 2}


# Limits and options ---------------------------------------------------------------------------------------------------


@pytest.mark.faults(42)
@pytest.mark.parametrize("size", [2**20, 2**24, *([100 * 2**20] if os.environ.get("KV_TEST_FULL") else [])])
async def test_large_values(make, folder, size):
    """Values of 1 and of 16 MiB come back whole, and lie in the database, not beside it."""
    async with make(timeout=60) as store:
        await store.put("key", {"text": "x" * size, "raw": b"\xff"})

        assert await store.get("key") == {"text": "x" * size, "raw": b"\xff"}
        assert {path.name for path in folder.iterdir()} == {"cache.db", "cache.db-wal", "cache.db-shm"}


@pytest.mark.faults(42)
async def test_the_largest_entry(make, sql):
    """`max_entry_size` bytes are kept, one more is refused by every write, and the old value stays."""
    small, large = {"t": "x" * 100}, {"t": "x" * 101}
    async with make() as store:
        await store.put("key", small)
    [(size,)] = sql("SELECT length(value) FROM Cache")
    async with make(max_entry_size=size) as store:
        await store.put("key", small)

        for write in (store.put, store.put_if_present):
            with pytest.raises(EntryTooLargeError, match=f"{size + 1}"):
                await write("key", large)
        with pytest.raises(EntryTooLargeError):
            await store.put_many(["new", "key"], [{}, large])
        with pytest.raises(EntryTooLargeError):
            await store.put_if_absent("new", large)
        assert await store.get_many(["key", "new"]) == [small, None]


async def test_max_size_drops_what_was_written_first(make, folder):
    """The database stays below max_size; what was written last is kept."""
    async with make(max_size=MEGABYTE) as store:
        for number in range(500):
            await store.put(f"key{number}", {"text": "x" * 10_000})

        keys = await store.keys()
        assert 40 < len(keys) < 110
        assert sorted(keys) == sorted(f"key{number}" for number in range(500 - len(keys), 500))
    assert (folder / "cache.db").stat().st_size <= MEGABYTE


async def test_newest_entry_is_never_dropped_for_room(make):
    """An entry larger than max_size is kept until the next is written."""
    async with make(max_size=200_000) as store:
        await store.put("old", {"n": 1})
        await store.put("large", {"text": "x" * 300_000})

        assert await store.keys() == ["large"]


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_collections_are_limited(make, limit):
    """A collection has at most its limit and at least nine tenths of it; the oldest go; others are not touched."""
    async with make(max_entries_per_collection=limit) as store:
        await store.put("other", {"n": 0}, collection="other")
        for number in range(3 * limit):
            await store.put(f"key{number:04}", {"n": number})
            await store.put(f"key{number:04}", {"n": number})
            keys = await store.keys()
            assert len(keys) <= limit
            assert f"key{number:04}" in keys

        assert len(keys) >= limit - limit // 10
        assert keys == [f"key{number:04}" for number in range(3 * limit - len(keys), 3 * limit)]
        await store.put_many([f"bulk{number:04}" for number in range(2 * limit)], [{"n": 1}] * 2 * limit)
        assert len(await store.keys()) <= limit
        assert await store.get("other", collection="other") == {"n": 0}


async def test_limit_holds_between_processes_by_a_tenth(make):
    """Stores that do not know of each other's entries exceed the limit by a tenth each at most."""
    stores = [make(max_entries_per_collection=100) for _ in range(3)]
    most = 0
    for number in range(600):
        await stores[number % 3].put(f"key{number}", {"n": number})
        most = max(most, len(await stores[0].keys()))

    assert 90 <= most <= 130
    for store in stores:
        await store.close()
