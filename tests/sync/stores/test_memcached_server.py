# Written by tools/mirror.py from tests/aio/stores/test_memcached_server.py: change that file instead.
"""What is special about MemcachedStore on its servers: commands, times, sizes, collections, foreign items, nodes."""

import json
import subprocess
from contextlib import closing
from datetime import UTC, datetime

import pytest
from proxy import HangingUp
from pymemcache import Client as Raw
from pymemcache import HashClient, PooledClient
from servers import NotAvailableError, Server
from servers.memcached import Memcached

from kv_core import memcached_client
from kv_core.capabilities import ALL, capabilities
from kv_core.errors import (
    CorruptEntryError,
    EntryTooLargeError,
    PartialFailureError,
    StoreConnectionError,
    StoreFullError,
    StoreTimeoutError,
    UnsupportedEntryVersionError,
    UnsupportedOperationError,
)
from kv_core.memcached_items import item_name, record_name
from kv_core.sync._runtime import gather
from kv_core.sync.stores.memcached import MemcachedStore
from kv_core.sync.testing import ToldClock
from kv_core.sync.wrappers.retry import RetryWrapper
from kv_core.sync.wrappers.statistics import StatisticsWrapper

DAY = 86400


class Flags:
    """Gives what a plain client reads together with its flags."""

    @staticmethod
    def serialize(_, data):
        return data, 0

    @staticmethod
    def deserialize(_, data, flags):
        return data, flags


def plain(server):
    """A plain client for a server."""
    return closing(Raw((server.host, server.port), default_noreply=False, serde=Flags, no_delay=True))


@pytest.fixture
def raw(own_memcached):
    """A plain client for the server that the test has for itself."""
    with plain(own_memcached) as client:
        yield client


@pytest.fixture
def clock():
    return ToldClock(now=datetime.now(UTC))


@pytest.fixture
def make(own_memcached, clock):
    """A function for further stores on that server, which share nothing, as those of several processes."""
    return lambda **options: MemcachedStore(url=own_memcached.url, _clock=clock, **options)


@pytest.fixture
def store(make):
    with make() as store:
        yield store


@pytest.fixture
def start():
    """A function that starts a server with further options."""
    servers = []

    def start(*options, **more):
        try:
            servers.append(Memcached().with_options(*options, **more).start())
        except NotAvailableError as error:
            pytest.skip(f"no Memcached with {options}: {error}")
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def sent(monkeypatch):
    """What leaves the sockets, one item for each time that somebody waits for the server."""
    data = []
    sendall = memcached_client._Socket.sendall

    def send(self, commands):
        data.append(commands)
        sendall(self, commands)

    monkeypatch.setattr(memcached_client._Socket, "sendall", send)
    return data


def left(raw, key, collection="default_collection"):
    """Return the seconds that the server still gives an item; -1 is no end."""
    return int(raw.raw_command(b"mg " + item_name(collection, key) + b" t").removeprefix(b"HD t"))


def test_what_it_can_do(store):
    """The server can neither list nor reap; everything else is there."""
    assert capabilities(store) == ALL - {"keys", "iter_keys", "collections", "destroy", "cull"}
    with pytest.raises(UnsupportedOperationError, match="MemcachedStore cannot"):
        store.keys()


@pytest.mark.faults(6, 10)
@pytest.mark.parametrize("key", ["é" * 240, "a\r\nflush_all", "a\r\nset x 0 0 1\r\n1\r\n", "a b", ""], ids=ascii)
def test_the_server_receives_one_command(store, raw, key):
    """A put is one item whatever the key and the value hold, and other items stay."""
    value = {"value": "flush_all\r\nflush_all\r\n", "raw": b"\r\nflush_all\r\n"}
    store.put("warm", {})
    raw.set(b"mine", b"1")
    before = raw.stats()

    store.put(key, value)

    after = raw.stats()
    assert {name: after[name] - before[name] for name in (b"cmd_set", b"cmd_flush", b"curr_items")} == {
        b"cmd_set": 1,
        b"cmd_flush": 0,
        b"curr_items": 1,
    }
    assert raw.get(b"mine") == (b"1", 0)
    assert store.get(key) == value


