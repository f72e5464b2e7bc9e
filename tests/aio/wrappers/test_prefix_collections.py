"""Collections are kept under a prefix."""

import pytest

from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.prefix_collections import PrefixCollectionsWrapper


class TestPrefixCollectionsWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: PrefixCollectionsWrapper(inner(), "prod:1%")
