# Written by tools/mirror.py from tests/aio/wrappers/test_base.py: change that file instead.
"""The base passes everything on, and no value passes by a side door of a wrapper that overrides get or put."""

import pytest

from kv_core.capabilities import ALL, BASIC, OPERATIONS, capabilities
from kv_core.errors import (
    BatchLengthError,
    InvalidKeyError,
    PartialFailureError,
    ReadOnlyError,
    StoreConnectionError,
    UnsupportedOperationError,
)
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers._calls import CallWrapper
from kv_core.sync.wrappers.base import BaseWrapper


class Plain(BaseWrapper):
    def __init__(self, key_value):
        self.key_value = key_value


class Calls(CallWrapper):
    def __init__(self, key_value):
        self.key_value = key_value


class Unmarking(Plain):
    """A user's wrapper that overrides get alone."""

    def get(self, key, *, collection=None):
        value = self.key_value.get(key=key, collection=collection)
        return None if value is None else {"seen": value}


class Counting(Plain):
    """A user's wrapper that overrides delete alone."""

    deleted = 0

    def delete(self, key, *, collection=None):
        self.deleted += 1
        return self.key_value.delete(key=key, collection=collection)


class TestBaseWrapper(StoreContract):
    """The contract, through a wrapper that changes nothing."""

    @pytest.fixture
    def make(self, inner):
        return lambda: Plain(inner())


class TestCallWrapper(StoreContract):
    """The contract, through a wrapper that makes every call as it came."""

    @pytest.fixture
    def make(self, inner):
        return lambda: Calls(inner())


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if operation.writes_value])
def test_no_value_reaches_the_store_past_put(name, marking, write):
    """Whatever carries a value goes through the overridden put, or is withdrawn; none is forgotten here."""
    store = MemoryStore()
    store.put("there", {"marked": {}})
    store.put("counter", {"value": 1})
    before = {key: store.get(key) for key in ("there", "counter")}
    stack = marking(store)
    stack.revision = (store.get_with_revision("there"))[1]

    if name in capabilities(stack):
        write(name, stack)
        assert store.get("key") == {"marked": {"n": 1}}
    else:
        with pytest.raises(UnsupportedOperationError, match="With Marking a stack cannot"):
            write(name, stack)
        assert store.get("key") is None
    assert {key: store.get(key) for key in ("there", "counter")} == before


def test_no_value_is_read_past_get():
    """Whatever returns values goes through the overridden get, or is withdrawn."""
    store = MemoryStore()
    store.put("key", {"n": 1}, ttl=50)
    stack = Unmarking(store)
    seen = {"seen": {"n": 1}}

    assert stack.get_many(["key", "none"]) == [seen, None]
    value, seconds = stack.ttl("key")
    assert value == seen
    assert 49 < seconds <= 50
    assert [found[0] for found in stack.ttl_many(["key", "none"])] == [seen, None]
    assert capabilities(stack) == ALL - {"get_with_revision", "increment"}
    with pytest.raises(UnsupportedOperationError, match="With Unmarking a stack cannot"):
        stack.get_with_revision("key")


def test_every_deletion_goes_through_delete():
    """delete_many goes through the overridden delete; delete_if_unchanged is withdrawn."""
    store = MemoryStore()
    store.put_many(["a", "b"], [{}, {}])
    stack = Counting(store)

    assert stack.delete_many(["a", "b", "a", "c"]) == 2
    assert stack.deleted == 3
    assert "delete_if_unchanged" not in capabilities(stack)


def test_what_a_call_wrapper_overrides_besides_is_not_passed_by():
    """A call that comes from a call wrapper outside goes through the method that one inside overrides, and its kind."""

    class Deaf(Calls):
        def get(self, key, *, collection=None):
            return None

    class Deafer(Deaf):
        pass

    for kind in (Deaf, Deafer):
        store = MemoryStore()
        stack = Calls(kind(Calls(store)))
        stack.put("key", {})

        assert store.get("key") == {}
        assert stack.get("key") is None
        assert stack.get_many(["key"]) == [None]
        assert stack.ttl("key") == (None, None)


