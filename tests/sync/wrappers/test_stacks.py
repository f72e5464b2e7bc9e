# Written by tools/mirror.py from tests/aio/wrappers/test_stacks.py: change that file instead.
"""Wrappers in stacks: the recommended ones, random ones held against a model, and how stacks are closed."""

import random
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import assume, given
from hypothesis import strategies as st

from kv_core.capabilities import BASIC, OPERATIONS, capabilities
from kv_core.errors import (
    ConfigurationError,
    MissingKeyError,
    NotACounterError,
    ReadOnlyError,
    StoreClosedError,
    UnsupportedOperationError,
)
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers._calls import Call, CallWrapper
from kv_core.sync.wrappers.base import BaseWrapper
from kv_core.sync.wrappers.circuit_breaker import CircuitBreakerWrapper
from kv_core.sync.wrappers.coalesce import CoalesceWrapper
from kv_core.sync.wrappers.compression import CompressionWrapper
from kv_core.sync.wrappers.default_value import DefaultValueWrapper
from kv_core.sync.wrappers.encryption.fernet import FernetEncryptionWrapper
from kv_core.sync.wrappers.fallback import FallbackWrapper
from kv_core.sync.wrappers.limit_size import LimitSizeWrapper
from kv_core.sync.wrappers.logging import LoggingWrapper
from kv_core.sync.wrappers.passthrough_cache import PassthroughCacheWrapper
from kv_core.sync.wrappers.prefix_collections import PrefixCollectionsWrapper
from kv_core.sync.wrappers.prefix_keys import PrefixKeysWrapper
from kv_core.sync.wrappers.read_only import ReadOnlyWrapper
from kv_core.sync.wrappers.retry import RetryWrapper
from kv_core.sync.wrappers.routing import CollectionRoutingWrapper, RoutingWrapper
from kv_core.sync.wrappers.single_collection import SingleCollectionWrapper
from kv_core.sync.wrappers.statistics import StatisticsWrapper
from kv_core.sync.wrappers.timeout import TimeoutWrapper
from kv_core.sync.wrappers.ttl_clamp import TTLClampWrapper

FERNET = Fernet(Fernet.generate_key())


def guarded(store):
    """Return the part of the recommended stack that is about one store."""
    sealed = CompressionWrapper(FernetEncryptionWrapper(store, fernet=FERNET), min_size_to_compress=100)
    return RetryWrapper(TimeoutWrapper(sealed))


class TestProductionStack(StoreContract):
    """The contract, through the recommended stack."""

    @pytest.fixture
    def make(self, inner):
        return lambda: StatisticsWrapper(FallbackWrapper(guarded(inner()), MemoryStore()))


class TestCoalescedProductionStack(StoreContract):
    """The contract, through the recommended stack where concurrency is high."""

    @pytest.fixture
    def make(self, inner):
        return lambda: StatisticsWrapper(CoalesceWrapper(FallbackWrapper(guarded(inner()), MemoryStore())))


# Random stacks --------------------------------------------------------------------------------------------------------

POISON = {"poison": True}


class Gate:
    """Whether a call is on its way through the method that a user's wrapper overrides."""

    def __init__(self):
        self.inside = 0
        self.passed_by: list[str] = []

    def through(self, method, *arguments, **options):
        self.inside += 1
        try:
            return method(*arguments, **options)
        finally:
            self.inside -= 1


class PutGuard(CallWrapper):
    """Note every value that comes by another way than the overridden put above."""

    def __init__(self, key_value, gate):
        self.key_value, self.gate = key_value, gate

    def _around(self, call: Call):
        if call.operation.writes_value and not self.gate.inside:
            self.gate.passed_by.append(call.name)
        return call(self.key_value)


