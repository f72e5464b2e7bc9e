"""What earlier versions, and py-key-value, have written is read exactly; what a later version writes says so."""

import ast
import base64
import contextlib
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from pymemcache import Client as Memcached
from redis import Redis
from stores import SIDES, STORES, Place, opened

from kv_core import address, codec
from kv_core.entry import VERSION, Entry
from kv_core.errors import UnsupportedEntryVersionError
from kv_core.memcached_items import item_name

GOLDEN = Path(__file__).with_name("golden")
OURS = json.loads((GOLDEN / "kvstack" / "entries-1.json").read_text())
FIELD = sorted((GOLDEN / "py_key_value").glob("redis-*.json"))
MEMCACHED = sorted((GOLDEN / "py_key_value").glob("memcached-*.json"))

pytestmark = pytest.mark.faults(149)


def exact(found, wanted):
    """Say whether values are alike to the last bit."""
    return repr(found) == repr(wanted)


@pytest.fixture(params=[name for name in ("redis", "valkey") if name in STORES])
def case(request):
    """A store whose server keeps an entry as one string."""
    return STORES[request.param]


@pytest.fixture
def raw(case, place):
    """A plain client for the database of the store."""
    with Redis.from_url(case.options(place)["url"].replace("valkey://", "redis://", 1)) as client:
        yield client


def own_id(one):
    return f"{one['collection'][:9]!a}, {one['key'][:9]!a}{', ends' if one['ends'] else ''}"


@pytest.mark.parametrize("one", OURS, ids=own_id)
def test_our_layout_stays(one):
    """An entry of the first version is read exactly, and would be written in the same bytes under the same name."""
    data = base64.b64decode(one["data"])
    collection, key, value = one["collection"], one["key"], ast.literal_eval(one["value"])

    entry = codec.decode(data, collection, key)

    assert exact(entry.value, value)
    assert (entry.expires_at is not None) is one["ends"]
    assert address.encode(collection, key) == one["name"]
    assert address.decode(one["name"]) == (collection, key)
    assert VERSION == 1, "write the golden file of the new version, and keep this one"
    written = Entry(
        collection=collection,
        created_at=entry.created_at,
        expires_at=entry.expires_at,
        key=key,
        value=value,
        version=VERSION,
    )
    assert codec.encode(written) == data


@pytest.mark.parametrize("one", OURS[::2], ids=own_id)
def test_a_later_layout_says_so(one):
    """The same entry in the layout of the next version is an UnsupportedEntryVersionError, whatever else is in it."""
    data = base64.b64decode(one["data"])
    coding = msgspec.json if data.startswith(b"{") else msgspec.msgpack
    later = coding.decode(data) | {"version": VERSION + 1, "value": ["of", "another", "shape"], "more": 1}

    with pytest.raises(UnsupportedEntryVersionError):
        codec.decode(coding.encode(later), one["collection"], one["key"])


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("file", FIELD, ids=lambda file: file.stem)
def test_entries_of_py_key_value_are_read(case, side, place, raw, file):
    """What py-key-value wrote is read exactly, listed, counted on and replaced."""
    entries = json.loads(file.read_text())["entries"]
    with opened(case, side, place) as store:
        for one in entries:
            raw.set(one["name"], one["data"], ex=3_000_000 if one["ends"] else None)

        for one in entries:
            entry = json.loads(one["data"])
            collection, key = entry["collection"], entry["key"]
            assert exact(store.call("get", key, collection=collection), entry["value"])
            [found] = store.call("get_many", [key], collection=collection)
            assert exact(found, entry["value"])
            value, left = store.call("ttl", key, collection=collection)
            assert exact(value, entry["value"])
            assert (left is not None) is one["ends"]
        assert sorted(store.call("collections")) == ["bulk", "default_collection", "users"]
        assert sorted(store.call("keys", "bulk")) == ["many 1", "many 2", "many 3", "many 4"]
        assert store.call("increment", "counter", collection="users") == 42
        assert store.call("put_if_absent", "greeting", {}, collection="users") is False
        found = store.call("get_with_revision", "greeting", collection="users")
        assert store.call("put_if_unchanged", "greeting", {"text": "ours"}, found[1], collection="users") is True
        assert store.call("delete_many", ["many 1", "many 3"], collection="bulk") == 2
        assert store.call("destroy") is True
    assert raw.dbsize() == 0


