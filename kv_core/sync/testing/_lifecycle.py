# Written by tools/mirror.py from kv_core/aio/testing/_lifecycle.py: change that file instead.
"""Handles: what a store says it can do, several on one backend, and closing."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

import pytest

from kv_core.capabilities import BASIC, OPERATIONS, SEGMENTS, capabilities, require
from kv_core.errors import StoreClosedError, UnsupportedOperationError
from kv_core.sync._runtime import gather
from kv_core.sync.protocols import ConditionalPut, KeyValue, Revisions, Store, Touch
from kv_core.sync.testing._common import Contract, Make, call, lacks


class LifecycleContract(Contract):
    """Capabilities and handles."""

    @pytest.fixture
    def handles(self, make: Make | None) -> Make:
        """Return the function that gives handles, or skip what needs several."""
        if make is None:
            pytest.skip("override the fixture `make` to have this tested")
        return make

    def test_capabilities_are_operations(self, store: Store) -> None:
        """What a store says it can do are operations of the protocol, the basic ones among them."""
        assert BASIC <= capabilities(store) <= OPERATIONS.keys()
        assert isinstance(store, KeyValue)

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_what_it_lacks_it_refuses(self, store: Store, operation: str) -> None:
        """An operation that is not among the capabilities raises, and one that is works."""
        if lacks(store, operation):
            return
        store.put("key", {"value": 1})

        call(store, operation)

    @pytest.mark.parametrize("segment", [KeyValue, ConditionalPut, Revisions, Touch, Store])
    def test_require_tells_the_truth(self, store: Store, segment: type) -> None:
        """A segment is granted if all of its operations are there, and refused by name if one is not."""
        missing = SEGMENTS[segment.__name__.removeprefix("Async")] - capabilities(store)
        if missing:
            with pytest.raises(UnsupportedOperationError, match="|".join(missing)):
                require(store, segment)
        else:
            assert require(store, segment) is store

    def test_handles_share_the_backend(self, store: Store, handles: Make) -> None:
        """What one handle writes another reads, and goes on reading when the first is closed."""
        other = handles()
        store.put("key", {"n": 1}, ttl=60)
        assert other.get("key") == {"n": 1}
        other.put("key", {"n": 2})
        assert store.ttl("key") == ({"n": 2}, None)
        if not lacks(store, "get_with_revision", "put_if_unchanged"):
            found = other.get_with_revision("key")
            assert found is not None
            store.put("key", {"n": 3})
            assert other.put_if_unchanged("key", {"n": 4}, found[1]) is False

        other.close()
        assert store.get("key") in ({"n": 2}, {"n": 3})

    @pytest.mark.faults(134)
    def test_a_closed_store_refuses(self, handles: Make) -> None:
        """After closing, every operation says that the store is closed; closing again does nothing."""
        store = handles()
        store.put("key", {"value": 1})
        store.close()
        store.close()

        for operation in capabilities(store):
            with pytest.raises(StoreClosedError):
                call(store, operation)

        again = handles()
        assert again.get("key") == {"value": 1}
        again.close()

    def test_a_store_that_was_not_used_closes(self, handles: Make) -> None:
        """A store that was made and never used can be closed."""
        store = handles()
        store.close()

        with pytest.raises(StoreClosedError):
            store.get("key")

    @pytest.mark.faults(136)
    def test_many_at_once(self, store: Store) -> None:
        """Calls that are made at once each get the answer to their own question."""
        keys = [f"key {number}" for number in range(50)]

        def put(key: str) -> bool:
            store.put(key, {"key": key})
            return True

        assert gather(*[put(key) for key in keys]) == [True] * 50

        found = gather(*[store.get(key) for key in keys * 4])
        many = gather(*[store.get_many([key, "none"]) for key in keys])

        assert found == [{"key": key} for key in keys * 4]
        assert many == [[{"key": key}, None] for key in keys]
        assert gather(*[store.delete(key) for key in keys]) == [True] * 50
