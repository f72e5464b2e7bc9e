"""Everything is kept in one collection."""

import pytest

from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.single_collection import SingleCollectionWrapper


class TestSingleCollectionWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: SingleCollectionWrapper(inner(), "one:%")
