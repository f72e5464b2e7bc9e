"""A backend that is down is left alone for a while."""

import pytest

from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.circuit_breaker import CircuitBreakerWrapper


class TestCircuitBreakerWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CircuitBreakerWrapper(inner())
