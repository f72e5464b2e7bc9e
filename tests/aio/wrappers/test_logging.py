"""Every operation is a line in the log."""

import pytest

from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.logging import LoggingWrapper


class TestLoggingWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: LoggingWrapper(inner(), log_values=True, structured_logs=True)
