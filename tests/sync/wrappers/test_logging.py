# Written by tools/mirror.py from tests/aio/wrappers/test_logging.py: change that file instead.
"""Every operation is a line in the log."""

import pytest

from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.logging import LoggingWrapper


class TestLoggingWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: LoggingWrapper(inner(), log_values=True, structured_logs=True)
