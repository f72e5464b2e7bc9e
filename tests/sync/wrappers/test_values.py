# Written by tools/mirror.py from tests/aio/wrappers/test_values.py: change that file instead.
"""Values are encoded on every way in, and decoded on every way out."""

import pytest

from kv_core import codec
from kv_core.capabilities import OPERATIONS, capabilities
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers._values import ValueWrapper


class Boxing(ValueWrapper):
    def __init__(self, key_value):
        self.key_value = key_value

    def _encode(self, value, address, expires_at):
        return {"box": codec.encode_value(value), "address": list(address)}

    def _decode(self, value, address):
        assert value["address"] == list(address)
        return codec.decode_value(value["box"])


class TestValueWrapper(StoreContract):
    """The contract, in boxes."""

    @pytest.fixture
    def make(self, inner):
        return lambda: Boxing(inner())


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if operation.writes_value])
def test_every_value_is_encoded(name, write):
    """Whatever carries a value encodes it, with its address."""
    store = MemoryStore()
    stack = Boxing(store)
    stack.put("there", {})
    stack.put("counter", {"value": 1})
    stack.revision = (stack.get_with_revision("there"))[1]

    write(name, stack)

    for key in ("key", "there", "counter"):
        value = store.get(key)
        assert value is None or value["address"] == ["default_collection", key]


def test_without_revisions_there_is_no_increment(marking):
    """Over a store that cannot put conditionally, increment is withdrawn."""
    assert "increment" not in capabilities(Boxing(marking(MemoryStore())))
