"""What every store, and every stack of wrappers over one, has to pass.

class TestMyStore(StoreContract):
    @pytest.fixture
    def make(self, tmp_path):
        return lambda: MyStore(tmp_path)
"""

from kv_core.aio.testing._address import AddressContract
from kv_core.aio.testing._bulk import BulkContract
from kv_core.aio.testing._common import Advance, Make, ToldClock
from kv_core.aio.testing._conditional import ConditionalContract
from kv_core.aio.testing._counter import CounterContract
from kv_core.aio.testing._lifecycle import LifecycleContract
from kv_core.aio.testing._listing import ListingContract
from kv_core.aio.testing._revision import RevisionContract
from kv_core.aio.testing._ttl import TTLContract
from kv_core.aio.testing._value import ValueContract


class StoreContract(
    AddressContract,
    ValueContract,
    TTLContract,
    BulkContract,
    ConditionalContract,
    RevisionContract,
    CounterContract,
    ListingContract,
    LifecycleContract,
):
    """The whole contract: subclass it, and give it a store by overriding the fixture `make` or `store`.

    - `make` returns a function that opens the backend of the test; each call gives another handle to the same
      entries. A backend that others use too is fine, as long as nobody else writes while a test runs.
    - `store`, when `make` cannot be given: a new handle, closed after the test. What needs two handles is skipped.
    - `advance` returns a function that lets a number of seconds pass; it sleeps unless overridden. A store whose
      clock can be told takes a `ToldClock` and gives its `advance`.

    Operations that `capabilities(store)` does not name have to raise `UnsupportedOperationError`; everything else
    has to work. Besides pytest it needs a plugin that runs coroutines (pytest-asyncio in auto mode), if any.
    """


__all__ = ["Advance", "Make", "StoreContract", "ToldClock"]
