"""Large values are kept compressed."""

import pytest

from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.compression import CompressionWrapper


class TestCompressionWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CompressionWrapper(inner(), min_size_to_compress=0)
