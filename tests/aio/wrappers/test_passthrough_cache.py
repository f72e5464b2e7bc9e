"""A fast store stands in front of a slow one."""

import pytest

from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.passthrough_cache import PassthroughCacheWrapper


class TestPassthroughCacheWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: PassthroughCacheWrapper(inner(), MemoryStore())
