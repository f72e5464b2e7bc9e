# Written by tools/mirror.py from tests/aio/stores/test_memcached.py: change that file instead.
"""MemcachedStore passes the contract, on one node and on two, and what is special about it."""

from datetime import UTC, datetime

import pytest

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


class TestMemcachedStore(MemcachedContract):
    """On one node."""

    @pytest.fixture
    def make(self, memcached_server, clock):
        return lambda: MemcachedStore(url=memcached_server.url, _clock=clock)