def test_a_wrapper_of_a_wrapper_answers_too(marking):
    """The rule holds for subclasses of wrappers that define everything, and for a method that a mixin brings."""

    class Mixin:
        def put(self, key, value, *, collection=None, ttl=None):
            self.key_value.put(key, {"mixed": value}, collection=collection, ttl=ttl)

    class Mixed(Mixin, Calls):
        pass

    class Again(marking):
        def put_if_absent(self, key, value, *, collection=None, ttl=None):
            return self.key_value.put_if_absent(key, {"marked": value}, collection=collection, ttl=ttl)

    store = MemoryStore()
    Mixed(store).put_many(["a"], [{}])

    assert store.get("a") == {"mixed": {}}
    assert "increment" not in capabilities(Mixed(store))
    assert "put_if_absent" in capabilities(Again(store))
    assert Again(store).put_if_absent("b", {})


def test_bulk_through_single_operations_says_which_failed():
    """When some items fail, the error names them and those that were done."""

    class Picky(Plain):
        def put(self, key, value, *, collection=None, ttl=None):
            if key.startswith("bad"):
                raise StoreConnectionError("down", outcome="unknown" if key == "bad?" else "not_applied")
            self.key_value.put(key, value, collection=collection, ttl=ttl)

    stack = Picky(MemoryStore())

    with pytest.raises(PartialFailureError) as caught:
        stack.put_many(["a", "bad!", "bad?", "b"], [{}] * 4)
    assert caught.value.succeeded == ("a", "b")
    assert set(caught.value.failed) == {"bad!"}
    assert set(caught.value.unknown) == {"bad?"}
    assert caught.value.outcome == "unknown"
    assert caught.value.retryable
    assert stack.get_many(["a", "b"]) == [{}, {}]


def test_a_refusal_does_not_hide_what_was_done_before_it():
    """A bulk operation that is refused at a later key names the keys that were done."""

    class Guard(Plain):
        def put(self, key, value, *, collection=None, ttl=None):
            if key == "guarded":
                raise ReadOnlyError("guarded")
            self.key_value.put(key, value, collection=collection, ttl=ttl)

    stack = Guard(MemoryStore())

    with pytest.raises(PartialFailureError) as caught:
        stack.put_many(["a", "guarded", "b"], [{}] * 3)
    assert caught.value.succeeded == ("a", "b")
    assert set(caught.value.failed) == {"guarded"}
    assert caught.value.outcome == "unknown"
    with pytest.raises(ReadOnlyError):
        stack.put_many(["guarded", "c"], [{}] * 2)
    assert stack.get("c") is None


def test_bulk_through_single_operations_checks_first(marking):
    """Nothing is written when the arguments of a bulk operation are wrong."""
    stack = marking(MemoryStore())

    with pytest.raises(BatchLengthError):
        stack.put_many(["a", "b"], [{}])
    with pytest.raises(InvalidKeyError):
        stack.put_many("ab", [{}, {}])
    assert stack.get("a") is None


def test_a_store_with_the_basic_operations_alone_can_be_wrapped():
    """What the wrapped object does not have raises UnsupportedOperationError, not AttributeError."""

    class Basic:
        def __init__(self):
            for name in BASIC:
                setattr(self, name, getattr(MemoryStore(), name))

    for stack in (Plain(Basic()), Calls(Basic())):
        assert capabilities(stack) == BASIC
        with pytest.raises(UnsupportedOperationError):
            stack.touch("key", ttl=None)
        with pytest.raises(UnsupportedOperationError):
            stack.iter_keys()
        assert stack.default_collection == "default_collection"


def test_closing_a_stack_closes_the_store():
    """Leaving the context closes what is inside."""
    store = MemoryStore()
    with Plain(Calls(store)) as stack:
        stack.put("key", {})

    with pytest.raises(Exception, match="closed"):
        store.get("key")


def test_the_repr_shows_the_stack_without_secrets():
    """A repr names the parts."""
    assert repr(Plain(MemoryStore())) == "Plain(MemoryStore(default_collection='default_collection'))"
