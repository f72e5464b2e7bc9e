# Written by tools/mirror.py from tests/aio/wrappers/test_prefix_collections.py: change that file instead.
"""Collections are kept under a prefix."""

import pytest

from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.prefix_collections import PrefixCollectionsWrapper


class TestPrefixCollectionsWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: PrefixCollectionsWrapper(inner(), "prod:1%")