@pytest.mark.parametrize("side", SIDES)
def test_our_first_entries_are_read(case, side, place, raw):
    """What the first version of this library wrote is read exactly."""
    with opened(case, side, place) as store:
        for one in OURS:
            raw.set(one["name"], base64.b64decode(one["data"]), ex=3_000_000 if one["ends"] else None)

            value, left = store.call("ttl", one["key"], collection=one["collection"])

            assert exact(value, ast.literal_eval(one["value"]))
            assert (left is not None) is one["ends"]
        store.call("destroy")


@pytest.fixture
def cache(own_memcached):
    """A plain client for Memcached, and the store that reads beside it."""
    with contextlib.closing(Memcached((own_memcached.host, own_memcached.port), default_noreply=False)) as client:
        yield client


def memcached(server, side):
    """Open the store without a key prefix, as py-key-value has none."""
    return opened(replace(STORES["memcached"], options=lambda place: {"url": server.url}), side, Place(Path()))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("file", MEMCACHED, ids=lambda file: file.stem)
def test_entries_of_py_key_value_in_memcached_are_read(own_memcached, cache, side, file):
    """What py-key-value wrote is read exactly, counted on, replaced, and destroyed with its collection."""
    entries = json.loads(file.read_text())["entries"]
    for one in entries:
        cache.set(one["name"].encode(), one["data"].encode(), expire=2_000_000 if one["ends"] else 0)

    with memcached(own_memcached, side) as store:
        for one in entries:
            entry = json.loads(one["data"])
            collection, key = entry["collection"], entry["key"]
            assert exact(store.call("get", key, collection=collection), entry["value"])
            [found] = store.call("get_many", [key], collection=collection)
            assert exact(found, entry["value"])
            value, left = store.call("ttl", key, collection=collection)
            assert exact(value, entry["value"])
            assert (left is not None) is one["ends"]
        assert store.call("increment", "counter", collection="users") == 42
        assert store.call("put_if_absent", "greeting", {}, collection="users") is False
        found = store.call("get_with_revision", "greeting", collection="users")
        assert store.call("put_if_unchanged", "greeting", {"text": "ours"}, found[1], collection="users") is True
        assert store.call("get_many", ["greeting", "empty"], collection="users") == [{"text": "ours"}, {}]
        assert store.call("delete_many", ["many1", "many3"], collection="bulk") == 2
        store.call("put", "mine", {"n": 5}, collection="bulk")
        assert store.call("get_many", ["many1", "many2", "mine"], collection="bulk") == [None, {"n": 2}, {"n": 5}]
        assert store.call("destroy_collection", "bulk") is True
        assert store.call("get_many", ["many2", "many4", "mine"], collection="bulk") == [None, None, None]
        store.call("put", "mine", {"n": 6}, collection="bulk")
        assert store.call("get_many", ["many2", "many4", "mine"], collection="bulk") == [None, None, {"n": 6}]
        store.call("destroy_collection", "default_collection")
        assert store.call("get", "greeting") is None


@pytest.mark.parametrize("side", SIDES)
def test_our_first_entries_in_memcached_are_read(own_memcached, cache, side):
    """What the first version of this library wrote is read exactly, wherever its name is the one that it has there."""
    with memcached(own_memcached, side) as store:
        for one in OURS:
            name = item_name(one["collection"], one["key"])
            cache.set(name, base64.b64decode(one["data"]))

            value, left = store.call("ttl", one["key"], collection=one["collection"])

            assert exact(value, ast.literal_eval(one["value"]))
            assert (left is not None) is one["ends"]
