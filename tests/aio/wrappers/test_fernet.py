"""Values are kept encrypted."""

import pytest
from cryptography.fernet import Fernet

from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.encryption.fernet import FernetEncryptionWrapper

KEY = Fernet.generate_key()


class TestFernetEncryptionWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: FernetEncryptionWrapper(inner(), fernet=Fernet(KEY))
