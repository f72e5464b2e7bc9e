"""Damaged entries are errors of one name on every store whose entries others could damage, alone and in bulk."""

import json

import msgspec
import pytest
from damage import DAMAGED, layout
from stores import SIDES, STORES, opened

from kv_core.errors import CorruptEntryError, UnsupportedEntryVersionError

OUTSIDE = {name: case for name, case in STORES.items() if name not in {"memory", "simple", "elasticsearch"}}
"""The stores that others can write to; Elasticsearch keeps more than bytes, and has tests of its own."""

READS = (
    *(("get", "k"), ("ttl", "k"), ("get_with_revision", "k"), ("increment", "k"), ("get_many", ["k"])),
    *(("get_many", ["fine", "k", "none"]), ("ttl_many", ["k"]), ("ttl_many", ["fine", "none", "k"])),
)
LATER = {
    "JSON": layout(version=2),
    "of another shape": layout(version=99, value=None),
    "MessagePack": msgspec.msgpack.encode(json.loads(layout()) | {"version": 2, "value": [1]}),
}


@pytest.fixture(params=OUTSIDE.values(), ids=OUTSIDE)
def case(request):
    """A store."""
    return request.param


@pytest.fixture(params=SIDES)
def store(case, request, place):
    """A store with an entry among which damaged ones are planted."""
    with opened(case, request.param, place) as store:
        store.call("put", "fine", {"n": 1}, collection="c")
        yield store


def plant(store, data):
    """Let the store keep these bytes, in its own way, where an entry belongs."""
    store.store._dump = lambda *_: data
    store.call("put", "k", {}, collection="c")
    del store.store._dump


def errors(store):
    """Return what each read raises, or what it returns."""
    found = {}
    for operation, keys in READS:
        try:
            found[f"{operation}({keys})"] = store.call(operation, keys, collection="c")
        except Exception as error:  # noqa: BLE001 - which one it is, is the question
            found[f"{operation}({keys})"] = error
    return found


@pytest.mark.faults(27, 34, 35, 46, 106)
def test_damage_is_an_error_and_no_miss(store):
    """What is not an entry of this address is a CorruptEntryError that names it, for single and bulk reads alike."""
    for kind, data in DAMAGED.items():
        plant(store, data)

        found = errors(store)

        assert {type(error) for error in found.values()} == {CorruptEntryError}, (kind, found)
        assert {(error.key, error.collection, error.retryable) for error in found.values()} == {("k", "c", False)}, kind
        assert store.call("put_if_absent", "k", {}, collection="c") is False, kind
        assert store.call("get", "fine", collection="c") == {"n": 1}, kind
        store.call("put", "k", {"healed": True}, collection="c")
        assert store.call("get", "k", collection="c") == {"healed": True}, kind


@pytest.mark.faults(149)
def test_a_later_layout_is_an_error_of_its_own(store):
    """An entry of a later version says that this library is too old, and is no reason to write over it."""
    for kind, data in LATER.items():
        plant(store, data)

        assert {type(error) for error in errors(store).values()} == {UnsupportedEntryVersionError}, kind
        assert store.call("put_if_absent", "k", {}, collection="c") is False, kind
