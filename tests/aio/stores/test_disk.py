"""DiskStore passes the contract, and reads what others wrote; `test_disk_faults.py` has what goes wrong."""

import json

import pytest
from diskcache import Cache

from kv_core.aio.stores.disk import DiskStore
from kv_core.aio.testing import StoreContract, ToldClock
from kv_core.capabilities import ALL, capabilities
from kv_core.disk_format import IN_DATABASE, BytesDisk
from kv_core.errors import ConfigurationError

MEGABYTE = 1_000_000


@pytest.fixture
def clock():
    """A clock that stands still until it is told."""
    return ToldClock()


@pytest.fixture
def make(tmp_path, clock):
    """Return a function that opens the same directory again."""
    return lambda **options: DiskStore(directory=tmp_path / "kv", _clock=clock, **options)


@pytest.fixture
async def store(make):
    """A store on a directory that is made when it is first used."""
    store = make()
    yield store
    await store.close()


class TestContract(StoreContract):
    """The contract, on a told clock."""

    @pytest.fixture
    def make(self, tmp_path, clock):
        return lambda: DiskStore(directory=tmp_path / "kv", _clock=clock)

    @pytest.fixture
    def advance(self, clock):
        return clock.advance


async def test_disk_has_every_capability(store):
    """Nothing of the protocol is missing."""
    assert capabilities(store) == ALL


async def test_home_and_relative_directories(tmp_path, monkeypatch):
    """`~` is the user's home, and a relative directory counts from where the process was when the store was made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    async with DiskStore(directory="~/a") as home, DiskStore(directory="b") as relative:
        monkeypatch.chdir("/")
        await home.put("key", {"n": 1})
        await relative.put("key", {"n": 2})

    assert (tmp_path / "a" / "cache.db").exists()
    assert (tmp_path / "b" / "cache.db").exists()


@pytest.mark.parametrize("length", [10, 100_000])
async def test_py_key_value_rows_are_read(tmp_path, make, length):
    """What py-key-value wrote, as text in the row or in a file, is read, listed and overwritten."""
    entry = {
        "collection": "users",
        "created_at": "2025-01-01T00:00:00+00:00",
        "key": "ada",
        "value": {"text": "é" * length},
        "version": 1,
    }
    with Cache(str(tmp_path / "kv"), eviction_policy="none") as cache:
        cache.set("users::ada", json.dumps(entry))

    async with make() as store:
        assert await store.get("ada", collection="users") == {"text": "é" * length}
        assert await store.keys("users") == ["ada"]
        assert await store.collections() == ["users"]
        await store.put("ada", {"n": 1}, collection="users")
        assert await store.get("ada", collection="users") == {"n": 1}
        assert not list((tmp_path / "kv").rglob("*.val"))


async def test_destroy_leaves_foreign_rows(store, tmp_path):
    """Rows that are not entries stay when the store is destroyed."""
    await store.put("key", {"n": 1})
    await store.put("key", {"n": 1}, collection="other")
    with Cache(str(tmp_path / "kv"), eviction_policy="none") as cache:
        cache.set("mine", "text")
        cache.set("a::b", "not an entry")
        cache.set(7, "a number")

        assert await store.collections() == ["default_collection", "other"]
        assert await store.destroy() is True
        assert await store.destroy() is False
        assert [cache.get(key) for key in ("mine", "a::b", 7)] == ["text", "not an entry", "a number"]


async def test_cache_of_the_user(tmp_path):
    """A Cache with our Disk is used, with its limit, and stays open; its entries are the store's."""
    with Cache(str(tmp_path / "kv"), disk=BytesDisk, disk_min_file_size=IN_DATABASE, size_limit=MEGABYTE) as cache:
        async with DiskStore(disk_cache=cache) as store:
            await store.put("key", {"n": 1})
            assert cache.get("default_collection::key") is not None
            for number in range(200):
                await store.put(f"key{number}", {"text": "x" * 10_000})
            assert 40 < len(await store.keys()) < 110
        assert len(cache) > 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"directory": ""},
        {"directory": 5},
        {"directory": "a\0b"},
        {"directory": "kv", "max_size": 0},
        {"directory": "kv", "max_size": "1"},
        {"directory": "kv", "max_entries_per_collection": 0},
        {"directory": "kv", "timeout": -1},
        {"disk_cache": "kv"},
    ],
)
def test_wrong_options(options):
    """What cannot work is refused when the store is made."""
    with pytest.raises(ConfigurationError):
        DiskStore(**options)


@pytest.mark.faults(97)
def test_cache_with_the_stock_disk_is_refused(tmp_path):
    """A Cache that would load pickles is no disk_cache, nor is a directory beside one taken."""
    with Cache(str(tmp_path / "stock")) as cache, pytest.raises(ConfigurationError, match="BytesDisk"):
        DiskStore(disk_cache=cache)
    with Cache(str(tmp_path / "ours"), disk=BytesDisk) as cache:
        with pytest.raises(ConfigurationError, match="directory"):
            DiskStore(disk_cache=cache, directory=tmp_path)
        with pytest.raises(ConfigurationError, match="size_limit"):
            DiskStore(disk_cache=cache, max_size=MEGABYTE)
