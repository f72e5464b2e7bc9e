# Written by tools/mirror.py from tests/aio/wrappers/test_single_collection.py: change that file instead.
"""Everything is kept in one collection."""

import pytest

from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.single_collection import SingleCollectionWrapper


class TestSingleCollectionWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: SingleCollectionWrapper(inner(), "one:%")
