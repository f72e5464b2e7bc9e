"""RedisStore and ValkeyStore pass the contract; their commands, foreign keys, damaged entries, clocks."""

import json
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import msgspec
import pytest
from damage import DAMAGED as BYTES
from damage import layout

from kv_core import address
from kv_core.aio._runtime import gather, sleep
from kv_core.aio.testing import StoreContract, ToldClock
from kv_core.capabilities import ALL, capabilities
from kv_core.errors import (
    CorruptEntryError,
    EntryTooLargeError,
    NotACounterError,
    StoreClosedError,
    UnsupportedEntryVersionError,
)

DATABASE = 9


@pytest.fixture(scope="module")
def url(family):
    """The URL of a database that these tests have for themselves."""
    url = urlsplit(family.shared.url)._replace(path=f"/{DATABASE}").geturl()
    with family.raw(url) as client:
        assert client.dbsize() == 0, f"these tests empty database {DATABASE} of {url}, and it holds keys"
    return url


@pytest.fixture
def raw(family, url):
    """A plain client for the same database, which is empty when the test begins and when it has ended."""
    with family.raw(url) as client:
        yield client
        client.flushdb()


@pytest.fixture
def alone(family, own):
    """A plain client for a server that this test has for itself."""
    with family.raw(own.url) as client:
        yield client


@pytest.fixture
async def store(family, url, raw):
    async with family.store(url=url) as store:
        yield store


class TestStore(StoreContract):
    """The contract, on a real server."""

    @pytest.fixture
    def make(self, family, url, raw):
        return lambda: family.store(url=url)

    @pytest.fixture
    async def store(self, make):
        async with make() as store:
            yield store


@pytest.mark.faults(105)
class TestStoreWithClient(StoreContract):
    """The contract, on a client that was passed in."""

    @pytest.fixture
    async def client(self, family, url, raw):
        client = family.client.from_url(url, decode_responses=True)
        yield client
        assert await client.ping()
        await family.library.borrow(client).close()

    @pytest.fixture
    def make(self, family, client):
        return lambda: family.store(client=client)


@pytest.mark.faults(105)
@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
async def test_any_client_will_do(family, url, raw, decode, protocol):
    """A client that was passed in works however it was configured, and is not closed."""
    client = family.client.from_url(url, decode_responses=decode, protocol=protocol)
    async with family.store(client=client) as store:
        await store.put_many(["text", "bytes"], [{"t": "é"}, {"raw": b"\xff\0"}], ttl=[None, 60])

        assert await store.get("bytes") == {"raw": b"\xff\0"}
        assert await store.get_many(["text", "bytes", "none"]) == [{"t": "é"}, {"raw": b"\xff\0"}, None]
        assert await store.ttl("text") == ({"t": "é"}, None)
        assert 50 < (await store.ttl("bytes"))[1] <= 60
        assert await store.increment("count", initial=2**53) == 2**53 + 1
        assert sorted(await store.keys()) == ["bytes", "count", "text"]
        assert await store.collections() == ["default_collection"]
        assert await store.delete("text") is True
        assert await store.destroy() is True

    assert await client.ping()
    await family.library.borrow(client).close()


def commands(raw, prefix="cmdstat_"):
    """Return how often each command was called since the statistics were reset, without those that ask for them."""
    stats = raw.info("commandstats")
    calls = {name.removeprefix(prefix): stats[name]["calls"] for name in stats}
    return {name: number for name, number in calls.items() if not name.startswith(("info", "config", "client"))}


async def test_it_has_every_operation_but_culling(store):
    """The server culls by itself; everything else is there."""
    assert capabilities(store) == ALL - {"cull"}


@pytest.mark.faults(6, 10)
@pytest.mark.parametrize("key", ["é" * 240, "a\r\nflushall", "a\r\n*1\r\n$8\r\nFLUSHALL\r\n", "a b", ""], ids=ascii)
async def test_the_server_receives_one_command(family, own, alone, key):
    """A put is one SET whatever the key and the value hold, and other keys stay."""
    value = {"value": "flushall\r\nFLUSHALL\r\n", "raw": b"\r\nflushall\r\n"}
    async with family.store(url=own.url) as store:
        alone.set("mine", "1")
        await store.get("warm")
        alone.config_resetstat()

        await store.put(key, value)

        assert commands(alone) == {"set": 1}
        assert alone.get("mine") == b"1"
        assert await store.get(key) == value


