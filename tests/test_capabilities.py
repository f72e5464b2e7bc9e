"""The one list of operations, and what a stack says it can do."""

import re

import pytest

from kv_core import capabilities as module
from kv_core.aio import protocols as aio
from kv_core.aio.stores.memory import MemoryStore
from kv_core.capabilities import ALL, BASIC, OPERATIONS, SEGMENTS, capabilities, require, unsupported
from kv_core.errors import UnsupportedOperationError
from kv_core.sync import protocols as sync


def methods(protocol):
    """Return the public methods that a protocol and its bases ask for."""
    return {
        name
        for base in protocol.__mro__
        for name, value in vars(base).items()
        if callable(value) and not name.startswith("_")
    } - {"close"}


@pytest.mark.parametrize("side", [aio, sync], ids=["aio", "sync"])
def test_the_list_is_the_protocols(side):
    """Every operation of the protocols is listed, and none besides; so are the segments, on both sides."""
    prefix = "Async" if side is aio else ""
    assert {f"{prefix}{name}" for name in SEGMENTS} == set(side.__all__)
    for name, operations in SEGMENTS.items():
        assert methods(getattr(side, prefix + name)) == operations, name
    assert ALL == OPERATIONS.keys() == SEGMENTS["Store"]
    assert frozenset().union(*(names for name, names in SEGMENTS.items() if name != "Store")) == ALL


def test_what_is_told_of_an_operation_is_true():
    """The facts that wrappers go by agree with the names and signatures of the operations."""
    for name, operation in OPERATIONS.items():
        method = getattr(aio.AsyncStore, name)
        parameters = set(method.__code__.co_varnames[: method.__code__.co_argcount + method.__code__.co_kwonlyargcount])
        assert operation.name == name
        assert operation.has_ttl is ("ttl" in parameters), name
        assert operation.bulk is ("keys" in parameters), name
        assert operation.writes_value is (bool({"value", "values"} & parameters) or name == "increment"), name
        assert operation.through in {None, *OPERATIONS}
        assert (
            operation.writes
            or name in {"get", "get_many", "ttl", "ttl_many", "get_with_revision", "ping"} | SEGMENTS["Enumerate"]
        )
    repeatable = {name for name, operation in OPERATIONS.items() if operation.writes and operation.repeatable}
    assert repeatable == {"put", "put_many", "delete"}


class Basic:
    """A store that has the basic operations, and says nothing."""

    def __getattr__(self, name):
        if name in BASIC:
            return lambda *_, **__: None
        raise AttributeError(name)


class Wrapper:
    """A wrapper that withdraws some operations."""

    def __init__(self, key_value, *without):
        self.key_value = key_value
        self.without = set(without)

    def _capabilities(self):
        return capabilities(self.key_value) - self.without


class Outer(Wrapper):
    """Another one."""


def test_what_a_stack_can_do():
    """A stack tells what is left of its store's operations; one that tells nothing is taken by its methods."""
    assert capabilities(MemoryStore()) == ALL
    assert capabilities(Outer(Wrapper(MemoryStore(), "touch"), "ping")) == ALL - {"touch", "ping"}
    assert capabilities(Basic()) == BASIC
    assert capabilities(object()) == frozenset()


def test_require_names_who_lacks_it():
    """What a segment needs is there, or the error names the operation and the part that lacks it."""
    store = MemoryStore()
    assert require(store, aio.AsyncTouch) is store
    assert require(store, aio.AsyncStore) is store
    for stack, culprit in (
        (Outer(Wrapper(store, "touch")), "With Wrapper a stack cannot"),
        (Outer(Wrapper(store), "touch"), "With Outer a stack cannot"),
        (Outer(Basic()), "Basic cannot"),
        (Basic(), "Basic cannot"),
    ):
        with pytest.raises(UnsupportedOperationError, match="touch") as caught:
            require(stack, aio.AsyncTouch)
        assert culprit in str(caught.value)
        assert culprit in str(unsupported(stack, "touch"))
    with pytest.raises(UnsupportedOperationError):
        require(Basic(), sync.Store)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_missing_operation_is_a_sentence(name):
    """The error for each operation says what cannot be done, by which part, and what to do, in a line or two."""
    lacking = str(unsupported(Basic(), name))
    withdrawn = str(unsupported(Outer(Wrapper(MemoryStore(), name)), name))

    assert re.fullmatch(rf"Basic cannot [a-z'\- ]+ \({name}\)\. Use (.+, or )?another store\.", lacking)
    assert withdrawn.startswith("With Wrapper a stack cannot ")
    assert withdrawn.endswith("a stack without Wrapper.")
    assert max(len(lacking), len(withdrawn)) <= 160

    assert module.__doc__
