# Written by tools/mirror.py from tests/aio/wrappers/test_stacks.py: change that file instead.
"""The recommended stack passes the contract, random ones agree with a model, and all close what is inside."""

import os

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from kv_core.capabilities import OPERATIONS, capabilities
from kv_core.entry import Revision
from kv_core.errors import ConfigurationError, MissingKeyError, NotACounterError, UnsupportedOperationError
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers import BaseWrapper
from kv_core.sync.wrappers.circuit_breaker import CircuitBreakerWrapper
from kv_core.sync.wrappers.coalesce import CoalesceWrapper
from kv_core.sync.wrappers.compression import CompressionWrapper
from kv_core.sync.wrappers.encryption.fernet import FernetEncryptionWrapper
from kv_core.sync.wrappers.fallback import FallbackWrapper
from kv_core.sync.wrappers.limit_size import LimitSizeWrapper
from kv_core.sync.wrappers.logging import LoggingWrapper
from kv_core.sync.wrappers.passthrough_cache import PassthroughCacheWrapper
from kv_core.sync.wrappers.prefix_collections import PrefixCollectionsWrapper
from kv_core.sync.wrappers.prefix_keys import PrefixKeysWrapper
from kv_core.sync.wrappers.retry import RetryWrapper
from kv_core.sync.wrappers.routing import CollectionRoutingWrapper
from kv_core.sync.wrappers.single_collection import SingleCollectionWrapper
from kv_core.sync.wrappers.statistics import StatisticsWrapper
from kv_core.sync.wrappers.timeout import TimeoutWrapper
from kv_core.sync.wrappers.ttl_clamp import TTLClampWrapper

KEY = Fernet.generate_key()
NO_REVISION = Revision("none")
EXAMPLES = 2000 if os.environ.get("KV_TEST_FULL") else 150


def production(store):
    """The recommended order, outermost first: Statistics, Fallback, Retry, Timeout, Compression, Fernet."""
    sealed = CompressionWrapper(FernetEncryptionWrapper(store, fernet=Fernet(KEY)))
    return StatisticsWrapper(FallbackWrapper(RetryWrapper(TimeoutWrapper(sealed)), MemoryStore()))


class TestProductionStack(StoreContract):
    """The contract, through the recommended stack."""

    @pytest.fixture
    def make(self, inner):
        return lambda: production(inner())


class TestProductionStackWithCoalesce(StoreContract):
    """The contract, through the recommended stack for many tasks at once."""

    @pytest.fixture
    def make(self, inner):
        def stack():
            sealed = CompressionWrapper(FernetEncryptionWrapper(inner(), fernet=Fernet(KEY)))
            return StatisticsWrapper(CoalesceWrapper(RetryWrapper(TimeoutWrapper(sealed))))

        return stack


# Random stacks against a model ----------------------------------------------------------------------------------------


class PutAlone(BaseWrapper):
    """A user's wrapper that overrides put alone: no value may come to the store but by it."""

    def __init__(self, key_value):
        self.key_value = key_value
        self.seen = []

    def put(self, key, value, *, collection=None, ttl=None):
        self.seen.append(value)
        self.key_value.put(key, value, collection=collection, ttl=ttl)


class GetAlone(BaseWrapper):
    """A user's wrapper that overrides get alone: no value may be read but by it."""

    def __init__(self, key_value):
        self.key_value = key_value
        self.hits = 0

    def get(self, key, *, collection=None):
        value = self.key_value.get(key, collection=collection)
        self.hits += value is not None
        return value


class Leaky(BaseWrapper, whole=True):
    """A wrapper that is wrong: its bulk write forgets the last item."""

    def __init__(self, key_value):
        self.key_value = key_value

    def put_many(self, keys, values, *, collection=None, ttl=None):
        self.key_value.put_many(keys[:-1], values[:-1], collection=collection, ttl=None)


class SideDoor(BaseWrapper, whole=True):
    """A wrapper that is wrong: it says that it answers for everything, and lets all but put pass by."""

    __init__ = PutAlone.__init__
    put = PutAlone.put