async def test_what_each_operation_costs(family, own, alone):
    """Single operations are one command; bulk operations do not grow with their keys."""
    keys = [f"key {number}" for number in range(100)]
    values = [{"n": 1}] * 100
    async with family.store(url=own.url) as store:
        await store.put_many(keys, values, ttl=60)
        await store.ttl_many(keys)
        await store.increment("count", initial=0)

        async def cost(operation, *arguments, **options):
            alone.config_resetstat()
            await getattr(store, operation)(*arguments, **options)
            return commands(alone)

        assert await cost("get", "key 1") == {"get": 1}
        assert await cost("put", "key 1", {}) == {"set": 1}
        assert await cost("put", "key 1", {}, ttl=5) == {"set": 1}
        assert await cost("delete", "key 1") == {"del": 1}
        assert await cost("put_if_absent", "key 1", {}, ttl=5) == {"set": 1}
        assert await cost("put_if_present", "key 1", {}) == {"set": 1}
        assert await cost("touch", "key 1", ttl=5) == {"pexpire": 1}
        assert await cost("put_many", keys, values) == {"mset": 1}
        assert await cost("delete_many", keys) == {"del": 1}
        assert (await cost("put_many", keys, values, ttl=60))["evalsha"] == 1
        assert await cost("get_many", keys) == {"mget": 1}
        assert await cost("get_many", [*keys, "none"]) == {"mget": 1, "exists": 1}
        assert (await cost("ttl_many", keys))["evalsha"] == 1
        assert (await cost("increment", "count"))["evalsha"] == 1
        assert await cost("get_many", []) == {}
        assert await cost("put_many", [], []) == {}


@pytest.mark.faults(50)
async def test_the_server_has_all_of_the_ttl(store, raw):
    """What is left at the server just after a put is the whole ttl, in milliseconds, rounded up."""
    await store.put("one", {"n": 1}, ttl=10)
    await store.put_many(["two", "three"], [{"n": 2}, {"n": 3}], ttl=[10, None])
    await store.put_if_absent("four", {"n": 4}, ttl=10)
    await store.increment("five", initial=0, ttl=10)
    await store.put("six", {"n": 6})
    await store.touch("six", ttl=10)
    await store.put("tiny", {"n": 7}, ttl=1e-9)

    left = [raw.pttl(address.encode(store.default_collection, key)) for key in ("one", "two", "four", "five", "six")]
    assert all(9_900 <= milliseconds <= 10_000 for milliseconds in left)
    assert raw.pttl(address.encode(store.default_collection, "three")) == -1


@pytest.mark.faults(53)
async def test_put_many_without_ttl_clears_it(store, raw):
    """Both forms of a bulk put set the ttl that was given, and clear the one that was not."""
    await store.put_many(["a", "b"], [{}, {}], ttl=60)
    await store.put_many(["a"], [{}])
    await store.put_many(["b", "c"], [{}, {}], ttl=[None, 60])

    assert [raw.pttl(address.encode(store.default_collection, key)) for key in "ab"] == [-1, -1]
    assert raw.pttl(address.encode(store.default_collection, "c")) > 59_000


@pytest.mark.faults(58)
@pytest.mark.parametrize("minutes", [2, -2])
async def test_the_readers_clock_does_not_matter(family, store, url, minutes):
    """An entry is there while the server says so, whatever this machine's clock says."""
    wrong = ToldClock(now=datetime.now(UTC) + timedelta(minutes=minutes))
    async with family.store(url=url, _clock=wrong) as reader:
        await store.put("key", {"value": 1}, ttl=60)
        await reader.put("theirs", {"value": 1}, ttl=60)

        for one, key in ((reader, "key"), (store, "theirs")):
            assert await one.get(key) == {"value": 1}
            assert await one.get_many([key]) == [{"value": 1}]
            value, left = await one.ttl(key)
            assert value == {"value": 1}
            assert 50 < left <= 60
            [(value, left)] = await one.ttl_many([key])
            assert value == {"value": 1}
            assert 50 < left <= 60
            found = await one.get_with_revision(key)
            assert found is not None
            assert await one.put_if_unchanged(key, {"value": 1}, found[1]) is True
            assert await one.increment(key) == 2
            assert 50 < (await one.ttl(key))[1] <= 60
            assert await one.touch(key, ttl=60) is True
            assert await one.put_if_absent(key, {}) is False
            assert await one.delete(key) is True


