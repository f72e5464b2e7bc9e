"""MultiDiskStore passes the contract; its directories are distinct, inside, and made by writes alone."""

import os
import threading
from pathlib import Path

import pytest
from diskcache import Cache

from kv_core.aio._runtime import gather
from kv_core.aio.stores.disk import DiskStore
from kv_core.aio.stores.multi_disk import MultiDiskStore
from kv_core.aio.testing import StoreContract, ToldClock
from kv_core.capabilities import ALL, capabilities
from kv_core.disk_format import IN_DATABASE, BytesDisk
from kv_core.errors import (
    ConfigurationError,
    CorruptEntryError,
    MissingKeyError,
    PathSecurityError,
    StoreSetupError,
    UnsupportedOperationError,
)

FULL = bool(os.environ.get("KV_TEST_FULL"))
MEGABYTE = 1_000_000


@pytest.fixture
def clock():
    """A clock that stands still until it is told."""
    return ToldClock()


@pytest.fixture
def make(tmp_path, clock):
    """Return a function that opens the same directory again."""
    return lambda **options: MultiDiskStore(directory=tmp_path / "kv", _clock=clock, **options)


@pytest.fixture
async def store(make):
    """A store on a directory that is made when it is first written to."""
    store = make()
    yield store
    await store.close()


class TestContract(StoreContract):
    """The contract, on a told clock."""

    @pytest.fixture
    def make(self, tmp_path, clock):
        return lambda: MultiDiskStore(directory=tmp_path / "kv", _clock=clock)

    @pytest.fixture
    def advance(self, clock):
        return clock.advance


async def test_multi_disk_has_every_capability(store):
    """Nothing of the protocol is missing."""
    assert capabilities(store) == ALL


def below(folder):
    """Return the names of what is in a directory."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# Directories ----------------------------------------------------------------------------------------------------------


@pytest.mark.faults(13, 14, 16)
async def test_no_collection_leaves_the_directory(store, tmp_path):
    """Whatever a collection is called, its directory is inside, and those that look alike have one each."""
    hostile = ["..", ".", "/", "../../elsewhere/x", "C:\\x", "CON", "con", "nul", "com1", "a\0b", "x" * 300, "X" * 300]
    alike = ["Users", "users", "USERS", "\xe9", "e\u0301", "\u212a", "k", "%2e%2e", "a.", "a", "a ", "~", "cache.db"]
    for name in hostile + alike:
        await store.put("key", {"in": name}, collection=name)

    assert [await store.get("key", collection=name) for name in hostile + alike] == [
        {"in": name} for name in hostile + alike
    ]
    assert below(tmp_path) == ["kv"]
    assert len({name.casefold() for name in below(tmp_path / "kv")}) == len(hostile + alike)
    assert sorted(await store.collections()) == sorted(hostile + alike)
    for name in hostile + alike:
        assert await store.destroy_collection(name) is True
    assert await store.collections() == []


@pytest.mark.faults(17)
@pytest.mark.parametrize("planted", ["users", "users/cache.db"])
async def test_link_that_leads_outside(store, tmp_path, planted):
    """A link as a collection's directory or database that leads outside is refused, and what is there not touched."""
    async with DiskStore(directory=tmp_path / "elsewhere") as other:
        await other.put("key", {"n": 1}, collection="users")
    link = tmp_path / "kv" / planted
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere" / planted.removeprefix("users").removeprefix("/"))
    before = below(tmp_path / "elsewhere")

    for operation in (store.get, store.delete, store.ttl, store.increment):
        with pytest.raises(PathSecurityError):
            await operation("key", collection="users")
    with pytest.raises(PathSecurityError):
        await store.put("key", {"n": 2}, collection="users")
    with pytest.raises(PathSecurityError):
        await store.destroy()
    assert below(tmp_path / "elsewhere") == before
    async with DiskStore(directory=tmp_path / "elsewhere") as other:
        assert await other.get("key", collection="users") == {"n": 1}


@pytest.mark.faults(17)
async def test_link_that_leads_nowhere_or_in_circles(store, tmp_path):
    """A link to nothing outside makes nothing there, and one to itself is refused."""
    (tmp_path / "kv").mkdir()
    (tmp_path / "kv" / "users").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "kv" / "circle").symlink_to("circle")

    for collection in ("users", "circle"):
        with pytest.raises((PathSecurityError, StoreSetupError)):
            await store.put("key", {"n": 1}, collection=collection)
    assert below(tmp_path) == ["kv"]


