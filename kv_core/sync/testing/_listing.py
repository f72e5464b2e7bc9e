# Written by tools/mirror.py from kv_core/aio/testing/_listing.py: change that file instead.
"""Enumeration, destruction and culling."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from typing import Any

import pytest

from kv_core.errors import ConfigurationError
from kv_core.sync.protocols import Store
from kv_core.sync.testing._address import COLLECTIONS
from kv_core.sync.testing._common import SHORT, Advance, Contract, lacks
from kv_core.sync.testing._ttl import BEYOND


class ListingContract(Contract):
    """Enumeration, destruction and culling."""

    def test_keys(self, store: Store) -> None:
        """The keys of a collection are those that were put there and not deleted, each once."""
        if lacks(store, "keys"):
            return
        store.put_many(["a", "b", "", "ü"], [{"n": 1}] * 4)
        store.put_many(["a", "c"], [{"n": 1}] * 2, collection="other")
        store.put("a", {"n": 2})
        store.delete("b")

        assert sorted(store.keys()) == ["", "a", "ü"]
        assert sorted(store.keys(store.default_collection)) == ["", "a", "ü"]
        assert sorted(store.keys("other")) == ["a", "c"]
        assert store.keys("none") == []

    def test_iter_keys(self, store: Store) -> None:
        """Going through the keys gives each once, more of them than one page has."""
        if lacks(store, "iter_keys"):
            return
        keys = [f"key {number}" for number in range(2500)]
        store.put_many(keys, [{"n": 1}] * len(keys))
        store.put("other", {"n": 1}, collection="other")

        found = [key for key in store.iter_keys()]

        assert sorted(found) == sorted(keys)
        assert [key for key in store.iter_keys("other")] == ["other"]
        assert [key for key in store.iter_keys("none")] == []
        if not lacks(store, "keys"):
            assert sorted(store.keys()) == sorted(keys)

    def test_limit(self, store: Store) -> None:
        """A limit is the most that is returned; None is no limit."""
        if lacks(store, "keys", "collections"):
            return
        store.put_many(["a", "b", "c"], [{"n": 1}] * 3)
        store.put("a", {"n": 1}, collection="other")

        for limit, count in ((0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (None, 3)):
            found = store.keys(limit=limit)
            assert len(found) == len(set(found)) == count
            assert set(found) <= {"a", "b", "c"}
        assert len(store.collections(limit=1)) == 1
        assert store.collections(limit=0) == []

    @pytest.mark.parametrize("limit", [-1, True, 1.5, "1"], ids=repr)
    def test_limits_are_counts(self, store: Store, limit: Any) -> None:
        """A limit that is not None or a count from 0 is refused."""
        if lacks(store, "keys", "collections"):
            return
        with pytest.raises(ConfigurationError):
            store.keys(limit=limit)
        with pytest.raises(ConfigurationError):
            store.collections(limit=limit)

    @pytest.mark.faults(102)
    def test_collections(self, store: Store) -> None:
        """The collections are those that hold an entry; reading makes none, and deleting the last key ends one."""
        if lacks(store, "collections"):
            return
        for collection in COLLECTIONS:
            store.put("key", {"n": 1}, collection=collection)
        store.put("key", {"n": 1})
        store.get("key", collection="never written")
        store.delete("key", collection="never deleted")
        store.delete("key", collection="users")

        found = store.collections()

        assert len(found) == len(set(found))
        assert set(found) == {*COLLECTIONS, store.default_collection} - {"users"}

    @pytest.mark.faults(24)
    @pytest.mark.parametrize("collection", COLLECTIONS, ids=ascii)
    def test_destroy_collection(self, store: Store, collection: str) -> None:
        """Destroying a collection deletes its entries, all of them and no other's, and says if there was one."""
        if lacks(store, "destroy_collection"):
            return
        others = [name for name in COLLECTIONS if name != collection]
        for name in [*others, collection]:
            store.put_many(["a", "b*"], [{"n": 1}, {"in": name}], collection=name)
        if not lacks(store, "keys"):
            assert sorted(store.keys(collection)) == ["a", "b*"]

        assert store.destroy_collection(collection) is True
        assert store.destroy_collection(collection) is False

        assert store.get_many(["a", "b*"], collection=collection) == [None, None]
        for name in others:
            assert store.get_many(["a", "b*"], collection=name) == [{"n": 1}, {"in": name}]

    def test_destroy_a_large_collection(self, store: Store) -> None:
        """A collection with more entries than one page is destroyed whole."""
        if lacks(store, "destroy_collection"):
            return
        keys = [f"key {number}" for number in range(2500)]
        store.put_many(keys, [{"n": 1}] * len(keys), collection="large")

        assert store.destroy_collection("large") is True

        assert store.get_many(keys, collection="large") == [None] * len(keys)

    def test_destroy(self, store: Store) -> None:
        """Destroying everything leaves no entry in any collection; the store goes on."""
        if lacks(store, "destroy"):
            return
        for name in COLLECTIONS:
            store.put("key", {"n": 1}, collection=name)
        store.put("key", {"n": 1}, ttl=60)

        assert store.destroy() is True
        assert store.destroy() is False

        assert [store.get("key", collection=name) for name in COLLECTIONS] == [None] * len(COLLECTIONS)
        assert store.get("key") is None
        if not lacks(store, "collections"):
            assert store.collections() == []
        store.put("key", {"n": 2})
        assert store.get("key") == {"n": 2}

    @pytest.mark.faults(57)
    def test_cull(self, store: Store, advance: Advance) -> None:
        """Culling removes what has ended, says how many that were, and leaves what lives."""
        if lacks(store, "cull"):
            return
        store.put_many(["endless", "long"], [{"n": 1}] * 2, ttl=[None, 60])
        assert store.cull() == 0

        store.put_many(["a", "b", "c"], [{"n": 1}] * 3, ttl=SHORT)
        advance(BEYOND)

        assert store.cull() in range(4)
        assert store.cull() == 0
        assert store.get_many(["endless", "long", "a"]) == [{"n": 1}, {"n": 1}, None]

    def test_ping(self, store: Store) -> None:
        """A ping says how long the backend took, in seconds."""
        if lacks(store, "ping"):
            return
        seconds = store.ping()

        assert type(seconds) is float
        assert 0 <= seconds < 5
