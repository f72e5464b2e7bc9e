# Written by tools/mirror.py from tests/aio/wrappers/test_routing.py: change that file instead.
"""Each collection goes to its store."""

import pytest

from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.routing import CollectionRoutingWrapper


class TestCollectionRoutingWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CollectionRoutingWrapper({}, inner())
