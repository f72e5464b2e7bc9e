# Written by tools/mirror.py from tests/aio/wrappers/test_coalesce.py: change that file instead.
"""What many tasks ask at once leaves together."""

import pytest

from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.coalesce import CoalesceWrapper


class TestCoalesceWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CoalesceWrapper(inner())