async def test_the_directory_itself_may_be_a_link(tmp_path):
    """A user may keep the directory elsewhere, and a collection's in another place inside."""
    (tmp_path / "real").mkdir()
    (tmp_path / "kv").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "a").symlink_to("b")

    async with MultiDiskStore(directory=tmp_path / "kv") as store:
        await store.put("key", {"n": 1}, collection="b")
        await store.put("key", {"n": 2}, collection="a")
        assert await store.get("key", collection="b") == {"n": 1}
        assert await store.get("key", collection="a") == {"n": 2}


@pytest.mark.faults(102)
async def test_reading_creates_nothing(store, tmp_path):
    """Reading never-written collections makes no directory, opens no file, and starts one thread at most."""
    for number in range(20_000 if FULL else 1000):
        assert await store.get("key", collection=f"collection{number}") is None
    assert below(tmp_path) == []
    files, threads = len(below(Path("/proc/self/fd"))), threading.active_count()
    await store.put("key", {"n": 1}, collection="written")
    opened = len(below(Path("/proc/self/fd"))) - files

    for number in range(500):
        name = f"other{number}"
        assert await store.get_many(["a", "b"], collection=name) == [None, None]
        assert await store.ttl("a", collection=name) == (None, None)
        assert await store.keys(name) == []
        assert await store.get_with_revision("a", collection=name) is None

    assert below(tmp_path / "kv") == ["written"]
    assert len(below(Path("/proc/self/fd"))) - files == opened
    assert threading.active_count() <= threads + 1


async def test_what_has_nothing_to_change_creates_nothing(store, tmp_path):
    """Deleting, touching, replacing and counting up what is not there makes no directory, either."""
    assert await store.delete("key") is False
    assert await store.delete_many(["a", "b"]) == 0
    assert await store.touch("key", ttl=5) is False
    assert await store.put_if_present("key", {"n": 1}) is False
    with pytest.raises(MissingKeyError):
        await store.increment("key")
    assert await store.destroy_collection("users") is False
    assert await store.destroy() is False
    assert await store.collections() == []
    assert await store.cull() == 0
    assert await store.ping() < 1

    assert below(tmp_path) == []


async def test_damaged_collection_is_no_empty_one(store, tmp_path):
    """A collection whose database is damaged is an error for whoever reads or lists it; the others go on."""
    await store.put("key", {"n": 1}, collection="whole")
    (tmp_path / "kv" / "broken").mkdir()
    (tmp_path / "kv" / "broken" / "cache.db").write_bytes(b"\xff" * 16_384)

    for operation in (store.collections, store.destroy, store.cull):
        with pytest.raises((StoreSetupError, CorruptEntryError)):
            await operation()
    with pytest.raises((StoreSetupError, CorruptEntryError)):
        await store.get("key", collection="broken")
    await store.put("key", {"n": 2}, collection="whole")
    assert await store.get("key", collection="whole") == {"n": 2}


async def test_only_what_is_ours_is_listed_and_destroyed(store, tmp_path):
    """Other files, other stores' directories, and a copy of a collection's directory stay as they are."""
    await store.put("key", {"n": 1}, collection="users")
    (tmp_path / "kv" / "notes.txt").write_text("mine")
    (tmp_path / "kv" / "Folder").mkdir()
    (tmp_path / "kv" / "plain").mkdir()
    async with DiskStore(directory=tmp_path / "kv" / "backup") as other:
        await other.put("key", {"n": 2}, collection="users")

        assert await store.collections() == ["users"]
        assert await store.destroy() is True
        assert await store.destroy() is False
        assert await store.collections() == []
        assert await other.get("key", collection="users") == {"n": 2}
    assert below(tmp_path / "kv") == ["Folder", "backup", "notes.txt", "plain", "users"]
    assert below(tmp_path / "kv" / "plain") == []


async def test_destroy_takes_what_has_ended_along(store, clock, tmp_path):
    """After `destroy` no entry is left in the databases, ended ones included."""
    await store.put("ended", {"n": 1}, collection="a", ttl=1)
    await store.put("living", {"n": 1}, collection="b")
    await clock.advance(1)

    assert await store.collections() == ["b"]
    assert await store.destroy() is True
    for collection in ("a", "b"):
        with Cache(str(tmp_path / "kv" / collection), disk=BytesDisk, eviction_policy="none") as cache:
            assert len(cache) == 0


# Threads and databases ------------------------------------------------------------------------------------------------