def test_what_each_operation_costs(store, sent, monkeypatch):
    """Reads and plain writes are one round trip, changes are two, and bulk operations do not grow with their keys."""
    monkeypatch.setattr(memcached_client, "BELIEVED", 60)  # the generation is asked for once
    keys = [f"key {number}" for number in range(1000)]
    values = [{"n": 1}] * len(keys)
    store.put_many(keys, values, ttl=60)

    def cost(operation, *arguments, **options):
        sent.clear()
        getattr(store, operation)(*arguments, **options)
        return len(sent)

    assert cost("get", "key 1") == 1
    assert cost("ttl", "key 1") == 1
    assert cost("get_with_revision", "key 1") == 1
    assert cost("put", "key 1", {}, ttl=5) == 1
    assert cost("put_if_absent", "new", {}) == 1
    assert cost("put_if_present", "new", {}) == 2
    assert cost("touch", "new", ttl=5) == 2
    assert cost("increment", "count", initial=0) == 2
    assert cost("delete", "new") == 2
    assert cost("delete", "none") == 1
    assert cost("get_many", keys) == 1
    assert cost("ttl_many", keys) == 1
    assert cost("put_many", keys, values, ttl=60) == 1
    assert cost("delete_many", keys) == 2
    assert cost("get_many", []) == 0
    assert cost("put_many", [], []) == 0


@pytest.mark.faults(50, 51)
@pytest.mark.parametrize("ttl", [0.5, 1, 1.5, 10, 60])
def test_the_server_has_more_than_the_ttl(store, raw, ttl):
    """The server gives an item more than its ttl, by under two seconds, however it was put."""
    store.put("one", {"n": 1}, ttl=ttl)
    store.put_many(["two", "three"], [{"n": 2}, {"n": 3}], ttl=[ttl, None])
    store.put_if_absent("four", {"n": 4}, ttl=ttl)
    store.increment("five", initial=0, ttl=ttl)
    store.put("six", {"n": 6})
    store.touch("six", ttl=ttl)
    store.put("seven", {"n": 7})
    store.put_if_present("seven", {"n": 7}, ttl=ttl)

    for key in ("one", "two", "four", "five", "six", "seven"):
        assert ttl <= left(raw, key) <= ttl + 2, key
    assert left(raw, "three") == -1


@pytest.mark.faults(52)
@pytest.mark.parametrize("days", [30, 30 + 1 / DAY, 31, 3650, 20 * 365, 100_000])
def test_far_ends(store, raw, days):
    """An entry that ends in a month, in ten years or beyond 2038 is there, and the server will not end it early."""
    store.put("key", {"n": 1}, ttl=days * DAY)

    assert store.get("key") == {"n": 1}
    assert left(raw, "key") == -1 or days * DAY - 2 <= left(raw, "key") <= days * DAY + 3


@pytest.mark.faults(53)
def test_a_put_without_ttl_clears_it_at_the_server(store, raw):
    """What had an end has none after a later put, alone or in bulk."""
    store.put_many(["a", "b", "c"], [{}] * 3, ttl=60)
    store.put("a", {})
    store.put_many(["b"], [{}])
    store.touch("c", ttl=None)

    assert [left(raw, key) for key in "abc"] == [-1, -1, -1]


@pytest.mark.faults(54, 56)
def test_what_has_ended_is_absent_though_the_server_has_it(store, raw, clock):
    """One of many takes the place of an ended item, and deleting one says that there was nothing."""
    store.put_many(["key", "gone", "many"], [{"n": 1}] * 3, ttl=10)
    clock.advance(10)
    assert raw.get(item_name("default_collection", "gone")) is not None

    assert store.delete("gone") is False
    assert store.delete_many(["gone", "many"]) == 0
    assert store.put_if_present("key", {"n": 2}) is False
    assert store.touch("key", ttl=60) is False
    won = gather(*[store.put_if_absent("key", {"n": number}) for number in range(20)])
    assert won.count(True) == 1
    assert store.get("key") == {"n": won.index(True)}


@pytest.mark.faults(165)
def test_increments_at_once(store, make):
    """Counters are exact however many write, on several handles."""
    with make() as other:
        gather(*[one.increment("count", initial=0) for one in [store, other] * 25])

    assert store.get("count") == {"value": 50}


# Sizes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(42, 89)
@pytest.mark.parametrize("options", [(), ("-I", "2m"), ("-I", "512k")])
def test_the_largest_entry(start, options):
    """What the server takes is learned from it; one byte more is refused before it is sent, and the old value stays."""
    server = start(*options)
    with MemcachedStore(url=server.url) as store:
        with pytest.raises(EntryTooLargeError) as caught:
            store.put("key", {"text": "x" * 3_000_000})
        assert caught.value.outcome == "not_applied"
        words = str(caught.value).replace(",", "").replace(";", "").split()
        is_sent, room = int(words[words.index("bytes") - 1]), int(words[words.index("takes") + 1])
        largest = {"text": "x" * (3_000_000 - (is_sent - room))}

        store.put("key", largest)

        larger = {"text": largest["text"] + "x"}
        for put in (store.put, store.put_if_present):
            with pytest.raises(EntryTooLargeError, match="-I"):
                put("key", larger)
        with pytest.raises(EntryTooLargeError, match="-I"):
            store.put_many(["other", "key"], [{}, larger])
        assert store.get_many(["key", "other"]) == [largest, None]


