# Written by tools/mirror.py from tests/aio/wrappers/test_default_value.py: change that file instead.
"""Misses are answered with a default, and nothing else is."""

import pytest

from kv_core.capabilities import capabilities
from kv_core.errors import ConfigurationError, InvalidKeyError, MissingKeyError, StoreConnectionError
from kv_core.settings import parse_stack
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.wrappers.default_value import DefaultValueWrapper

DEFAULT = {"theme": ["light"], "raw": b"\0"}


@pytest.fixture
def store(backend):
    """A store with one entry that is empty, and one that ends."""
    store = backend()
    store.put("empty", {})
    store.put("limited", {"n": 1}, ttl=60)
    return store


@pytest.mark.faults(28)
def test_what_is_missing_is_answered(store):
    """Every read answers a miss with the default and its ttl; what is there, {} among it, is answered as it is."""
    stack = DefaultValueWrapper(store, DEFAULT, default_ttl=5)

    assert stack.get("none") == DEFAULT
    assert stack.get("empty") == {}
    assert stack.get_many(["none", "empty", "limited"]) == [DEFAULT, {}, {"n": 1}]
    assert stack.ttl("none") == (DEFAULT, 5)
    assert stack.ttl("empty") == ({}, None)
    found = stack.ttl_many(["none", "empty", "limited"])
    assert found[:2] == [(DEFAULT, 5), ({}, None)]
    assert 59 < found[2][1] <= 60
    assert DefaultValueWrapper(store, {}).get("none") == {}


def test_each_answer_is_a_copy(store):
    """Changing an answer, or the dict that was given, changes no other answer."""
    given = {"theme": ["light"]}
    stack = DefaultValueWrapper(store, given)
    given["theme"].append("changed")
    answers = [stack.get("none"), *stack.get_many(["a", "a"]), (stack.ttl("b"))[0]]
    for answer in answers:
        answer["theme"].append("changed")

    assert stack.get("none") == {"theme": ["light"]}
    stack.default_value["theme"].append("changed")
    assert stack.default_value == {"theme": ["light"]}


def test_nothing_is_stored(store):
    """An answer leaves no entry, and what asks whether there is one sees none; nothing is withdrawn."""
    stack = DefaultValueWrapper(store, {"value": 5})
    stack.get("none")

    assert sorted(stack.keys()) == ["empty", "limited"]
    assert stack.get_with_revision("none") is None
    assert stack.delete("none") is False
    assert stack.touch("none", ttl=5) is False
    assert stack.put_if_present("none", {}) is False
    with pytest.raises(MissingKeyError):
        stack.increment("none")
    assert stack.increment("none", initial=0) == 1
    assert stack.put_if_absent("other", {}) is True
    assert capabilities(stack) == capabilities(store)


def test_an_error_is_no_miss(flaky):
    """A store that cannot answer raises; the default is for what is absent."""
    stack = DefaultValueWrapper(flaky(MemoryStore(), StoreConnectionError("down")), DEFAULT)

    with pytest.raises(StoreConnectionError):
        stack.get("key")
    with pytest.raises(InvalidKeyError):
        stack.get(1)


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    ("value", "ttl"), [(None, None), ([], None), ({1: 2}, None), ({"a": object()}, None), ({}, 0), ({}, float("nan"))]
)
def test_options_are_checked(value, ttl):
    """A default that no store would keep is refused at construction."""
    with pytest.raises(ConfigurationError, match="DefaultValueWrapper"):
        DefaultValueWrapper(MemoryStore(), value, default_ttl=ttl)


def test_settings_give_a_default():
    """In settings the default is a mapping."""
    wrappers = [{"wrapper": "default_value", "default_value": {"n": 1}, "default_ttl": "5"}]
    stack = parse_stack({"LOCATION": "memory://", "WRAPPERS": wrappers}).build_sync()

    assert stack.default_value == {"n": 1}
    assert stack.ttl("none") == ({"n": 1}, 5)