class GetGuard(CallWrapper):
    """Spoil every value that is read by another way than the overridden get above."""

    def __init__(self, key_value, gate):
        self.key_value, self.gate = key_value, gate

    def _around(self, call: Call):
        found = call(self.key_value)
        if self.gate.inside or not call.operation.reads_value:
            return found
        match call.name:
            case "get":
                return found and POISON
            case "get_many":
                return [one and POISON for one in found]
            case "ttl":
                return found[0] and POISON, found[1]
            case "ttl_many":
                return [(value and POISON, seconds) for value, seconds in found]
            case "get_with_revision":
                return found and (POISON, found[1])
        self.gate.passed_by.append(call.name)
        return found


class OverridesPut(BaseWrapper):
    """A user's wrapper that overrides put alone."""

    def __init__(self, key_value):
        self.gate = Gate()
        self.key_value = PutGuard(key_value, self.gate)

    def put(self, key, value, *, collection=None, ttl=None):
        self.gate.through(self.key_value.put, key=key, value=value, collection=collection, ttl=ttl)


class OverridesGet(BaseWrapper):
    """A user's wrapper that overrides get alone."""

    def __init__(self, key_value):
        self.gate = Gate()
        self.key_value = GetGuard(key_value, self.gate)

    def get(self, key, *, collection=None):
        return self.gate.through(self.key_value.get, key=key, collection=collection)


class OverridesDelete(BaseWrapper):
    """A user's wrapper that overrides delete alone."""

    def __init__(self, key_value):
        self.key_value = key_value
        self.gate = Gate()

    def delete(self, key, *, collection=None):
        return self.key_value.delete(key=key, collection=collection)


DEFAULT = {"default": True}
LAYERS = {
    "breaker": CircuitBreakerWrapper,
    "coalesce": CoalesceWrapper,
    "collection routing": lambda store: CollectionRoutingWrapper({"b": MemoryStore()}, store),
    "compression": lambda store: CompressionWrapper(store, min_size_to_compress=1),
    "default": lambda store: DefaultValueWrapper(store, DEFAULT),
    "fallback": lambda store: FallbackWrapper(store, MemoryStore(default_collection="elsewhere")),
    "fernet": lambda store: FernetEncryptionWrapper(store, fernet=FERNET),
    "limit size": lambda store: LimitSizeWrapper(store, max_size=100_000),
    "logging": LoggingWrapper,
    "passthrough": lambda store: PassthroughCacheWrapper(store, MemoryStore(default_collection="elsewhere")),
    "passthrough, absence": lambda store: PassthroughCacheWrapper(store, MemoryStore(), missing_ttl=1000),
    "prefix collections": lambda store: PrefixCollectionsWrapper(store, "app"),
    "prefix keys": lambda store: PrefixKeysWrapper(store, "app:"),
    "read only": ReadOnlyWrapper,
    "retry": RetryWrapper,
    "routing": lambda store: RoutingWrapper(lambda collection: None, store),
    "single collection": lambda store: SingleCollectionWrapper(store, "all"),
    "statistics": StatisticsWrapper,
    "timeout": TimeoutWrapper,
    "ttl clamp": lambda store: TTLClampWrapper(store, min_ttl=1, max_ttl=100_000),
    "user's delete": OverridesDelete,
    "user's get": OverridesGet,
    "user's put": OverridesPut,
}
KEYS = ("x", "y", "app:x", "count", "")
COLLECTIONS = (None, "a", "b", "app:a")
VALUES: tuple[dict[str, Any], ...] = (
    *({}, {"n": 1}, {"text": "long enough to be compressed " * 9}, {"bytes": b"\0"}, {"value": 5}),
    *({"absent": True}, {"value": {"n": 1}}, {"__kv_compressed__": 1}),
)
CALLS = [name for name in OPERATIONS if name != "delete_if_unchanged"]


def parts(stack):
    """Return a stack's wrappers, outermost first."""
    found = []
    while isinstance(stack, BaseWrapper):
        found.append(stack)
        stack = stack.key_value
    return found


def build(names, layers=LAYERS, store=None):
    """Return the stack of these layers, outermost first; a ConfigurationError says that they do not go together."""
    stack = store or MemoryStore()
    for name in reversed(names):
        stack = layers[name](stack)
    return stack


