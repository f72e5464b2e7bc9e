# Written by tools/mirror.py from tests/aio/wrappers/test_routing.py: change that file instead.
"""Each collection goes to its store, by whatever name and operation."""

import pytest

from kv_core.capabilities import BASIC, capabilities
from kv_core.errors import ConfigurationError, InvalidCollectionError, UnsupportedOperationError
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract
from kv_core.sync.testing._common import PLACED, call
from kv_core.sync.wrappers._calls import CallWrapper
from kv_core.sync.wrappers.routing import CollectionRoutingWrapper, RoutingWrapper


class TestCollectionRoutingWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CollectionRoutingWrapper({}, inner())


class TestRoutingWrapper(StoreContract):
    """The contract, where every collection but the default one is in the routed store."""

    @pytest.fixture
    def make(self, inner):
        def make():
            routed = inner()
            return RoutingWrapper(lambda collection: routed if collection.startswith("o") else None, inner())

        return make


class Noting(CallWrapper):
    """Note what is called, and where."""

    def __init__(self, key_value):
        self.key_value = key_value
        self.calls = []

    def _around(self, call):
        self.calls.append((call.name, call.collection))
        return call(self.key_value)

    def iter_keys(self, collection=None):
        self.calls.append(("iter_keys", collection))
        return self.key_value.iter_keys(collection)

    def __len__(self):
        return 0


@pytest.mark.parametrize("operation", PLACED)
def test_every_operation_is_routed(operation):
    """Whatever is about a collection goes to its store alone, even if that store is falsy."""
    users, rest = Noting(MemoryStore()), Noting(MemoryStore())
    for stack in (
        CollectionRoutingWrapper({"users": users}, rest),
        RoutingWrapper({"users": users}.get, rest),
    ):
        for collection in ("users", "other"):
            call(stack, operation, collection=collection)

    assert users.calls == [(operation, "users")] * 2
    assert rest.calls == [(operation, "other")] * 2


def test_no_name_is_the_default_collections_name():
    """An entry that was put without a collection is found under the default collection's name, wherever that is."""
    elsewhere = MemoryStore(default_collection="another")
    rest = MemoryStore(default_collection="main")
    asked = []

    def route(collection):
        asked.append(collection)
        return elsewhere if collection == "main" else None

    for stack in (CollectionRoutingWrapper({"main": elsewhere}, rest), RoutingWrapper(route, rest)):
        stack.put("key", {"n": 1})

        assert stack.default_collection == "main"
        assert stack.get("key", collection="main") == {"n": 1}
        assert elsewhere.get("key", collection="main") == {"n": 1}
        assert stack.keys() == ["key"]
        assert [(key,) for key in stack.iter_keys()] == [("key",)]
        assert stack.destroy_collection("main")
        assert rest.keys() == []
    assert set(asked) == {"main"}


def test_collections_are_checked():
    """A bad collection is refused before it is looked up, whatever the operation."""
    stack = CollectionRoutingWrapper({"": MemoryStore()}, MemoryStore())

    for operation in PLACED:
        for bad in ("", 1, "\ud800"):
            with pytest.raises(InvalidCollectionError):
                call(stack, operation, collection=bad)
    with pytest.raises(InvalidCollectionError):
        stack.destroy_collection(None)


def test_what_is_about_all_collections_is_withdrawn():
    """A stack claims what all of its stores have, and nothing that is about all of them."""

    class Basic:
        def __init__(self):
            for name in BASIC:
                setattr(self, name, getattr(MemoryStore(), name))

    store = MemoryStore()
    over_all = {"collections", "destroy", "cull", "ping"}
    assert capabilities(RoutingWrapper(lambda _: None, store)) == capabilities(store) - over_all
    stack = CollectionRoutingWrapper({"a": Basic()}, store)
    assert capabilities(stack) == BASIC
    for name in over_all:
        with pytest.raises(UnsupportedOperationError, match=name):
            getattr(stack, name)()
    with pytest.raises(UnsupportedOperationError, match="Basic cannot"):
        stack.touch("key", ttl=5, collection="a")
    with pytest.raises(UnsupportedOperationError, match="iter_keys"):
        stack.iter_keys("a")


def test_a_mapping_is_copied():
    """Changing the mapping afterwards moves no collection."""
    users, rest = MemoryStore(), MemoryStore()
    collections = {"users": users}
    stack = CollectionRoutingWrapper(collections, rest)
    collections.clear()
    stack.put("key", {}, collection="users")

    assert users.keys("users") == ["key"]


def test_every_store_is_closed_once():
    """A store that serves several collections, the default ones among them, is closed once."""

    class Closing(MemoryStore):
        closed = 0

        def close(self):
            self.closed += 1

    one, two = Closing(), Closing()
    with CollectionRoutingWrapper({"a": one, "b": one, "c": two}, two) as stack:
        stack.put("key", {}, collection="a")

    assert (one.closed, two.closed) == (1, 1)


@pytest.mark.faults(120)
def test_options_are_checked():
    """What is no mapping or no function is refused at construction."""
    with pytest.raises(ConfigurationError, match="mapping"):
        CollectionRoutingWrapper([("a", MemoryStore())], MemoryStore())
    with pytest.raises(ConfigurationError, match="function"):
        RoutingWrapper({"a": MemoryStore()}, MemoryStore())
