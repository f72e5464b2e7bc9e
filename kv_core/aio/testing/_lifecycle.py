"""Handles: what a store says it can do, several on one backend, and closing."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

import pytest

from kv_core.aio._runtime import gather
from kv_core.aio.protocols import AsyncConditionalPut, AsyncKeyValue, AsyncRevisions, AsyncStore, AsyncTouch
from kv_core.aio.testing._common import Contract, Make, call, lacks
from kv_core.capabilities import BASIC, OPERATIONS, SEGMENTS, capabilities, require
from kv_core.errors import StoreClosedError, UnsupportedOperationError


class LifecycleContract(Contract):
    """Capabilities and handles."""

    @pytest.fixture
    def handles(self, make: Make | None) -> Make:
        """Return the function that gives handles, or skip what needs several."""
        if make is None:
            pytest.skip("override the fixture `make` to have this tested")
        return make

    async def test_capabilities_are_operations(self, store: AsyncStore) -> None:
        """What a store says it can do are operations of the protocol, the basic ones among them."""
        assert BASIC <= capabilities(store) <= OPERATIONS.keys()
        assert isinstance(store, AsyncKeyValue)

    @pytest.mark.parametrize("operation", OPERATIONS)
    async def test_what_it_lacks_it_refuses(self, store: AsyncStore, operation: str) -> None:
        """An operation that is not among the capabilities raises, and one that is works."""
        if await lacks(store, operation):
            return
        await store.put("key", {"value": 1})

        await call(store, operation)

    @pytest.mark.parametrize("segment", [AsyncKeyValue, AsyncConditionalPut, AsyncRevisions, AsyncTouch, AsyncStore])
    async def test_require_tells_the_truth(self, store: AsyncStore, segment: type) -> None:
        """A segment is granted if all of its operations are there, and refused by name if one is not."""
        missing = SEGMENTS[segment.__name__.removeprefix("Async")] - capabilities(store)
        if missing:
            with pytest.raises(UnsupportedOperationError, match="|".join(missing)):
                require(store, segment)
        else:
            assert require(store, segment) is store

    async def test_handles_share_the_backend(self, store: AsyncStore, handles: Make) -> None:
        """What one handle writes another reads, and goes on reading when the first is closed."""
        other = handles()
        await store.put("key", {"n": 1}, ttl=60)
        assert await other.get("key") == {"n": 1}
        await other.put("key", {"n": 2})
        assert await store.ttl("key") == ({"n": 2}, None)
        if not await lacks(store, "get_with_revision", "put_if_unchanged"):
            found = await other.get_with_revision("key")
            assert found is not None
            await store.put("key", {"n": 3})
            assert await other.put_if_unchanged("key", {"n": 4}, found[1]) is False

        await other.close()
        assert await store.get("key") in ({"n": 2}, {"n": 3})

    @pytest.mark.faults(134)
    async def test_a_closed_store_refuses(self, handles: Make) -> None:
        """After closing, every operation says that the store is closed; closing again does nothing."""
        store = handles()
        await store.put("key", {"value": 1})
        await store.close()
        await store.close()

        for operation in capabilities(store):
            with pytest.raises(StoreClosedError):
                await call(store, operation)

        again = handles()
        assert await again.get("key") == {"value": 1}
        await again.close()

    async def test_a_store_that_was_not_used_closes(self, handles: Make) -> None:
        """A store that was made and never used can be closed."""
        store = handles()
        await store.close()

        with pytest.raises(StoreClosedError):
            await store.get("key")

    @pytest.mark.faults(136)
    async def test_many_at_once(self, store: AsyncStore) -> None:
        """Calls that are made at once each get the answer to their own question."""
        keys = [f"key {number}" for number in range(50)]

        async def put(key: str) -> bool:
            await store.put(key, {"key": key})
            return True

        assert await gather(*[put(key) for key in keys]) == [True] * 50

        found = await gather(*[store.get(key) for key in keys * 4])
        many = await gather(*[store.get_many([key, "none"]) for key in keys])

        assert found == [{"key": key} for key in keys * 4]
        assert many == [[{"key": key}, None] for key in keys]
        assert await gather(*[store.delete(key) for key in keys]) == [True] * 50