class Model:
    """What a stack should answer."""

    def __init__(self, stack):
        self.stack = stack
        self.can = capabilities(stack)
        self.entries: dict[tuple[str, str], dict[str, Any]] = {}
        self.revisions: dict[tuple[str, str], Any] = {}
        self.default = DEFAULT if any(isinstance(part, DefaultValueWrapper) for part in parts(stack)) else None

    def _place(self, collection, key):
        return collection or self.stack.default_collection, key

    def _read(self, collection, key):
        return self.entries.get(self._place(collection, key), self.default)

    def make(self, name, keys, collection, value, chance):
        """Make one operation, and compare what it answers and leaves."""
        key = keys[0]
        if name not in self.can:
            self._refused(name, keys, collection, value)
        else:
            getattr(self, f"_{name}", self._unknown)(keys, key, collection, value, chance)
        for part in parts(self.stack):
            if hasattr(part, "gate"):
                assert part.gate.passed_by == [], f"{name}: values passed {type(part).__name__} by"

    def _unknown(self, *_):
        raise NotImplementedError("the list of operations has grown: say here what they answer")

    def _refused(self, name, keys, collection, value):
        calls = {
            "put": lambda stack: stack.put(keys[0], value, collection=collection),
            "put_many": lambda stack: stack.put_many(keys, [value] * len(keys), collection=collection),
            "delete": lambda stack: stack.delete(keys[0], collection=collection),
            "delete_many": lambda stack: stack.delete_many(keys, collection=collection),
            "put_if_absent": lambda stack: stack.put_if_absent(keys[0], value, collection=collection),
            "put_if_present": lambda stack: stack.put_if_present(keys[0], value, collection=collection),
            "get_with_revision": lambda stack: stack.get_with_revision(keys[0], collection=collection),
            "put_if_unchanged": lambda stack: stack.put_if_unchanged(
                keys[0], value, self.revision, collection=collection
            ),
            "touch": lambda stack: stack.touch(keys[0], ttl=None, collection=collection),
            "increment": lambda stack: stack.increment(keys[0], initial=0, collection=collection),
            "keys": lambda stack: stack.keys(collection),
            "iter_keys": lambda stack: listed(stack, collection),
            "collections": lambda stack: stack.collections(),
            "destroy_collection": lambda stack: stack.destroy_collection(collection or "a"),
            "destroy": lambda stack: stack.destroy(),
            "cull": lambda stack: stack.cull(),
            "ping": lambda stack: stack.ping(),
        }
        with pytest.raises(UnsupportedOperationError):
            calls[name](self.stack)

    def _get(self, keys, key, collection, value, chance):
        assert self.stack.get(key, collection=collection) == self._read(collection, key)

    def _get_many(self, keys, key, collection, value, chance):
        found = self.stack.get_many(keys, collection=collection)
        assert found == [self._read(collection, one) for one in keys]

    def _ttl(self, keys, key, collection, value, chance):
        found, seconds = self.stack.ttl(key, collection=collection)
        assert found == self._read(collection, key)
        assert seconds is None or 900 < seconds <= 1000

    def _ttl_many(self, keys, key, collection, value, chance):
        found = self.stack.ttl_many(keys, collection=collection)
        assert [one for one, _ in found] == [self._read(collection, one) for one in keys]

    def _put(self, keys, key, collection, value, chance):
        ttl = chance.choice([None, 1000])
        self.stack.put(key, value, collection=collection, ttl=ttl)
        self.entries[self._place(collection, key)] = value
        seconds = (self.stack.ttl(key, collection=collection))[1]
        assert seconds is None if ttl is None else 900 < seconds <= 1000

    def _put_many(self, keys, key, collection, value, chance):
        values = [value, *[{"n": number} for number in range(1, len(keys))]]
        self.stack.put_many(keys, values, collection=collection, ttl=chance.choice([None, 1000]))
        self.entries.update((self._place(collection, key), value) for key, value in zip(keys, values, strict=True))

    def _delete(self, keys, key, collection, value, chance):
        there = self.entries.pop(self._place(collection, key), None) is not None
        assert self.stack.delete(key, collection=collection) is there

    def _delete_many(self, keys, key, collection, value, chance):
        there = [self.entries.pop(self._place(collection, one), None) is not None for one in dict.fromkeys(keys)]
        assert self.stack.delete_many(keys, collection=collection) == sum(there)

    def _put_if_absent(self, keys, key, collection, value, chance):
        absent = self._place(collection, key) not in self.entries
        assert self.stack.put_if_absent(key, value, collection=collection) is absent
        if absent:
            self.entries[self._place(collection, key)] = value

    def _put_if_present(self, keys, key, collection, value, chance):
        present = self._place(collection, key) in self.entries
        assert self.stack.put_if_present(key, value, collection=collection) is present
        if present:
            self.entries[self._place(collection, key)] = value

    def _get_with_revision(self, keys, key, collection, value, chance):
        place = self._place(collection, key)
        found = self.stack.get_with_revision(key, collection=collection)
        assert (found and found[0]) == self.entries.get(place)

    def _put_if_unchanged(self, keys, key, collection, value, chance):
        place = self._place(collection, key)
        if "get_with_revision" not in self.can:
            return
        found = self.stack.get_with_revision(key, collection=collection)
        if found is None:
            assert place not in self.entries
            return
        assert self.stack.put_if_unchanged(key, value, found[1], collection=collection)
        self.entries[place] = value
        self.stack.put(key, {"changed": True}, collection=collection)
        assert not self.stack.put_if_unchanged(key, value, found[1], collection=collection)
        self.entries[place] = {"changed": True}
        if "delete_if_unchanged" in self.can:
            assert not self.stack.delete_if_unchanged(key, found[1], collection=collection)
            found = self.stack.get_with_revision(key, collection=collection)
            assert self.stack.delete_if_unchanged(key, found[1], collection=collection)
            del self.entries[place]

    def _touch(self, keys, key, collection, value, chance):
        there = self._place(collection, key) in self.entries
        assert self.stack.touch(key, ttl=1000, collection=collection) is there
        if there:
            assert 900 < (self.stack.ttl(key, collection=collection))[1] <= 1000

    def _increment(self, keys, key, collection, value, chance):
        place = self._place(collection, key)
        there = self.entries.get(place)
        if there is None:
            with pytest.raises(MissingKeyError):
                self.stack.increment(key, collection=collection)
            assert self.stack.increment(key, 2, collection=collection, initial=40) == 42
            self.entries[place] = {"value": 42}
        elif there.keys() == {"value"} and type(there["value"]) is int:
            self.entries[place] = {"value": there["value"] - 5}
            assert self.stack.increment(key, -5, collection=collection) == there["value"] - 5
        else:
            with pytest.raises(NotACounterError):
                self.stack.increment(key, collection=collection)

    def _keys(self, keys, key, collection, value, chance):
        place = self._place(collection, "")[0]
        expected = sorted(key for found, key in self.entries if found == place)
        assert sorted(self.stack.keys(collection)) == expected

    def _iter_keys(self, keys, key, collection, value, chance):
        place = self._place(collection, "")[0]
        assert sorted(listed(self.stack, collection)) == sorted(key for at, key in self.entries if at == place)

    def _collections(self, keys, key, collection, value, chance):
        assert sorted(self.stack.collections()) == sorted({place for place, _ in self.entries})

    def _destroy_collection(self, keys, key, collection, value, chance):
        place = self._place(collection, "")[0]
        there = [one for one in self.entries if one[0] == place]
        assert self.stack.destroy_collection(place) is bool(there)
        for one in there:
            del self.entries[one]

    def _destroy(self, keys, key, collection, value, chance):
        assert self.stack.destroy() is bool(self.entries)
        self.entries.clear()

    def _cull(self, keys, key, collection, value, chance):
        assert self.stack.cull() == 0

    def _ping(self, keys, key, collection, value, chance):
        assert self.stack.ping() >= 0

    revision = None


