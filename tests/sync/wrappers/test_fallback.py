# Written by tools/mirror.py from tests/aio/wrappers/test_fallback.py: change that file instead.
"""A second store answers when the first cannot."""

import pytest

from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.fallback import FallbackWrapper


class TestFallbackWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: FallbackWrapper(inner(), MemoryStore())
