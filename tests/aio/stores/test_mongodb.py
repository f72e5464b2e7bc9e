"""MongoDBStore passes the contract, and what is special about it: its documents, commands, indexes, clocks, sizes."""

import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pymongo import MongoClient as Raw
from pymongo.monitoring import CommandListener

from kv_core import codec
from kv_core.aio._drivers import mongodb as driver
from kv_core.aio._runtime import gather
from kv_core.aio.stores.mongodb import MongoDBStore
from kv_core.aio.testing import StoreContract, ToldClock
from kv_core.aio.testing._common import call
from kv_core.capabilities import ALL, capabilities
from kv_core.entry import Entry
from kv_core.errors import (
    ConfigurationError,
    CorruptEntryError,
    EntryTooLargeError,
    PartialFailureError,
    StoreSetupError,
    UnsupportedEntryVersionError,
)
from kv_core.mongodb_documents import LARGEST

DATABASE = "kv_test"
SLOW = 60.0
"""Enough for the stand-in, which takes seconds for a `$in` of a thousand."""


@pytest.fixture(scope="module")
def server(mongodb_server):
    """The server, and a plain client that all tests of this file look through."""
    with Raw(mongodb_server.url, tz_aware=True) as client:
        yield client
        client.drop_database(DATABASE)


@pytest.fixture
def raw(server):
    """A Mongo collection of the test's own."""
    collection = server[DATABASE][f"test_{uuid4().hex[:12]}"]
    yield collection
    collection.drop()


@pytest.fixture
def make(mongodb_server, raw):
    return lambda **options: MongoDBStore(
        **{"url": mongodb_server.url, "db_name": DATABASE, "coll_name": raw.name, "timeout": SLOW} | options
    )


@pytest.fixture
async def store(make):
    async with make() as store:
        yield store


class TestMongoDBStore(StoreContract):
    """The contract, on a real server."""

    @pytest.fixture
    def make(self, mongodb_server, raw):
        return lambda: MongoDBStore(url=f"{mongodb_server.url}/{DATABASE}", coll_name=raw.name, timeout=SLOW)


class TestMongoDBStoreWithClient(StoreContract):
    """The contract, on a client that was passed in and configured for something else."""

    @pytest.fixture
    async def client(self, mongodb_server):
        options = "w=1&readPreference=secondaryPreferred&uuidRepresentation=standard&tz_aware=false"
        client = driver.MongoClient(f"{mongodb_server.url}/{DATABASE}?{options}")
        yield client
        assert await client.admin.command("ping")
        await client.close()

    @pytest.fixture
    def make(self, client, raw):
        return lambda: MongoDBStore(client=client, coll_name=raw.name, timeout=SLOW)


async def test_it_has_every_operation(store):
    """Nothing is missing."""
    assert capabilities(store) == ALL


# Commands -------------------------------------------------------------------------------------------------------------


class Listener(CommandListener):
    """Keeps the commands that a client sends."""

    def __init__(self):
        self.commands = []

    def started(self, event):
        if event.command_name != "endSessions":
            self.commands.append((event.command_name, event.command))

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass

    def names(self):
        """Return the names of the commands since the last time."""
        names, self.commands = [name for name, _ in self.commands], []
        return names


@pytest.fixture
async def watched(mongodb_server, raw):
    """A store, and the listener to what it sends."""
    listener = Listener()
    client = driver.MongoClient(mongodb_server.url, event_listeners=[listener])
    async with MongoDBStore(client=client, db_name=DATABASE, coll_name=raw.name, timeout=SLOW) as store:
        yield store, listener
    await client.close()


