# Written by tools/mirror.py from tests/aio/wrappers/test_ttl_clamp.py: change that file instead.
"""Ttls are kept within bounds."""

import pytest

from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.ttl_clamp import TTLClampWrapper


class TestTTLClampWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: TTLClampWrapper(inner(), min_ttl=0.000001, max_ttl=10_000_000_000)