@pytest.mark.faults(104)
async def test_only_our_entries_are_destroyed(store, raw):
    """Keys of other applications survive, those that look like ours included."""
    ours = [("default_collection", "key"), ("other", "mine"), ("a::b", "c"), ("other", "")]
    for collection, key in ours:
        await store.put(key, {"n": 1}, collection=collection)
    entry = raw.get("other::mine")
    raw.mset({"plain": "1", "other::thing": "a string", "other::json": '{"value":{}}', "other::copy": entry})
    raw.set(b"\xff\xfe::x", b"\xff")
    raw.set("a:b::c", entry)
    raw.set("other::number", "7")
    raw.rpush("other::list", "a")
    raw.hset("hash::x", "a", "b")
    raw.sadd("default_collection::set", "a")
    foreign = set(raw.keys()) - {address.encode(*place).encode() for place in ours}

    assert set(await store.collections()) == {"default_collection", "other", "a::b"}
    assert await store.destroy_collection("other") is True
    assert set(raw.keys()) == foreign | {b"default_collection::key", b"a%3A%3Ab::c"}
    assert await store.destroy_collection("other") is False
    assert await store.destroy() is True

    assert set(raw.keys()) == foreign
    assert await store.destroy() is False
    assert await store.collections() == []
    assert raw.get("other::thing") == b"a string"


async def test_names_that_are_not_text_are_not_ours(store, raw):
    """A foreign key whose name is not UTF-8 is not listed, whatever it would look like."""
    raw.set(b"\xff::x", b"1")
    raw.set("\ufffd::y", "1")
    await store.put("z", {}, collection="\ufffd")

    assert "x" not in await store.keys("\ufffd")
    assert await store.destroy_collection("\ufffd") is True
    assert raw.exists(b"\xff::x", "\ufffd::y") == 2


DAMAGED = {"list": None} | BYTES


def plant(raw, data, name="c::k"):
    """Put bytes, or a list (None), where an entry belongs."""
    if data is None:
        raw.rpush(name, "a")
    else:
        raw.set(name, data)


async def every_read(store):
    """Yield the error of every operation that reads an entry, alone and among others."""
    for operation, keys in (
        ("get", "k"),
        ("ttl", "k"),
        ("get_with_revision", "k"),
        ("increment", "k"),
        ("get_many", ["k"]),
        ("get_many", ["fine", "k", "none"]),
        ("ttl_many", ["k"]),
        ("ttl_many", ["fine", "none", "k"]),
    ):
        try:
            found = await getattr(store, operation)(keys, collection="c")
        except Exception as error:  # noqa: BLE001 - which one it is, is the question
            yield operation, error
        else:
            yield operation, found


@pytest.mark.faults(27, 34, 35, 46, 106)
@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
async def test_damage_is_an_error_and_no_miss(store, raw, data):
    """What is not an entry of this address is a CorruptEntryError that names it, for single and bulk reads alike."""
    await store.put("fine", {"n": 1}, collection="c")
    plant(raw, data)

    seen = set()
    async for operation, error in every_read(store):
        assert type(error) is CorruptEntryError, (operation, error)
        assert (error.key, error.collection, error.retryable) == ("k", "c", False), operation
        seen.add(str(error))

    assert len(seen) == 1, seen
    assert "'k'" in seen.pop()
    assert await store.put_if_absent("k", {}, collection="c") is False
    await store.put("k", {"healed": True}, collection="c")
    assert await store.get("k", collection="c") == {"healed": True}


@pytest.mark.faults(149)
@pytest.mark.parametrize(
    "data", [layout(version=2), layout(version=99, value=None), msgspec.msgpack.encode({"version": 2})]
)
async def test_a_later_layout_is_an_error_of_its_own(store, raw, data):
    """An entry of a later version says that this library is too old."""
    await store.put("fine", {"n": 1}, collection="c")
    plant(raw, data)

    async for operation, error in every_read(store):
        assert type(error) is UnsupportedEntryVersionError, (operation, error)
        assert (error.key, error.collection) == ("k", "c")


@pytest.mark.faults(27)
async def test_a_copied_entry_is_not_read(store, raw):
    """An entry that was copied under another address is an error, whatever reads it."""
    await store.put("k", {"value": 1}, collection="c")
    await store.put("bytes", {"value": b"1"}, collection="c")
    raw.copy("c::k", "c::other")
    raw.copy("c::k", "d::k")
    raw.copy("c::bytes", "d::bytes")

    for collection, key in (("c", "other"), ("d", "k"), ("d", "bytes")):
        for operation in ("get", "ttl", "get_with_revision", "increment"):
            with pytest.raises(CorruptEntryError, match="another address"):
                await getattr(store, operation)(key, collection=collection)
        with pytest.raises(CorruptEntryError, match="another address"):
            await store.get_many([key], collection=collection)
    assert await store.get("k", collection="c") == {"value": 1}