def listed(stack, collection):
    """Return the keys of an iteration."""
    return [key for key in stack.iter_keys(collection)]


def hold(stack, operations, seed):
    """Make operations on a stack, and hold it against a model."""
    chance = random.Random(seed)
    model = Model(stack)
    store = MemoryStore()
    store.put("x", {})
    model.revision = (store.get_with_revision("x"))[1]
    assert model.can >= BASIC or any(isinstance(part, ReadOnlyWrapper) for part in parts(stack))
    try:
        for name, keys, collection, value in operations:
            model.make(name, keys, collection, value, chance)
        for collection in COLLECTIONS:
            model.make("get_many", list(KEYS), collection, {}, chance)
    finally:
        stack.close()


def sensible(names):
    """Say whether the model knows what a stack answers to a miss: the default, unless a route leads past it."""
    outside = names[::-1][names[::-1].index("default") :] if "default" in names else []
    return "collection routing" not in outside


def even(stack):
    """Say whether all routes lead to stores that can do the same; else more works than the stack as a whole has."""
    routes = [part for part in parts(stack) if isinstance(part, CollectionRoutingWrapper)]
    return all(capabilities(route.key_value) == capabilities(MemoryStore()) for route in routes)


some_keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=4)
some_operations = st.lists(
    st.tuples(st.sampled_from(CALLS), some_keys, st.sampled_from(COLLECTIONS), st.sampled_from(VALUES)),
    min_size=5,
    max_size=25,
)


