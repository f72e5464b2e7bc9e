# Written by tools/mirror.py from tests/aio/wrappers/test_compression.py: change that file instead.
"""Large values are kept compressed."""

import pytest

from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.compression import CompressionWrapper


class TestCompressionWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CompressionWrapper(inner(), min_size_to_compress=0)
