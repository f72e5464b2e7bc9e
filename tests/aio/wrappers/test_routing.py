"""Each collection goes to its store."""

import pytest

from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.routing import CollectionRoutingWrapper


class TestCollectionRoutingWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CollectionRoutingWrapper({}, inner())