@given(st.lists(st.sampled_from(sorted(LAYERS)), max_size=6), some_operations, st.integers(0, 9))
def test_random_stacks(names, operations, seed):
    """What capabilities() names works as in a model, what it withdraws raises, and no value passes by a side door."""
    assume(sensible(names))
    try:
        stack = build(names)
    except ConfigurationError:
        assume(False)
    assume(even(stack))

    hold(stack, operations, seed)


@pytest.mark.parametrize("name", ["put_many", "delete_many"])
def test_a_bulk_that_is_made_one_by_one_is_refused_as_a_whole(name):
    """Over a stack that takes no writes it is that error, not a failure of every key."""
    stack = OverridesDelete(OverridesPut(ReadOnlyWrapper(MemoryStore())))
    calls = {
        "put_many": lambda: stack.put_many(["a", "b"], [{}, {}]),
        "delete_many": lambda: stack.delete_many(["a", "b"]),
    }
    with pytest.raises(ReadOnlyError):
        calls[name]()


@pytest.mark.faults(28, 37)
@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_with_every_operation(backend, name):
    """Every wrapper alone, with every operation in turn and in random order, on every backend."""
    chance = random.Random(1)
    operations = [
        (call, chance.choices(KEYS, k=3), chance.choice(COLLECTIONS), chance.choice(VALUES))
        for call in CALLS * 2 + chance.choices(CALLS, k=200)
    ]

    hold(build([name], store=backend()), operations, 1)


class Leaks(OverridesPut, whole=True):
    """Broken: it says that it answers for all, and its put_many goes past its put."""

    def put_many(self, keys, values, *, collection=None, ttl=None):
        self.key_value.put_many(keys, values, collection=collection, ttl=ttl)


class Forgets(BaseWrapper):
    """Broken: it claims the increments that it loses."""

    def __init__(self, key_value):
        self.key_value = key_value

    def increment(self, key, amount=1, *, collection=None, initial=None, ttl=None):
        return 42


class Denies(BaseWrapper):
    """Broken: it does what it says it cannot."""

    def __init__(self, key_value):
        self.key_value = key_value

    def _capabilities(self):
        return super()._capabilities() - {"touch"}


class Peeks(OverridesGet, whole=True):
    """Broken: it reads in bulk past its get."""

    def get_many(self, keys, *, collection=None):
        return self.key_value.get_many(keys, collection=collection)