async def test_what_each_operation_costs(watched):
    """Single and bulk operations are one round trip, 1,000 keys and more included; an increment is two."""
    store, listener = watched
    keys = [f"key {number}" for number in range(1000)]
    await store.get("key 1")
    assert listener.names() == ["find"]
    await store.put("key 1", {})
    assert listener.names() == ["createIndexes", "update"]
    found = await store.get_with_revision("key 1")
    assert listener.names() == ["aggregate"]
    await store.put("count", {"value": 1})
    listener.names()

    async def cost(operation, *arguments, **options):
        await getattr(store, operation)(*arguments, **options)
        return listener.names()

    assert await cost("put_many", keys, [{"n": 1}] * 1000, ttl=60) == ["update"]
    assert await cost("get_many", [*keys, "none"]) == ["find"]
    assert await cost("ttl_many", keys[:100]) == ["find"]
    assert await cost("put", "key 1", {}, ttl=5) == ["update"]
    assert await cost("ttl", "key 1") == ["find"]
    assert await cost("put_if_absent", "key 1", {}, ttl=5) == ["update"]
    assert await cost("put_if_present", "key 1", {}) == ["update"]
    assert await cost("put_if_unchanged", "key 1", {}, found[1]) == ["update"]
    assert await cost("touch", "key 1", ttl=5) == ["update"]
    assert await cost("increment", "count") == ["aggregate", "update"]
    assert await cost("delete", "key 1") == ["delete"]
    assert await cost("delete_if_unchanged", "key 2", found[1]) == ["delete"]
    assert await cost("keys", limit=10) == ["find"]
    assert await cost("delete_many", keys[:100]) == ["delete"]
    assert await cost("ping") == ["ping"]
    for nothing in (("get_many", []), ("put_many", [], []), ("delete_many", []), ("ttl_many", [])):
        assert await cost(*nothing) == []


def upserts(value):
    """Yield every part of a command that is an upsert."""
    if isinstance(value, dict):
        if value.get("upsert"):
            yield value
        for inner in value.values():
            yield from upserts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from upserts(inner)


@pytest.mark.faults(111)
async def test_no_upsert_has_an_expression_in_its_filter(watched):
    """A server refuses `$expr` in the filter of an upsert, and not every stand-in does: no operation sends one."""
    store, listener = watched
    for operation in sorted(ALL):
        await call(store, operation)
        await call(store, operation)

    found = [one for _, command in listener.commands for one in upserts(dict(command))]
    assert len(found) > 4
    for one in found:
        assert list(one["q"]) == ["_id"], one
    assert [*upserts({"updates": [{"q": {"$expr": 1}, "upsert": True}]})] != []


# Documents ------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(45)
async def test_what_a_document_looks_like(store, raw):
    """The value is opaque bytes, whatever its keys are; the rest is what is asked for."""
    value = {"a.b": 1, "$set": {"$where": "x"}, "": {"\0": 2**63}}
    await store.put("$key", value, collection="$c", ttl=60)

    document = raw.find_one()
    assert list(document) == ["_id", "collection", "key", "entry", "revision", "expires_at"]
    assert (document["_id"], document["collection"], document["key"]) == ("$c::$key", "$c", "$key")
    assert type(document["entry"]) is bytes
    assert len(document["revision"]) == 16
    assert await store.put_if_present("$key", value, collection="$c") is True
    assert await store.put_if_absent("$$ROOT", value, collection="$c") is True
    assert await store.get_many(["$key", "$$ROOT"], collection="$c") == [value, value]
    assert "expires_at" not in raw.find_one({"_id": "$c::$key"})


@pytest.mark.faults(26)
async def test_reserved_names_are_only_text(store, raw):
    """What MongoDB keeps for itself is a name like any other."""
    names = ["system.users", "$cmd", "a.b", "admin", ".", "a\0b", "_id", "$$ROOT", "x" * 300]
    for name in names:
        await store.put(name, {"n": name}, collection=name)

    assert sorted(await store.collections()) == sorted(names)
    assert [await store.get(name, collection=name) for name in names] == [{"n": name} for name in names]
    assert [await store.keys(name) for name in names] == [[name] for name in names]
    assert raw.database.list_collection_names(filter={"name": raw.name}) == [raw.name]


READING = (
    *("get", "get_many", "ttl", "ttl_many", "get_with_revision", "keys", "iter_keys", "collections", "ping"),
    *("delete", "delete_many", "delete_if_unchanged", "destroy_collection", "destroy", "cull"),
)


@pytest.mark.faults(102)
async def test_a_read_makes_nothing(store, raw):
    """Reading, deleting and listing what was never written makes no Mongo collection and no index."""
    for number in range(20_000 if os.environ.get("KV_TEST_FULL") else 200):
        assert await store.get("key", collection=f"c{number}") is None
    for operation in READING:
        await call(store, operation)

    assert raw.name not in raw.database.list_collection_names()
    await store.put("key", {})
    assert raw.name in raw.database.list_collection_names()


