# Written by tools/mirror.py from tests/aio/wrappers/test_passthrough_cache.py: change that file instead.
"""A fast store stands in front of a slow one."""

import pytest

from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.passthrough_cache import PassthroughCacheWrapper


class TestPassthroughCacheWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: PassthroughCacheWrapper(inner(), MemoryStore())