@pytest.mark.parametrize("broken", [Leaks, Forgets, Denies, Peeks])
def test_a_broken_wrapper_is_found_out(broken):
    """The same checks find wrappers that leak, lose, lie or peek, wherever they are in a stack."""
    chance = random.Random(2)
    layers = {**LAYERS, "broken": broken}
    harmless = ["statistics", "timeout", "prefix keys", "retry"]
    found = 0
    for _ in range(10):
        names = [*chance.sample(harmless, 2), "broken", *chance.sample(harmless, 1)]
        operations = [
            (call, chance.choices(KEYS, k=3), chance.choice(COLLECTIONS), {"n": 1})
            for call in chance.choices(CALLS, k=200)
        ]
        try:
            hold(build(names, layers), operations, 2)
        except (AssertionError, pytest.fail.Exception):
            found += 1

    assert found > 5


# Closing --------------------------------------------------------------------------------------------------------------


class Counted(MemoryStore):
    """A store that counts how often it was closed, and how often it had to let go."""

    def __init__(self):
        super().__init__()
        self.closed = self.released = 0

    def close(self):
        self.closed += 1
        super().close()

    def _release(self):
        self.released += 1
        super()._release()


@pytest.mark.parametrize("name", LAYERS)
def test_leaving_a_stack_closes_what_is_inside(name):
    """Entering gives the stack itself; leaving it closes the store, once, and then nothing works."""
    store = Counted()
    outer = StatisticsWrapper(LAYERS[name](TimeoutWrapper(store)))
    with outer as entered:
        assert entered is outer
        assert store.closed == 0
        entered.get("key")

    assert store.closed == store.released == 1
    with pytest.raises(StoreClosedError):
        outer.get("key")


class Opened(Counted):
    """A store that has to be entered, as a user's may."""

    def __init__(self, error=None):
        super().__init__()
        self.entered = 0
        self.error = error

    def __enter__(self):
        self.entered += 1
        if self.error is not None:
            raise self.error
        return super().__enter__()


@pytest.mark.parametrize("name", LAYERS)
def test_entering_a_stack_enters_what_is_inside(name):
    """A store that makes something ready when it is entered is, once, and is closed once."""
    store = Opened()
    with StatisticsWrapper(LAYERS[name](TimeoutWrapper(store))):
        assert store.entered == 1
        assert store.released == 0

    assert (store.entered, store.released) == (1, 1)


def test_wrappers_of_several_stores_enter_them_all():
    """Fallback, cache and routes are entered with the stack; if one cannot be, those before it are closed."""
    stores = [Opened() for _ in range(4)]
    stack: Any = PassthroughCacheWrapper(FallbackWrapper(stores[0], stores[1]), stores[2])
    stack = CollectionRoutingWrapper({"a": stores[3], "b": stores[3]}, stack)
    with stack:
        assert [store.entered for store in stores] == [1] * 4

    first, second = Opened(), Opened(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        with StatisticsWrapper(FallbackWrapper(first, second)):
            raise AssertionError
    assert first.released == 1


def test_wrappers_of_several_stores_close_them_all():
    """Fallback, cache and routes are closed with the stack, each once."""
    stores = [Counted() for _ in range(5)]
    stack: Any = FallbackWrapper(stores[0], stores[1])
    stack = PassthroughCacheWrapper(stack, stores[2])
    stack = CollectionRoutingWrapper({"a": stores[3], "b": stores[4], "c": stores[4]}, stack)
    with stack:
        for store in stores:
            assert store.closed == 0

    assert [store.released for store in stores] == [1] * 5
    stack.close()
    assert [store.released for store in stores] == [1] * 5


def test_a_store_that_is_twice_in_a_stack():
    """It lets go once, however often it is closed."""
    store = Counted()
    stack = FallbackWrapper(PrefixKeysWrapper(store, "a"), PrefixKeysWrapper(store, "b"))
    stack = CollectionRoutingWrapper({"a": stack, "b": store}, store)
    with stack:
        stack.put("key", {}, collection="a")

    assert store.closed > 1
    assert store.released == 1


def test_an_error_inside_closes_the_stack():
    """The block's error passes, and the stack is closed."""
    store = Counted()
    with pytest.raises(ZeroDivisionError):
        with guarded(store):
            raise ZeroDivisionError

    assert store.released == 1