LAYERS = {
    "circuit_breaker": CircuitBreakerWrapper,
    "coalesce": CoalesceWrapper,
    "compression": lambda store: CompressionWrapper(store, min_size_to_compress=0),
    "fallback": lambda store: FallbackWrapper(store, MemoryStore()),
    "fernet": lambda store: FernetEncryptionWrapper(store, fernet=Fernet(KEY)),
    "get_alone": GetAlone,
    "limit_size": lambda store: LimitSizeWrapper(store, max_size=100_000),
    "logging": LoggingWrapper,
    "passthrough_cache": lambda store: PassthroughCacheWrapper(store, MemoryStore()),
    "prefix_collections": lambda store: PrefixCollectionsWrapper(store, "p:"),
    "prefix_keys": lambda store: PrefixKeysWrapper(store, "k%"),
    "put_alone": PutAlone,
    "retry": RetryWrapper,
    "routing": lambda store: CollectionRoutingWrapper({}, store),
    "single_collection": lambda store: SingleCollectionWrapper(store, "one"),
    "statistics": StatisticsWrapper,
    "timeout": TimeoutWrapper,
    "ttl_clamp": lambda store: TTLClampWrapper(store, 10, 1000),
}

PLACES = st.tuples(st.sampled_from(["one", "b:b"]), st.sampled_from(["k", "k:k", ""]))
VALUES = st.sampled_from([{}, {"value": 1}, {"text": "x" * 3000}, {"raw": b"\x00\xff"}, {"__kv_compressed__": 1}])
STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(OPERATIONS)), PLACES, VALUES, st.sampled_from([None, 100])),
    min_size=1,
    max_size=14,
)


def build(layers):
    """Return the stack and its parts, outermost last; None if it cannot be built."""
    parts = [MemoryStore()]
    for name in layers:
        try:
            parts.append(LAYERS[name](parts[-1]))
        except ConfigurationError:
            return None
    return parts


def step(stack, model, operation, place, value, ttl):  # noqa: PLR0912 - one branch an operation
    """Make one operation on the stack and on the model, and compare what they answer."""
    collection, key = place
    there = model.get(place)
    here = {one: held for (where, one), held in model.items() if where == collection}
    match operation:
        case "get":
            assert stack.get(key, collection=collection) == there
        case "get_many":
            found = stack.get_many([key, "none", key], collection=collection)
            assert found == [there, None, there]
        case "ttl":
            assert (stack.ttl(key, collection=collection))[0] == there
        case "ttl_many":
            found = stack.ttl_many([key, "none"], collection=collection)
            assert [one[0] for one in found] == [there, None]
        case "put":
            stack.put(key, value, collection=collection, ttl=ttl)
            model[place] = value
        case "put_many":
            stack.put_many([key, "other"], [value, {"n": 2}], collection=collection, ttl=[ttl, None])
            model[place], model[collection, "other"] = value, {"n": 2}
        case "delete":
            assert stack.delete(key, collection=collection) == (model.pop(place, None) is not None)
        case "delete_many":
            count = stack.delete_many([key, "none", key], collection=collection)
            assert count == int(model.pop(place, None) is not None)
        case "put_if_absent":
            assert stack.put_if_absent(key, value, collection=collection, ttl=ttl) == (there is None)
            model.setdefault(place, value)
        case "put_if_present":
            assert stack.put_if_present(key, value, collection=collection, ttl=ttl) == (there is not None)
            if there is not None:
                model[place] = value
        case "get_with_revision":
            found = stack.get_with_revision(key, collection=collection)
            assert (found and found[0]) == there or (found is None and there is None)
        case "put_if_unchanged" | "delete_if_unchanged":
            if_unchanged(stack, model, operation, place, value)
        case "touch":
            assert stack.touch(key, ttl=ttl, collection=collection) == (there is not None)
        case "increment":
            increment(stack, model, place)
        case "keys":
            assert sorted(stack.keys(collection)) == sorted(here)
        case "iter_keys":
            assert sorted([one for one in stack.iter_keys(collection)]) == sorted(here)
        case "collections":
            assert sorted(stack.collections()) == sorted({where for where, _ in model})
        case "destroy_collection":
            assert stack.destroy_collection(collection) == bool(here)
            for one in here:
                del model[collection, one]
        case "destroy":
            assert stack.destroy() == bool(model)
            model.clear()
        case "cull":
            assert stack.cull() == 0
        case "ping":
            assert stack.ping() >= 0


def if_unchanged(stack, model, operation, place, value):
    collection, key = place
    found = stack.get_with_revision(key, collection=collection)
    if found is None:
        assert place not in model
    elif operation == "put_if_unchanged":
        assert stack.put_if_unchanged(key, value, found[1], collection=collection)
        model[place] = value
    else:
        assert stack.delete_if_unchanged(key, found[1], collection=collection)
        del model[place]


