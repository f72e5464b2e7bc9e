"""A second store answers when the first cannot."""

import pytest

from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.fallback import FallbackWrapper


class TestFallbackWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: FallbackWrapper(inner(), MemoryStore())