@pytest.mark.faults(111)
async def test_many_first_puts(make, raw):
    """Fifty first puts of one key at once, by several clients, make one document; each of them is told it was kept."""
    stores = [make() for _ in range(5)]
    await gather(*[stores[number % 5].put("key", {"n": number}) for number in range(50)])

    assert raw.count_documents({}) == 1
    assert (await stores[0].get("key"))["n"] in range(50)
    won = await gather(*[stores[number % 5].put_if_absent("lock", {"n": number}) for number in range(50)])
    assert won.count(True) == 1
    assert await stores[0].get("lock") == {"n": won.index(True)}
    for store in stores:
        await store.close()


@pytest.mark.faults(112)
async def test_the_index_is_ensured_at_every_start(make, raw):
    """A Mongo collection without the index, as a killed process may leave it, has it after the next first put."""
    raw.database.create_collection(raw.name)
    assert list(raw.index_information()) == ["_id_"]

    for _ in range(2):
        async with make() as store:
            assert await store.get("key") is None
            await store.put("key", {})
            index = raw.index_information()["expires_at_1"]
            assert (list(index["key"]), index["expireAfterSeconds"]) == ([("expires_at", 1)], 0)
            await store.delete("key")


async def test_an_index_of_somebody_else(make, raw):
    """Another index of that name is refused by name, before anything is written."""
    raw.create_index("expires_at", expireAfterSeconds=3600)
    async with make() as store:
        for operation in ("put", "put_many", "put_if_absent"):
            with pytest.raises(StoreSetupError, match="coll_name") as caught:
                await call(store, operation)
            assert caught.value.outcome == "not_applied"
        assert await store.get("key") is None


@pytest.mark.faults(104)
async def test_only_our_documents_are_destroyed(store, raw):
    """Documents of others survive in the same Mongo collection, those that look like ours included."""
    for collection, key in (("c", "k"), ("other", "k"), ("c:d", "k")):
        await store.put(key, {}, collection=collection)
    await store.put("ended", {}, collection="c", ttl=60)
    ours = raw.find_one({"key": "ended"})
    foreign = [
        {"_id": 7},
        {"_id": "c::x", "key": "x"},
        {"_id": "c::y", "collection": "c", "key": "y", "entry": "text", "revision": b"1"},
        {"_id": "c::z", "collection": "c", "key": 7, "entry": b"", "revision": b"1"},
    ]
    raw.insert_many(foreign)

    assert await store.keys("c") == ["ended", "k"]
    assert await store.collections() == ["c", "c:d", "other"]
    assert await store.destroy_collection("c") is True
    assert await store.collections() == ["c:d", "other"]
    raw.insert_one(ours | {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)})
    assert await store.destroy_collection("c") is False
    assert raw.find_one({"key": "ended"}) is None
    assert await store.destroy() is True
    assert await store.destroy() is False

    assert list(raw.find(sort=[("_id", 1)])) == foreign
    assert "expires_at_1" in raw.index_information()


def entry(**changes):
    """Return the bytes of an entry, with changes."""
    return codec.encode(Entry(**({"collection": "c", "key": "k", "value": {"value": 1}, "version": 1} | changes)))


DAMAGED = {
    "no entry": {"entry": None},
    "text": {"entry": "text"},
    "garbage": {"entry": b"hello"},
    "empty": {"entry": b""},
    "of another key": {"entry": entry(key="other")},
    "of another collection": {"entry": entry(collection="other")},
    "truncated": {"entry": entry()[:-1]},
    "no revision": {"revision": None},
    "no date": {"expires_at": "soon"},
}


@pytest.mark.faults(27, 106)
@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
async def test_damage_is_an_error_and_no_miss(store, raw, damage):
    """What is not an entry of this address is a CorruptEntryError that names it, for single and bulk reads alike."""
    await store.put_many(["k", "fine"], [{"value": 1}] * 2, collection="c")
    raw.update_one({"_id": "c::k"}, {"$set": damage})

    for operation, keys in (("get", "k"), ("ttl", "k"), ("get_many", ["fine", "k"]), ("ttl_many", ["k", "none"])):
        with pytest.raises(CorruptEntryError, match="'k'") as caught:
            await getattr(store, operation)(keys, collection="c")
        assert (caught.value.key, caught.value.collection) == ("k", "c")
    for operation in ("get_with_revision", "increment"):
        with pytest.raises(CorruptEntryError):
            await getattr(store, operation)("k", collection="c")
    assert await store.put_if_absent("k", {}, collection="c") is False
    await store.put("k", {"healed": True}, collection="c")
    assert await store.get("k", collection="c") == {"healed": True}


