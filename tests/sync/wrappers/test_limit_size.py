# Written by tools/mirror.py from tests/aio/wrappers/test_limit_size.py: change that file instead.
"""Values are kept within a size."""

import pytest

from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.limit_size import LimitSizeWrapper


class TestLimitSizeWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: LimitSizeWrapper(inner(), max_size=200_000_000)