def increment(stack, model, place):
    collection, key = place
    there = model.get(place)
    if there is None:
        with pytest.raises(MissingKeyError):
            stack.increment(key, collection=collection)
        assert stack.increment(key, 2, collection=collection, initial=1) == 3
        model[place] = {"value": 3}
    elif there.keys() == {"value"}:
        model[place] = {"value": there["value"] + 5}
        assert stack.increment(key, 5, collection=collection) == model[place]["value"]
    else:
        with pytest.raises(NotACounterError):
            stack.increment(key, collection=collection)


def make(stack, operation, arguments, options):
    """Make an operation, and go through what it lists."""
    if operation != "iter_keys":
        return getattr(stack, operation)(*arguments, **options)
    return [key for key in stack.iter_keys(*arguments)]


def refuse(stack, operation, place, value):
    """Make an operation that the stack withdraws."""
    collection, key = place
    arguments = {
        "put_if_absent": (key, value),
        "put_if_present": (key, value),
        "get_with_revision": (key,),
        "put_if_unchanged": (key, value, NO_REVISION),
        "delete_if_unchanged": (key, NO_REVISION),
        "increment": (key,),
        "touch": (key,),
        "destroy_collection": (collection,),
    }.get(operation, ())
    options = {"ttl": None} if operation == "touch" else {}
    with pytest.raises(UnsupportedOperationError):
        make(stack, operation, arguments, options)


def hold_against_model(parts, steps):
    """Make all steps, and look in the end whether a value came to the store by a side door."""
    stack = parts[-1]
    claimed = capabilities(stack)
    model = {}
    for operation, place, value, ttl in steps:
        needed = {operation, "get_with_revision"} if operation.endswith("_if_unchanged") else {operation}
        if needed <= claimed:
            step(stack, model, operation, place, value, ttl)
        elif operation not in claimed:
            refuse(stack, operation, place, value)
    for (collection, key), value in model.items():
        assert stack.get(key, collection=collection) == value
    for number, part in enumerate(parts):
        if hasattr(part, "seen"):
            for collection, key in model:
                value = part.get(key, collection=collection) if number == len(parts) - 1 else None
                assert value is None or value in part.seen


@settings(max_examples=EXAMPLES)
@given(st.lists(st.sampled_from(sorted(LAYERS)), max_size=6), STEPS)
def test_random_stacks_agree_with_a_model(layers, steps):
    """What capabilities() claims works as in a dict, what it withdraws raises, and nobody is passed by."""
    parts = build(layers)
    if parts is not None:
        hold_against_model(parts, steps)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.sampled_from(sorted(LAYERS)), max_size=4), STEPS)
def test_a_wrapper_that_overrides_put_alone_sees_every_value(layers, steps):
    """Under and over other wrappers, on top of which it stands, nothing is written past it."""
    parts = build([*layers, "put_alone"])
    if parts is not None:
        hold_against_model(parts, steps)


BULK = [("put_many", ("one", "k"), {"n": 1}, None), ("keys", ("one", "k"), {}, None)]
DOOR = [("put_if_absent", ("one", "k"), {"n": 1}, None)]


@pytest.mark.parametrize(("broken", "steps"), [(Leaky, BULK), (SideDoor, DOOR)])
def test_the_model_finds_a_broken_wrapper(broken, steps):
    """The control: a wrapper that loses an item, and one that has a side door, are found."""
    store = MemoryStore()

    with pytest.raises(AssertionError):
        hold_against_model([store, broken(store)], steps)


# Closing --------------------------------------------------------------------------------------------------------------


class Counted(MemoryStore):
    """A store that counts how often it was let go."""

    closed = 0

    def _release(self):
        self.closed += 1


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_leaving_a_stack_closes_the_store_once(name):
    """Whatever is around a store closes it, once, also when it is closed again."""
    store = Counted()
    with LAYERS[name](store) as stack:
        stack.put("key", {"n": 1})
    stack.close()

    assert store.closed == 1


@pytest.mark.parametrize(
    "both",
    [
        FallbackWrapper,
        PassthroughCacheWrapper,
        lambda one, two: CollectionRoutingWrapper({"one": one, "again": one}, two),
    ],
    ids=["fallback", "passthrough_cache", "routing"],
)
def test_two_stores_are_both_closed(both):
    """What stands on two stores closes both, each once, and the second although the first fails to close."""
    one, two = Counted(), Counted()
    both(one, two).close()

    assert (one.closed, two.closed) == (1, 1)