@pytest.mark.faults(149)
async def test_a_later_layout_is_an_error_of_its_own(store, raw):
    """An entry of a later version says that this library is too old."""
    await store.put("k", {}, collection="c")
    raw.update_one({"_id": "c::k"}, {"$set": {"entry": entry(version=2)}})

    with pytest.raises(UnsupportedEntryVersionError):
        await store.get("k", collection="c")


# Clocks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(54)
async def test_the_moment_of_the_end(make):
    """By the reader's clock an entry is there a microsecond before its end, and not at its end."""
    clock = ToldClock()
    async with make(_clock=clock) as store:
        await store.put("key", {"n": 1}, ttl=1.5)
        await clock.advance(1.5 - 1e-6)
        assert await store.get("key") == {"n": 1}
        assert await store.get_many(["key", "none"]) == [{"n": 1}, None]
        assert (await store.ttl("key"))[0] == {"n": 1}
        assert (await store.ttl_many(["key"]))[0][0] == {"n": 1}
        await clock.advance(1e-6)
        assert await store.get("key") is None
        assert await store.get_many(["key", "none"]) == [None, None]
        assert await store.ttl("key") == (None, None)
        assert await store.ttl_many(["key"]) == [(None, None)]
        assert await store.keys() == []


@pytest.mark.faults(50)
@pytest.mark.parametrize("ttl", [0.0001, 0.5, 1.2345, 10])
async def test_no_end_is_early(make, raw, ttl):
    """The document's end is the entry's, rounded up to a millisecond."""
    clock = ToldClock(datetime(2025, 1, 1, 0, 0, 0, 123456, UTC))
    async with make(_clock=clock) as store:
        await store.put("key", {}, ttl=ttl)
        await store.put_many(["other"], [{}], ttl=ttl)
        exact = clock.now() + timedelta(seconds=ttl)

        for document in raw.find():
            assert exact <= document["expires_at"] < exact + timedelta(milliseconds=1)


@pytest.mark.faults(58)
@pytest.mark.parametrize("minutes", [2, -2])
async def test_whose_clock_it_is(make, minutes):
    """A machine with a wrong clock reads by it, and is right in what is conditional: that goes by the server's."""
    wrong = ToldClock(now=datetime.now(UTC) + timedelta(minutes=minutes))
    async with make() as right, make(_clock=wrong) as skewed:
        assert await skewed.put_if_absent("lock", {"n": 1}, ttl=60) is True
        assert await right.put_if_absent("lock", {"n": 2}, ttl=60) is False
        assert 55 < (await right.ttl("lock"))[1] <= 61

        assert await skewed.get("lock") == (None if minutes > 0 else {"n": 1})
        value, revision = await skewed.get_with_revision("lock")
        assert value == {"n": 1}
        assert await skewed.put_if_absent("lock", {"n": 3}) is False
        assert await skewed.put_if_unchanged("lock", {"value": 4}, revision) is True
        assert await skewed.increment("lock") == 5
        assert await skewed.put_if_present("lock", {"n": 6}, ttl=60) is True
        assert await skewed.touch("lock", ttl=100) is True
        assert 95 < (await right.ttl("lock"))[1] <= 101
        assert await skewed.cull() == 0
        assert await skewed.delete("lock") is True
        assert await right.get("lock") is None

        await right.put("ended", {"value": 1}, ttl=0.001)
        assert await skewed.increment("ended", initial=0) in {1, 2}  # it ends on the server's clock, and the call too


# Sizes and bulk -------------------------------------------------------------------------------------------------------