@pytest.mark.faults(102)
async def test_many_collections_keep_few_files_open(store):
    """However many collections are written and read, few databases are open, and few threads are started."""
    files, threads = len(below(Path("/proc/self/fd"))), threading.active_count()
    names = [f"collection{number}" for number in range(1000 if FULL else 60)]
    for name in names:
        await store.put("key", {"in": name}, collection=name)
    await gather(*[store.put("more", {"in": name}, collection=name) for name in names])

    for key in ("key", "more"):
        assert await gather(*[store.get(key, collection=name) for name in names]) == [{"in": name} for name in names]
    assert sorted(await store.collections()) == sorted(names)
    assert len(below(Path("/proc/self/fd"))) <= files + 60
    assert threading.active_count() <= threads + 2


@pytest.mark.faults(101)
async def test_no_update_is_lost_across_collections(make):
    """Increments of several collections through several stores all count, though databases are opened and closed."""
    stores = [make() for _ in range(2)]
    names = [f"collection{number}" for number in range(12)]

    async def count(store, name):
        for _ in range(10):
            await store.increment("counter", initial=0, collection=name)

    await gather(*[count(store, name) for store in stores for name in names])

    assert [await stores[0].get("counter", collection=name) for name in names] == [{"value": 20}] * 12
    for store in stores:
        await store.close()


# Limits and options ---------------------------------------------------------------------------------------------------


async def test_max_size_is_each_collections_own(make):
    """A large collection loses its first entries, and another none."""
    async with make(max_size=MEGABYTE) as store:
        await store.put("key", {"n": 1}, collection="small")
        for number in range(200):
            await store.put(f"key{number}", {"text": "x" * 10_000}, collection="large")

        assert 40 < len(await store.keys("large")) < 110
        assert await store.keys("small") == ["key"]


async def test_caches_of_a_function(tmp_path):
    """A function says where a collection is; its caches' limits hold; what cannot be listed is withdrawn."""

    def cache_of(collection):
        folder = tmp_path / ("shared" if collection in ("a", "b") else "other")
        return Cache(str(folder), disk=BytesDisk, disk_min_file_size=IN_DATABASE, size_limit=MEGABYTE)

    async with MultiDiskStore(disk_cache_factory=cache_of) as store:
        for collection in ("a", "b", "../c"):
            await store.put("key", {"in": collection}, collection=collection)
        for number in range(200):
            await store.put(f"key{number}", {"text": "x" * 10_000}, collection="../c")

        assert await store.get("key", collection="a") == {"in": "a"}
        assert await store.keys("b") == ["key"]
        assert 40 < len(await store.keys("../c")) < 110
        assert await store.destroy_collection("a") is True
        assert await store.get("key", collection="b") == {"in": "b"}
        assert await store.ping() < 1
        assert ALL - capabilities(store) == {"collections", "destroy", "cull"}
        for operation in (store.collections, store.destroy, store.cull):
            with pytest.raises(UnsupportedOperationError, match=operation.__name__):
                await operation()


@pytest.mark.faults(97)
@pytest.mark.parametrize("made", [Cache, lambda folder: folder], ids=["stock", "none"])
async def test_function_that_returns_another_cache(tmp_path, made):
    """A Cache that would load pickles, or none at all, is refused when it is met."""
    async with MultiDiskStore(disk_cache_factory=lambda name: made(str(tmp_path / name))) as store:
        with pytest.raises(ConfigurationError, match="BytesDisk"):
            await store.put("key", {"n": 1})


def test_function_by_its_path():
    """Settings name the function by its dotted path."""
    assert "collections" not in capabilities(MultiDiskStore(disk_cache_factory="diskcache.Cache"))


async def test_base_directory_is_accepted(tmp_path):
    """`base_directory` is another name of `directory`."""
    async with MultiDiskStore(base_directory=tmp_path / "kv") as store:  # pyright: ignore[reportCallIssue]
        await store.put("key", {"n": 1}, collection="users")

    assert below(tmp_path / "kv") == ["users"]


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"directory": ""},
        {"directory": "kv", "max_size": 0},
        {"directory": "kv", "max_entries_per_collection": 0},
        {"directory": "kv", "timeout": -1},
        {"directory": "kv", "disk_cache_factory": Cache},
        {"disk_cache_factory": Cache, "max_size": MEGABYTE},
        {"disk_cache_factory": 5},
        {"disk_cache_factory": "diskcache.nothing"},
    ],
)
def test_wrong_options(options):
    """What cannot work is refused when the store is made."""
    with pytest.raises(ConfigurationError):
        MultiDiskStore(**options)
