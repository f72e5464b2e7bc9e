"""What many tasks ask at once leaves together."""

import pytest

from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.coalesce import CoalesceWrapper


class TestCoalesceWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CoalesceWrapper(inner())