@pytest.mark.faults(108)
def test_a_server_that_may_not_evict_is_full(start):
    """A server without room refuses by name, alone and in bulk; what it still has is read."""
    server = start("-M", "-m", "4")
    large = {"text": "x" * 500_000}
    with MemcachedStore(url=server.url) as store:
        store.put("first", {"n": 1})
        full = None
        for number in range(30):
            try:
                store.put(f"key {number}", large)
            except StoreFullError as error:
                full = error
                break
        assert full is not None
        assert (full.key, full.outcome, full.retryable) == (f"key {number}", "unknown", False)
        with pytest.raises(PartialFailureError) as caught:
            store.put_many(["a", "first", "b"], [large, {"n": 2}, large])

        assert {type(error) for error in caught.value.unknown.values()} == {StoreFullError}
        assert (set(caught.value.unknown), caught.value.succeeded) == ({"a", "b"}, ("first",))
        assert store.get("first") == {"n": 2}


# Collections ----------------------------------------------------------------------------------------------------------


@pytest.mark.faults(104)
def test_only_a_collection_is_destroyed(store, raw):
    """Other collections and other applications' items stay, and the server is not flushed."""
    store.put("key", {"n": 1}, collection="mine")
    store.put("key", {"n": 2}, collection="min")
    store.put("key", {"n": 3})
    raw.set(b"theirs", b"1")

    assert store.destroy_collection("mine") is True
    assert store.destroy_collection("mine") is False
    assert store.destroy_collection("never") is False

    assert store.get("key", collection="mine") is None
    assert store.get("key", collection="min") == {"n": 2}
    assert store.get("key") == {"n": 3}
    assert raw.get(b"theirs") == (b"1", 0)
    assert raw.stats()[b"cmd_flush"] == 0


def test_other_processes_see_it_at_once(store, make):
    """After a collection is destroyed nobody reads what it had, and what anybody puts from then on is there."""
    with make() as other:
        for number in range(5):
            other.put("key", {"n": number})
            assert store.destroy_collection("default_collection") is True

            assert other.get("key") is None
            assert other.put_if_absent("key", {"again": number}) is True
            assert store.get("key") == {"again": number}


def test_a_dropped_record_loses_its_collection_and_brings_nothing_back(store, make, raw):
    """Without the record of its generation a collection is empty; nothing that was destroyed is ever seen again."""
    with make() as other:
        store.put_many(["old", "older"], [{"n": 1}] * 2)
        store.destroy_collection("default_collection")
        store.put("new", {"n": 2})
        raw.delete(record_name("default_collection"))

        assert other.get_many(["old", "older", "new"]) == [None, None, None]
        other.put("newest", {"n": 3})
        assert other.get_many(["old", "older", "new", "newest"]) == [None, None, None, {"n": 3}]
        assert other.put_if_absent("old", {"n": 4}) is True
        assert other.get("old") == {"n": 4}
        assert other.delete("older") is False


def test_a_record_that_is_somebody_elses(store, raw):
    """What is no record where one belongs is an error, and no reason to read or write anything."""
    raw.set(record_name("c"), b"something else")

    with pytest.raises(CorruptEntryError, match="generation"):
        store.get("k", collection="c")
    with pytest.raises(CorruptEntryError, match="generation"):
        store.put("k", {}, collection="c")
    with pytest.raises(CorruptEntryError, match="generation"):
        store.destroy_collection("c")


# Foreign items --------------------------------------------------------------------------------------------------------


def layout(**changes):
    """Return an entry as JSON in this library's layout, with changes; None leaves a field out."""
    entry = {"collection": "c", "created_at": "2025-01-01T00:00:00Z", "key": "k", "value": {"value": 1}, "version": 1}
    return json.dumps({name: value for name, value in (entry | changes).items() if value is not None}).encode()


