# Written by tools/mirror.py from tests/aio/wrappers/test_circuit_breaker.py: change that file instead.
"""A backend that is down is left alone for a while."""

import pytest

from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.circuit_breaker import CircuitBreakerWrapper


class TestCircuitBreakerWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CircuitBreakerWrapper(inner())