@pytest.mark.faults(149)
@pytest.mark.parametrize("gap", ["", " "])
async def test_entries_of_the_field_are_read(store, raw, gap):
    """An entry as py-key-value writes it is read, and counted on, whatever its spaces and the order of its fields."""
    entry = json.loads(layout(created_at="2025-01-01T00:00:00+00:00", expires_at="2099-01-01T00:00:00+00:00"))
    for number, data in enumerate((entry, dict(reversed(entry.items())))):
        key = f"k{number}"
        raw.set(f"c::{key}", json.dumps(data | {"key": key}, separators=("," + gap, ":" + gap)), ex=60)

        assert await store.get(key, collection="c") == {"value": 1}
        assert await store.increment(key, 2**53, collection="c") == 2**53 + 1
        value, left = await store.ttl(key, collection="c")
        assert value == {"value": 2**53 + 1}
        assert 50 < left <= 60
        assert await store.put_if_present(key, {}, collection="c") is True


async def test_a_value_in_bytes_is_no_counter(store):
    """An entry in MessagePack is not taken for a counter, even if its bytes end like one."""
    await store.put("key", {"value": b'"value":{"value":1},"version":1}'})

    with pytest.raises(NotACounterError):
        await store.increment("key")


async def test_scripts_that_the_server_forgot_are_sent_again(store, raw):
    """After SCRIPT FLUSH every operation that runs a script works as before."""
    await store.put_many(["a", "b"], [{"value": 1}, {"n": 2}], ttl=60)
    for _ in range(2):
        raw.script_flush()
        assert await store.increment("a", 0) == 1
        raw.script_flush()
        assert (await store.ttl("b"))[0] == {"n": 2}
        raw.script_flush()
        assert await store.touch("b", ttl=None) is True
        raw.script_flush()
        await store.put_many(["c"], [{"n": 3}], ttl=60)
        found = await store.get_with_revision("c")
        raw.script_flush()
        assert await store.put_if_unchanged("c", {"n": 4}, found[1]) is True


async def test_connections_are_bounded(family, url, raw):
    """A hundred and fifty calls at once share a bounded number of connections, and none is refused."""
    async with family.store(url=f"{url}?max_connections=8&client_name=bounded") as store:
        await gather(*[store.put(f"key {number}", {"n": number}) for number in range(150)])
        found = await gather(*[store.get(f"key {number}") for number in range(150)])

        assert found == [{"n": number} for number in range(150)]
        assert len([client for client in raw.client_list() if client["name"] == "bounded"]) <= 8


async def test_a_passed_client_may_have_few_connections(family, url, raw):
    """Calls wait for the connections of a client that was passed in; its pool does not refuse them."""
    client = family.client.from_url(url, max_connections=3)
    async with family.store(client=client) as store:
        await gather(*[store.put(f"key {number}", {"n": number}) for number in range(50)])
        found = await gather(*[store.get_many([f"key {number}"]) for number in range(50)])

    assert found == [[{"n": number}] for number in range(50)]
    await family.library.borrow(client).close()


async def test_closing_leaves_no_connection(family, url, raw):
    """After closing, the server has no connection of the store's left."""
    async with family.store(url=f"{url}?client_name=leaving") as store:
        await gather(*[store.put("key", {}) for _ in range(5)])
        assert any(client["name"] == "leaving" for client in raw.client_list())

    deadline = time.monotonic() + 5
    while any(client["name"] == "leaving" for client in raw.client_list()):  # it hears of it a moment later
        assert time.monotonic() < deadline
        await sleep(0.01)
    with pytest.raises(StoreClosedError):
        await store.get("key")


@pytest.mark.faults(42)
async def test_the_largest_entry(family, url, raw):
    """`max_entry_size` counts the bytes that are sent; one more is refused and the old value stays."""
    async with family.store(url=url) as store:
        await store.put("key", {"t": "x" * 100})
        size = raw.strlen("default_collection::key")
    async with family.store(
        url=url, max_entry_size=size, _clock=ToldClock(datetime(2025, 1, 1, 1, 1, 1, 1, UTC))
    ) as store:
        await store.put("key", {"t": "x" * 100})

        for write in (store.put, store.put_if_present):
            with pytest.raises(EntryTooLargeError, match=f"{size + 1}"):
                await write("key", {"t": "x" * 101})
        with pytest.raises(EntryTooLargeError):
            await store.put_many(["other", "key"], [{}, {"t": "x" * 101}])

        assert await store.get_many(["key", "other"]) == [{"t": "x" * 100}, None]
