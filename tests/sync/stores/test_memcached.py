# Written by tools/mirror.py from tests/aio/stores/test_memcached.py: change that file instead.
"""MemcachedStore passes the contract, on one node and on two."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from kv_core.errors import EntryTooLargeError
from kv_core.sync.stores.memcached import MemcachedStore
from kv_core.sync.testing import StoreContract, ToldClock


class MemcachedContract(StoreContract):
    """The contract, by a clock that is told: a server keeps entries longer than their readers see them."""

    @pytest.fixture
    def clock(self):
        return ToldClock(now=datetime.now(UTC))

    @pytest.fixture
    def advance(self, clock):
        return clock.advance

    @pytest.mark.faults(42)
    def test_a_mebibyte_comes_back(self, store):
        """Nearly 1 MiB comes back; a whole one is more than a server takes by default, and the old value stays."""
        almost = {"text": "x" * (2**20 - 1000)}
        store.put("large", almost)

        whole = {"text": "x" * 2**20}
        with pytest.raises(EntryTooLargeError, match="-I") as caught:
            store.put("large", whole)
        assert (caught.value.key, caught.value.outcome) == ("large", "not_applied")
        with pytest.raises(EntryTooLargeError, match="-I"):
            store.put_many(["large"], [whole])
        with pytest.raises(EntryTooLargeError, match="-I"):
            store.put_if_present("large", whole)
        store.put("small", {"n": 1})
        assert store.get_many(["small", "large"]) == [{"n": 1}, almost]


class TestMemcachedStore(MemcachedContract):
    """On one node."""

    @pytest.fixture
    def make(self, memcached_server, clock):
        url = f"{memcached_server.url}/?key_prefix={uuid4().hex}:"
        return lambda: MemcachedStore(url=url, _clock=clock)


class TestMemcachedStoreOnTwoNodes(MemcachedContract):
    """On two nodes."""

    @pytest.fixture
    def make(self, memcached_nodes_server, clock):
        url = f"{memcached_nodes_server.url}/?key_prefix={uuid4().hex}:"
        return lambda: MemcachedStore(url=url, _clock=clock)