@pytest.mark.faults(42)
async def test_the_largest_entry(store, raw):
    """An entry of nearly 16 MiB comes back; a larger one is refused before it is sent, and the old value stays."""
    await store.put("key", {"raw": b""})
    room = LARGEST - 2048 - len("default_collection") - len("key") - len(raw.find_one()["entry"]) - 3
    largest = {"raw": b"\xff" * room}
    await store.put("key", largest)
    assert await store.get("key") == largest
    _, revision = await store.get_with_revision("key")
    assert await store.put_if_unchanged("key", largest, revision) is True

    larger = {"raw": b"\xff" * (room + 1)}
    for operation in ("put", "put_if_absent", "put_if_present"):
        with pytest.raises(EntryTooLargeError, match="16,77"):
            await getattr(store, operation)("key", larger)
    with pytest.raises(EntryTooLargeError):
        await store.put_many(["other", "key"], [{}, larger])
    assert await store.get_many(["other"]) == [None]
    assert await store.get("key") == largest


async def test_max_entry_size(make):
    """`max_entry_size` counts the bytes that are sent."""
    async with make(max_entry_size=200) as store:
        await store.put("key", {"t": "x"})
        with pytest.raises(EntryTooLargeError, match="200"):
            await store.put("key", {"t": "x" * 200})
        assert await store.get("key") == {"t": "x"}


@pytest.mark.faults(87)
async def test_a_bulk_of_which_a_part_fails(store, raw):
    """The keys that the server refused are named, and those that it wrote."""
    await store.put("a", {"n": 0}, collection="other")
    raw.create_index("key", unique=True)  # so that one key cannot be in two collections

    with pytest.raises(PartialFailureError, match="1 of 3") as caught:
        await store.put_many(["x", "a", "y"], [{"n": 1}] * 3)

    assert list(caught.value.failed) == ["a"]
    assert caught.value.failed["a"].outcome == "not_applied"
    assert caught.value.unknown == {}
    assert caught.value.succeeded == ("x", "y")
    assert caught.value.outcome == "unknown"
    assert await store.get_many(["x", "a", "y"]) == [{"n": 1}, None, {"n": 1}]
    assert await store.get("a", collection="other") == {"n": 0}


async def test_enumeration_has_no_cap(store):
    """Every key is listed, page by page, in the order of the keys."""
    keys = [f"key {number:05}" for number in range(12_500 if os.environ.get("KV_TEST_FULL") else 2_500)]
    await store.put_many(keys, [{}] * len(keys))
    await store.put("key", {}, collection="default_collectioN")

    assert await store.keys() == keys
    assert [key async for key in store.iter_keys()] == keys
    assert await store.keys(limit=1001) == keys[:1001]


# Options --------------------------------------------------------------------------------------------------------------


async def test_the_database_of_a_url_is_honoured(mongodb_server, raw):
    """The path of a URL, or of a client's URL, is the database; db_name= comes before it."""
    url = f"{mongodb_server.url}/{DATABASE}"
    client = driver.MongoClient(url)
    other = f"{mongodb_server.url}/elsewhere"
    for options in ({"url": url}, {"client": client}, {"url": other, "db_name": DATABASE}):
        async with MongoDBStore(coll_name=raw.name, **options) as store:
            await store.put("key", {"options": sorted(options)})
        assert raw.count_documents({}) == 1
        raw.delete_many({})
    await client.close()


async def test_a_client_that_does_not_wait_for_answers_is_refused(mongodb_server):
    """With w=0 a lost write would look like a kept one."""
    client = driver.MongoClient(mongodb_server.url, w=0)
    with pytest.raises(ConfigurationError, match="w=0"):
        MongoDBStore(client=client)
    await client.close()


async def test_write_concern(mongodb_server):
    """Writes ask for a majority, unless the URL or the client says otherwise."""
    for option, wanted in (("", {"w": "majority"}), ("?w=1", {"w": 1}), ("?journal=true", {"j": True})):
        client = driver.MongoClient(f"{mongodb_server.url}/{option}")
        for options in ({"client": client}, {"url": f"{mongodb_server.url}/{option}"}):
            async with MongoDBStore(**options) as store:
                used = await store._do(None, None, written_with)
                assert used == (wanted, "Primary()"), option
        await client.close()


async def written_with(entries):
    """Return the write concern and the read preference of a Mongo collection."""
    return entries.write_concern.document, repr(entries.read_preference)