DAMAGED = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe\xfd",
    "garbage": b"hello",
    "[]": b"[]",
    "number": b"7",
    "truncated": layout()[:-1],
    "no value": layout(value=None),
    "int date": layout(created_at=1735689600),
    "date without zone": layout(expires_at="2099-01-01T00:00:00"),
    "of another key": layout(key="other"),
    "of another collection": layout(collection="other"),
    "100,000 lists deep": layout(value={"x": "X"}).replace(b'"X"', b"[" * 100_000 + b"]" * 100_000, 1),
    "5,000 digits": layout(value={"x": "X"}).replace(b'"X"', b"9" * 5000, 1),
    "pickle": b"\x80\x04}\x94.",
}


@pytest.mark.faults(27, 34, 35, 106)
@pytest.mark.parametrize("flags", [0, 2])
@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_an_error_and_no_miss(store, raw, data, flags):
    """What is not an entry of this address is a CorruptEntryError that names it, for single and bulk reads alike."""
    store.put("fine", {"n": 1}, collection="c")
    raw.set(item_name("c", "k"), data, flags=flags)

    for operation, keys in (
        ("get", "k"),
        ("ttl", "k"),
        ("get_with_revision", "k"),
        ("increment", "k"),
        ("touch", "k"),
        ("get_many", ["fine", "k", "none"]),
        ("ttl_many", ["fine", "none", "k"]),
    ):
        options = {"ttl": 1} if operation == "touch" else {}
        with pytest.raises(CorruptEntryError) as caught:
            getattr(store, operation)(keys, collection="c", **options)
        assert (caught.value.key, caught.value.collection, caught.value.retryable) == ("k", "c", False), operation

    assert store.put_if_absent("k", {}, collection="c") is False
    assert store.put_if_present("k", {"healed": True}, collection="c") is True
    assert store.get("k", collection="c") == {"healed": True}
    raw.set(item_name("c", "k"), data, flags=flags)
    assert store.delete("k", collection="c") is True


@pytest.mark.faults(149)
def test_a_later_layout_is_an_error_of_its_own(store, raw):
    """An entry of a later version says that this library is too old."""
    raw.set(item_name("c", "k"), layout(version=2))

    with pytest.raises(UnsupportedEntryVersionError):
        store.get("k", collection="c")
    assert store.put_if_absent("k", {}, collection="c") is False


# Clients and nodes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Raw, PooledClient, lambda server, **options: HashClient([server], **options)])
def test_any_client_will_do(own_memcached, raw, kind):
    """Whatever a client does with errors, types and replies, entries are kept; its prefix counts, and it stays open."""
    server = own_memcached.host, own_memcached.port
    client = kind(server, ignore_exc=True, default_noreply=True, key_prefix=b"app:")
    client.set(b"own", b"1", noreply=False)
    with MemcachedStore(client=client) as store:
        store.put_many(["text", "bytes"], [{"t": "é"}, {"raw": b"\xff\0"}], ttl=[None, 60])

        assert store.get_many(["text", "bytes", "none"]) == [{"t": "é"}, {"raw": b"\xff\0"}, None]
        assert store.put_if_absent("k" * 250, {"n": 1}) is True
        assert store.get("k" * 250) == {"n": 1}
        assert store.delete_many(["text", "none"]) == 1
        assert raw.get(b"app:default_collection::bytes") is not None
    assert client.get(b"own") == b"1"
    client.close()


@pytest.fixture
def two(own_memcached_nodes):
    """A store on two nodes, the nodes, and some keys of each."""
    with MemcachedStore(url=own_memcached_nodes.url, timeout=0.3) as store:
        keys = [[], []]
        for number in range(40):
            spot = store._spot("default_collection", f"key {number}")
            keys[store._nodes.index(store._node(spot))].append(spot.key)
        with MemcachedStore(url=own_memcached_nodes.url) as patient:
            patient.put_many(keys[0] + keys[1], [{"n": 1}] * 40)
        yield store, own_memcached_nodes.servers, keys


def test_two_nodes_share_the_work(two, sent):
    """Each has its keys, and a bulk operation is one round trip to each."""
    store, servers, keys = two
    for server, own in zip(servers, keys, strict=True):
        with plain(server) as client:
            assert len(client.get_many([item_name("default_collection", key) for key in keys[0] + keys[1]])) == len(own)

    assert store.get_many(keys[0] + keys[1]) == [{"n": 1}] * 40
    assert len(sent) == 2


