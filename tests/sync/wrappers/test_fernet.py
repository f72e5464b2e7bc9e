# Written by tools/mirror.py from tests/aio/wrappers/test_fernet.py: change that file instead.
"""Values are kept encrypted."""

import pytest
from cryptography.fernet import Fernet

from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.encryption.fernet import FernetEncryptionWrapper

KEY = Fernet.generate_key()


class TestFernetEncryptionWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: FernetEncryptionWrapper(inner(), fernet=Fernet(KEY))
