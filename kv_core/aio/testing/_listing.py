"""Enumeration, destruction and culling."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from typing import Any

import pytest

from kv_core.aio.protocols import AsyncStore
from kv_core.aio.testing._address import COLLECTIONS
from kv_core.aio.testing._common import SHORT, Advance, Contract, lacks
from kv_core.aio.testing._ttl import BEYOND
from kv_core.errors import ConfigurationError


class ListingContract(Contract):
    """Enumeration, destruction and culling."""

    async def test_keys(self, store: AsyncStore) -> None:
        """The keys of a collection are those that were put there and not deleted, each once."""
        if await lacks(store, "keys"):
            return
        await store.put_many(["a", "b", "", "ü"], [{"n": 1}] * 4)
        await store.put_many(["a", "c"], [{"n": 1}] * 2, collection="other")
        await store.put("a", {"n": 2})
        await store.delete("b")

        assert sorted(await store.keys()) == ["", "a", "ü"]
        assert sorted(await store.keys(store.default_collection)) == ["", "a", "ü"]
        assert sorted(await store.keys("other")) == ["a", "c"]
        assert await store.keys("none") == []

    async def test_iter_keys(self, store: AsyncStore) -> None:
        """Going through the keys gives each once, more of them than one page has."""
        if await lacks(store, "iter_keys"):
            return
        keys = [f"key {number}" for number in range(2500)]
        await store.put_many(keys, [{"n": 1}] * len(keys))
        await store.put("other", {"n": 1}, collection="other")

        found = [key async for key in store.iter_keys()]

        assert sorted(found) == sorted(keys)
        assert [key async for key in store.iter_keys("other")] == ["other"]
        assert [key async for key in store.iter_keys("none")] == []
        if not await lacks(store, "keys"):
            assert sorted(await store.keys()) == sorted(keys)

    async def test_limit(self, store: AsyncStore) -> None:
        """A limit is the most that is returned; None is no limit."""
        if await lacks(store, "keys", "collections"):
            return
        await store.put_many(["a", "b", "c"], [{"n": 1}] * 3)
        await store.put("a", {"n": 1}, collection="other")

        for limit, count in ((0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (None, 3)):
            found = await store.keys(limit=limit)
            assert len(found) == len(set(found)) == count
            assert set(found) <= {"a", "b", "c"}
        assert len(await store.collections(limit=1)) == 1
        assert await store.collections(limit=0) == []

    @pytest.mark.parametrize("limit", [-1, True, 1.5, "1"], ids=repr)
    async def test_limits_are_counts(self, store: AsyncStore, limit: Any) -> None:
        """A limit that is not None or a count from 0 is refused."""
        if await lacks(store, "keys", "collections"):
            return
        with pytest.raises(ConfigurationError):
            await store.keys(limit=limit)
        with pytest.raises(ConfigurationError):
            await store.collections(limit=limit)

    @pytest.mark.faults(102)
    async def test_collections(self, store: AsyncStore) -> None:
        """The collections are those that hold an entry; reading makes none, and deleting the last key ends one."""
        if await lacks(store, "collections"):
            return
        for collection in COLLECTIONS:
            await store.put("key", {"n": 1}, collection=collection)
        await store.put("key", {"n": 1})
        await store.get("key", collection="never written")
        await store.delete("key", collection="never deleted")
        await store.delete("key", collection="users")

        found = await store.collections()

        assert len(found) == len(set(found))
        assert set(found) == {*COLLECTIONS, store.default_collection} - {"users"}

    @pytest.mark.faults(24)
    @pytest.mark.parametrize("collection", COLLECTIONS, ids=ascii)
    async def test_destroy_collection(self, store: AsyncStore, collection: str) -> None:
        """Destroying a collection deletes its entries, all of them and no other's, and says if there was one."""
        if await lacks(store, "destroy_collection"):
            return
        others = [name for name in COLLECTIONS if name != collection]
        for name in [*others, collection]:
            await store.put_many(["a", "b*"], [{"n": 1}, {"in": name}], collection=name)
        if not await lacks(store, "keys"):
            assert sorted(await store.keys(collection)) == ["a", "b*"]

        assert await store.destroy_collection(collection) is True
        assert await store.destroy_collection(collection) is False

        assert await store.get_many(["a", "b*"], collection=collection) == [None, None]
        for name in others:
            assert await store.get_many(["a", "b*"], collection=name) == [{"n": 1}, {"in": name}]

    async def test_destroy_a_large_collection(self, store: AsyncStore) -> None:
        """A collection with more entries than one page is destroyed whole."""
        if await lacks(store, "destroy_collection"):
            return
        keys = [f"key {number}" for number in range(2500)]
        await store.put_many(keys, [{"n": 1}] * len(keys), collection="large")

        assert await store.destroy_collection("large") is True

        assert await store.get_many(keys, collection="large") == [None] * len(keys)

    async def test_destroy(self, store: AsyncStore) -> None:
        """Destroying everything leaves no entry in any collection; the store goes on."""
        if await lacks(store, "destroy"):
            return
        for name in COLLECTIONS:
            await store.put("key", {"n": 1}, collection=name)
        await store.put("key", {"n": 1}, ttl=60)

        assert await store.destroy() is True
        assert await store.destroy() is False

        assert [await store.get("key", collection=name) for name in COLLECTIONS] == [None] * len(COLLECTIONS)
        assert await store.get("key") is None
        if not await lacks(store, "collections"):
            assert await store.collections() == []
        await store.put("key", {"n": 2})
        assert await store.get("key") == {"n": 2}

    @pytest.mark.faults(57)
    async def test_cull(self, store: AsyncStore, advance: Advance) -> None:
        """Culling removes what has ended, says how many that were, and leaves what lives."""
        if await lacks(store, "cull"):
            return
        await store.put_many(["endless", "long"], [{"n": 1}] * 2, ttl=[None, 60])
        assert await store.cull() == 0

        await store.put_many(["a", "b", "c"], [{"n": 1}] * 3, ttl=SHORT)
        await advance(BEYOND)

        assert await store.cull() in range(4)
        assert await store.cull() == 0
        assert await store.get_many(["endless", "long", "a"]) == [{"n": 1}, {"n": 1}, None]

    async def test_ping(self, store: AsyncStore) -> None:
        """A ping says how long the backend took, in seconds."""
        if await lacks(store, "ping"):
            return
        seconds = await store.ping()

        assert type(seconds) is float
        assert 0 <= seconds < 5