@pytest.mark.faults(87)
@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_node_that_is_away_is_an_error_for_its_keys(two, how):
    """Its keys raise, those of the other node go on; a bulk write says which were done. Nothing is ever a miss."""
    store, servers, (lost, kept) = two
    getattr(servers[0], how)()
    error = StoreConnectionError if how == "kill" else StoreTimeoutError

    for operation, arguments in (
        ("get", (lost[0],)),
        ("put", (lost[0], {})),
        ("delete", (lost[0],)),
        ("put_if_absent", (lost[0], {})),
        ("get_with_revision", (lost[0],)),
        ("get_many", ([kept[0], lost[0]],)),
        ("ttl_many", ([kept[0], lost[0]],)),
        ("put_many", (lost, [{}] * len(lost))),
        ("destroy_collection", ("other",)),
        ("ping", ()),
    ):
        with pytest.raises(error) as caught:
            getattr(store, operation)(*arguments)
        assert caught.value.retryable
    for operation, arguments in (
        ("put_many", (lost + kept, [{"n": 2}] * 40)),
        ("put_many", (kept + lost, [{"n": 2}] * 40)),
        ("delete_many", (kept[:3] + lost[:3],)),
    ):
        with pytest.raises(PartialFailureError) as caught:
            getattr(store, operation)(*arguments)
        partial = caught.value
        failed = partial.failed | partial.unknown
        assert {type(one) for one in failed.values()} == {error}
        assert set(partial.unknown) <= set(arguments[0]) & set(lost) <= set(failed)
        if how == "freeze":
            continue  # where nodes are asked in turn, it may have taken the time of the other
        assert set(failed) <= set(lost)
        if operation == "put_many" and arguments[0][0] == kept[0]:
            assert set(partial.succeeded) == set(kept)
            assert store.get_many(kept) == [{"n": 2}] * len(kept)
    assert store.get(kept[-1]) == {"n": 2}
    if how == "freeze":
        servers[0].thaw()
        assert store.get_many(lost[3:]) in ([{"n": 1}] * (len(lost) - 3), [{"n": 2}] * (len(lost) - 3))


@pytest.mark.faults(142)
def test_a_server_that_was_restarted_is_empty_and_goes_on(own_memcached, tmp_path):
    """Connections that it closed are not used again, and nothing is believed that the last one said."""
    with MemcachedStore(url=own_memcached.url) as store:
        gather(*[store.put(f"key {number}", {"n": number}) for number in range(10)])
        own_memcached.kill()
        binary, _ = next(Memcached().binaries())
        again = subprocess.Popen(Memcached().command(binary, own_memcached.port, tmp_path))
        try:
            Memcached().wait(Server(own_memcached.url, "the next", again))
            assert store.get("key 1") is None
            store.put("key 1", {"n": 2})
            assert store.get("key 1") == {"n": 2}
            found = gather(*[store.get(f"key {number}") for number in range(5)])
            assert found == [None, {"n": 2}, None, None, None]
        finally:
            again.terminate()
            again.wait()


@pytest.fixture
def hanging_up(own_memcached):
    """A function for a relay that hangs up, once, on what has a word in it."""
    relays = []

    def relay(word):
        relays.append(HangingUp(own_memcached.host, own_memcached.port, word))
        return f"memcached://127.0.0.1:{relays[-1].port}"

    yield relay
    for one in relays:
        one.close()


@pytest.mark.faults(76, 81)
@pytest.mark.parametrize(("operation", "word"), [("get", b"get "), ("put", b"set "), ("put_many", b"set ")])
def test_a_dropped_connection_costs_one_attempt(own_memcached, hanging_up, operation, word):
    """Nobody but the retry wrapper tries again: a call whose connection is dropped once is made twice."""
    arguments = {"get": ["key"], "put": ["key", {"n": 1}], "put_many": [["key"], [{"n": 1}]]}[operation]
    alone = MemcachedStore(url=hanging_up(word))
    with pytest.raises(StoreConnectionError) as caught:
        getattr(alone, operation)(*arguments)
    assert (caught.value.outcome, caught.value.retryable) == ("unknown", True)
    counted = StatisticsWrapper(MemcachedStore(url=hanging_up(word)))
    retrying = RetryWrapper(counted, initial_delay=0.001)

    getattr(retrying, operation)(*arguments)

    seen = counted.statistics.operation(operation)
    assert (seen.count, seen.errors) == (2, 1)
    alone.close()
    retrying.close()


@pytest.mark.faults(79)
def test_what_may_have_been_applied_is_not_repeated(own_memcached, hanging_up):
    """An increment or a conditional put whose connection is dropped raises, and says that it may have been applied."""
    for operation, arguments in (("increment", ["key"]), ("put_if_absent", ["other", {}])):
        store = RetryWrapper(MemcachedStore(url=hanging_up(b" default_collection::")))
        with pytest.raises(StoreConnectionError) as caught:
            getattr(store, operation)(*arguments)
        assert caught.value.outcome == "unknown"
        store.close()
