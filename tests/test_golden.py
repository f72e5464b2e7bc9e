"""What earlier versions, and py-key-value, have written is read exactly; what a later version writes says so."""

import ast
import base64
import json
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from stores import SIDES, STORES, opened

from kv_core import address, codec
from kv_core.entry import VERSION, Entry
from kv_core.errors import UnsupportedEntryVersionError

GOLDEN = Path(__file__).with_name("golden")
OURS = json.loads((GOLDEN / "kvstack" / "entries-1.json").read_text())
FIELD = sorted((GOLDEN / "py_key_value").glob("redis-*.json"))

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
