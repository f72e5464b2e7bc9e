# Written by tools/mirror.py from tests/aio/wrappers/test_fallback.py: change that file instead.
"""A second store answers when the first cannot, and never with what is no longer true."""

import logging
import os
import random
from contextlib import suppress

import pytest

from kv_core.capabilities import capabilities
from kv_core.errors import (
    BaseKeyValueError,
    ConfigurationError,
    CorruptEntryError,
    DecryptionError,
    InvalidTTLError,
    PartialFailureError,
    SerializationError,
    StoreAuthenticationError,
    StoreClosedError,
    StoreConnectionError,
    StoreTimeoutError,
)
from kv_core.overlaps import Ahead
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract, ToldClock
from kv_core.sync.wrappers._calls import Call, CallWrapper
from kv_core.sync.wrappers.base import BaseWrapper
from kv_core.sync.wrappers.circuit_breaker import CircuitBreakerWrapper
from kv_core.sync.wrappers.fallback import FallbackWrapper

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20


class Interrupt(BaseException):
    """Something that is no error, as a cancellation or Ctrl-C."""


class Switch(CallWrapper):
    """A store that is down when the test says so, and lets the test do something before or after a call."""

    def __init__(self, key_value):
        self.key_value = key_value
        self.error = None
        self.calls = []
        self.before = {}
        self.after = {}

    def down(self, error=None):
        self.error = StoreConnectionError("down") if error is None else error

    def up(self):
        self.error = None

    def _around(self, call: Call):
        self.calls.append(call.name)
        if call.name in self.before:
            self.before.pop(call.name)()
        applied = self.error is None or getattr(self.error, "outcome", "") == "unknown"
        result = call(self.key_value) if applied else None
        if self.error is not None:
            raise self.error
        if call.name in self.after:
            self.after.pop(call.name)()
        return result


@pytest.fixture
def primary(backend):
    return Switch(backend())


@pytest.fixture
def second():
    return Switch(MemoryStore())


@pytest.fixture
def store(primary, second):
    return FallbackWrapper(primary, second)


@pytest.fixture
def cache(primary, second):
    """One that writes to the fallback while the primary is down."""
    return FallbackWrapper(primary, second, write_to_fallback=True)


class TestFallbackWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: FallbackWrapper(inner(), MemoryStore())


# Reads ----------------------------------------------------------------------------------------------------------------


def test_a_read_is_answered_by_the_copy(store, primary):
    """What was written through it is still read while the primary is down, in every way."""
    store.put("a", {"n": 1}, ttl=60)
    store.put_many(["b", "c"], [{"n": 2}, {"n": 3}])
    primary.down()

    assert store.get("a") == {"n": 1}
    assert store.get_many(["c", "a", "c"]) == [{"n": 3}, {"n": 1}, {"n": 3}]
    value, seconds = store.ttl("a")
    assert value == {"n": 1}
    assert 59 < seconds <= 60
    assert store.ttl_many(["b", "c"]) == [({"n": 2}, None), ({"n": 3}, None)]


@pytest.mark.faults(75)
def test_an_outage_is_no_miss(store, primary):
    """Without a copy the primary's error is raised, also for a bulk that lacks one copy."""
    primary.key_value.put("no copy", {})
    store.put("copy", {})
    primary.down()

    for call in (lambda: store.get("no copy"), lambda: store.get_many(["copy", "no copy"]), lambda: store.ttl("none")):
        with pytest.raises(StoreConnectionError, match="down"):
            call()
    primary.up()
    assert store.get_many(["copy", "no copy", "none"]) == [{}, {}, None]


def test_for_caches_an_outage_may_be_a_miss(primary, second):
    """With on_miss="miss" what has no copy counts as missing."""
    store = FallbackWrapper(primary, second, on_miss="miss")
    store.put("copy", {})
    primary.down()

    assert store.get("none") is None
    assert store.get_many(["copy", "none"]) == [{}, None]
    assert store.ttl("none") == (None, None)


def test_a_bulk_read_that_failed_in_part(backend, second, halved):
    """Copies stand in for the keys whose server is down, and the primary answers for the others."""
    primary = halved(backend())
    store = FallbackWrapper(primary, second)
    store.put_many(["a", "b"], [{"n": 1}, {"n": 2}])
    primary.key_value.put_many(["a", "c"], [{"n": 3}, {"n": 4}])
    primary.away = {"b"}

    assert store.get_many(["b", "a", "c", "b"]) == [{"n": 2}, {"n": 3}, {"n": 4}, {"n": 2}]
    assert store.ttl_many(["a", "b"]) == [({"n": 3}, None), ({"n": 2}, None)]
    primary.away = {"b", "c"}
    with pytest.raises(PartialFailureError):
        store.get_many(["a", "b", "c"])
    cache = FallbackWrapper(primary, second, on_miss="miss")
    assert cache.get_many(["a", "b", "c"]) == [{"n": 3}, {"n": 2}, None]


def test_a_bulk_read_that_failed_in_part_for_another_reason(backend, second, flaky):
    """Nothing falls back unless every failure is an outage."""
    reasons = {"a": StoreConnectionError("down"), "b": CorruptEntryError("corrupt")}
    primary = flaky(backend(), PartialFailureError("some", failed=reasons), PartialFailureError("some"))
    store = FallbackWrapper(primary, second, on_miss="miss")

    for _ in range(2):
        with pytest.raises(PartialFailureError):
            store.get_many(["a", "b", "c"])
    assert second.calls == []


def test_the_primarys_error_is_the_one_that_counts(store, primary, second):
    """When both are down, the primary's error is raised."""
    store.put("key", {})
    primary.down()
    second.down(StoreTimeoutError("the second"))

    with pytest.raises(StoreConnectionError, match="down"):
        store.get("key")


@pytest.mark.faults(74)
@pytest.mark.parametrize(
    "error",
    [
        *(DecryptionError("no"), InvalidTTLError("no"), StoreAuthenticationError("no"), TypeError("no")),
        *(CorruptEntryError("no"), SerializationError("no"), StoreClosedError("no"), Interrupt()),
    ],
    ids=lambda error: type(error).__name__,
)
def test_only_an_outage_falls_back(store, primary, second, error):
    """Every other error passes, and the fallback is not asked to answer, nor written to."""
    store.put("key", {"n": 1})
    primary.down(error)
    second.calls.clear()

    for call in (
        lambda: store.get("key"),
        lambda: store.get_many(["key"]),
        lambda: store.ttl("key"),
        lambda: store.put("key", {"n": 2}),
        lambda: store.delete("key"),
        lambda: store.increment("key"),
    ):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error
    assert set(second.calls) <= {"delete_many"}
    primary.up()
    assert store.get("key") == {"n": 1}


def test_fallback_on_names_the_errors(primary, second):
    """Only after the given errors is the fallback asked."""
    store = FallbackWrapper(primary, second, fallback_on=(StoreTimeoutError,))
    store.put("key", {})
    primary.down()
    with pytest.raises(StoreConnectionError):
        store.get("key")

    primary.down(StoreTimeoutError("late"))
    assert store.get("key") == {}


@pytest.mark.faults(120)
def test_on_miss_is_checked():
    """An on_miss that is not known is refused at construction."""
    with pytest.raises(ConfigurationError, match="on_miss"):
        FallbackWrapper(MemoryStore(), MemoryStore(), on_miss="ignore")


def test_stores_with_different_default_collections():
    """The copy of an entry without a named collection lies where the primary says, and is removed there."""
    primary = Switch(MemoryStore(default_collection="app"))
    second = MemoryStore(default_collection="other")
    store = FallbackWrapper(primary, second, write_to_fallback=True)
    store.put("key", {"n": 1})
    assert second.get("key", collection="app") == {"n": 1}
    primary.down()
    assert store.get("key") == store.get("key", collection="app") == {"n": 1}

    store.put("key", {"n": 2})
    assert store.get("key", collection="app") == {"n": 2}
    store.put_many(["key"], [{"n": 3}])
    assert store.get_many(["key"]) == [{"n": 3}]
    assert store.delete("key")
    assert store.get("key") is None
    assert second.collections() == []


# Writes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(71)
def test_writes_fail_while_the_primary_is_down(store, primary):
    """A put that could not be made raises, and neither the old nor the new value is read as if nothing had been."""
    store.put("key", {"n": 1})
    primary.down()
    with pytest.raises(StoreConnectionError):
        store.put("key", {"n": 2})
    with pytest.raises(StoreConnectionError):
        store.get("key")

    primary.up()
    assert store.get("key") == {"n": 1}


@pytest.mark.faults(71)
def test_what_the_fallback_took_is_not_forgotten(cache, primary):
    """A put acknowledged by the fallback is what is read, also when the primary is back, until it is written again."""
    cache.put("key", {"n": 1})
    primary.down()
    cache.put("key", {"n": 2})
    assert cache.get("key") == {"n": 2}

    primary.up()
    assert cache.get("key") == {"n": 2}
    assert cache.get_many(["key", "none"]) == [{"n": 2}, None]
    assert cache.ttl("key") == ({"n": 2}, None)
    cache.put("key", {"n": 3})
    assert primary.key_value.get("key") == {"n": 3}
    primary.down()
    assert cache.get("key") == {"n": 3}


@pytest.mark.faults(72)
def test_a_session_is_not_brought_back(store, primary):
    """A delete during an outage raises, its copy is gone at once; when it worked no copy brings the entry back."""
    store.put("session", {"user": 1})
    primary.down()
    with pytest.raises(StoreConnectionError):
        store.delete("session")
    with pytest.raises(StoreConnectionError):
        store.get("session")

    primary.up()
    assert store.delete("session")
    assert store.get("session") is None
    primary.down()
    with pytest.raises(StoreConnectionError):
        store.get("session")


@pytest.mark.faults(72)
def test_a_delete_that_the_fallback_took(cache, primary):
    """With write_to_fallback a deleted entry stays deleted; the answer says what the fallback had."""
    cache.put_many(["a", "b", "c"], [{}] * 3)
    primary.key_value.put("no copy", {})
    primary.down()
    assert cache.delete("a") is True
    assert cache.delete("no copy") is False
    assert cache.delete_many(["a", "b", "none"]) == 1
    cache.put("b", {"n": 2})
    assert cache.delete("b") is True

    primary.up()
    assert cache.get_many(["a", "b", "c", "no copy"]) == [None, None, {}, None]


OTHER_WRITES = {
    "touch": (lambda store: store.touch("key", ttl=50), True, {"value": 2}),
    "increment": (lambda store: store.increment("key"), 3, {"value": 3}),
    "put_if_absent": (lambda store: store.put_if_absent("key", {}), False, {"value": 2}),
    "put_if_present": (lambda store: store.put_if_present("key", {"n": 3}), True, {"n": 3}),
}


@pytest.mark.faults(71)
@pytest.mark.parametrize("name", OTHER_WRITES)
def test_the_primary_catches_up_before_it_decides(cache, primary, second, name):
    """An operation that only the primary makes finds there what the fallback alone had."""
    call, answer, value = OTHER_WRITES[name]
    cache.put("key", {"value": 1})
    primary.down()
    cache.put("key", {"value": 2})
    with pytest.raises(StoreConnectionError):
        call(cache)
    assert cache.get("key") == {"value": 2}

    primary.up()
    assert call(cache) == answer
    assert primary.key_value.get("key") == cache.get("key") == value


@pytest.mark.faults(71)
def test_revisions_of_what_the_fallback_took(cache, primary):
    """A revision is one of the value that is read, and what was deleted in the fallback is deleted."""
    cache.put_many(["key", "gone"], [{"n": 1}, {}])
    primary.down()
    cache.put("key", {"n": 2}, ttl=60)
    cache.delete("gone")

    primary.up()
    value, revision = cache.get_with_revision("key")
    assert value == {"n": 2}
    assert (primary.key_value.ttl("key"))[1] > 59
    assert cache.put_if_unchanged("key", {"n": 3}, revision)
    assert not cache.delete_if_unchanged("key", revision)
    assert cache.get("key") == {"n": 3}
    assert cache.get_with_revision("gone") is None
    assert primary.key_value.get("gone") is None


@pytest.mark.faults(71)
def test_a_write_while_the_primary_catches_up(cache, primary, second):
    """What another writes to the fallback while the primary catches up is not lost."""
    primary.down()
    cache.put("key", {"value": 1})
    primary.up()

    def meanwhile():
        primary.down()
        cache.put("key", {"value": 10})
        primary.up()

    second.after["ttl"] = meanwhile
    assert cache.increment("key") == 11
    assert cache.get("key") == {"value": 11}


@pytest.mark.faults(71)
def test_a_read_while_the_primary_catches_up(cache, primary, second):
    """A read on its way to the fallback finds the entry where it went meanwhile."""
    primary.down()
    cache.put("key", {"n": 1})
    primary.up()

    def meanwhile():
        assert cache.touch("key", ttl=60)

    second.before["get"] = meanwhile
    assert cache.get("key") == {"n": 1}
    assert second.key_value.get("key") is None


def test_a_failed_write_keeps_what_the_fallback_took(cache, primary, second):
    """When both fail, the value that only the fallback has stays; the outcome is unknown if the primary's is."""
    primary.down()
    cache.put("key", {"n": 1})
    second.down(StoreConnectionError("second"))
    with pytest.raises(StoreConnectionError, match="second") as caught:
        cache.put("key", {"n": 2})
    assert caught.value.outcome == "not_applied"
    primary.down(StoreTimeoutError("late", outcome="unknown"))
    with pytest.raises(StoreConnectionError, match="second") as caught:
        cache.put("key", {"n": 2})
    assert caught.value.outcome == "unknown"
    with pytest.raises(StoreConnectionError, match="second"):
        cache.get("key")  # an outage is no miss

    second.up()
    assert cache.get("key") == {"n": 1}


def test_what_the_fallback_took_in_part_is_not_forgotten(primary, halved):
    """Of a bulk write that the fallback alone took in part, what it says was done is read from then on."""
    second = halved(MemoryStore())
    cache = FallbackWrapper(primary, second, write_to_fallback=True)
    cache.put_many(["a", "b"], [{"n": 1}, {"n": 1}])
    primary.down()
    second.away = {"b"}
    with pytest.raises(PartialFailureError) as caught:
        cache.put_many(["a", "b"], [{"n": 2}, {"n": 2}])
    primary.up()

    assert caught.value.succeeded == ("a",)
    assert cache.get_many(["a", "b"]) == [{"n": 2}, {"n": 1}]


def test_what_the_primary_took_in_part_is_newer_than_what_the_fallback_took(backend, second, halved):
    """Of a bulk write that the primary took in part, what it says was done is read from then on."""
    halves = halved(backend())
    primary = Switch(halves)
    cache = FallbackWrapper(primary, second, write_to_fallback=True)
    primary.down()
    cache.put_many(["a", "b"], [{"n": 1}, {"n": 1}])
    primary.up()
    halves.away = {"b"}
    with pytest.raises(PartialFailureError) as caught:
        cache.put_many(["a", "b"], [{"n": 2}, {"n": 2}])

    assert caught.value.succeeded == ("a",)
    assert cache.get_many(["a", "b"]) == [{"n": 2}, {"n": 1}]


def test_what_the_fallback_takes_is_bounded(cache, primary):
    """When as many keys as can be remembered were written to the fallback alone, further writes fail."""
    cache._ahead = Ahead(most=2)
    primary.down()
    cache.put_many(["a", "b"], [{}, {}])
    cache.put("a", {"n": 2})
    with pytest.raises(StoreConnectionError):
        cache.put("c", {})

    primary.up()
    cache.put("b", {"n": 3})
    primary.down()
    cache.put("c", {})
    assert cache.get_many(["a", "b", "c"]) == [{"n": 2}, {"n": 3}, {}]


def test_keys_are_copied_as_they_were_put(store, primary, second):
    """Conditional writes are copied when they were made, with their ttl; what cannot be told is only removed."""
    assert store.put_if_absent("key", {"n": 1}, ttl=60)
    assert not store.put_if_absent("key", {"n": 2})
    assert second.get("key") is None
    assert store.put_if_present("key", {"n": 3}, ttl=60)
    assert (second.ttl("key"))[0] == {"n": 3}
    _, revision = store.get_with_revision("key")
    assert store.put_if_unchanged("key", {"n": 4}, revision, ttl=None)
    assert second.ttl("key") == ({"n": 4}, None)
    _, revision = store.get_with_revision("key")
    assert store.put_if_unchanged("key", {"n": 5}, revision)
    assert second.get("key") is None
    store.put("key", {"value": 1})
    assert store.increment("key") == 2
    assert second.get("key") is None
    store.put("key", {})
    assert store.touch("key", ttl=5)
    assert second.get("key") is None


# Copies in doubt ------------------------------------------------------------------------------------------------------


def test_a_copy_that_could_not_be_removed_is_not_read(store, primary, second):
    """A write goes on without the fallback; what may be left there is not read until it was replaced."""
    store.put("key", {"n": 1})
    second.down()
    store.put("key", {"n": 2})
    assert store.delete("key")
    second.up()
    primary.down()
    assert second.key_value.get("key") == {"n": 1}
    with pytest.raises(StoreConnectionError):
        store.get("key")

    primary.up()
    store.put("key", {"n": 3})
    primary.down()
    assert store.get("key") == {"n": 3}


def test_a_copy_that_may_land_late_is_not_read(store, primary, second):
    """A copy whose put timed out, or was interrupted, is not read: it may land after the next one."""
    for error in (StoreTimeoutError("late", outcome="unknown"), Interrupt()):

        def late(error=error):
            second.down(error)

        second.after["delete_many"] = late
        if isinstance(error, Interrupt):
            with pytest.raises(Interrupt):
                store.put("key", {"n": 1})
        else:
            store.put("key", {"n": 1})
        second.up()
        primary.down()
        with pytest.raises(StoreConnectionError):
            store.get("key")
        primary.up()


def test_a_copy_is_not_read_while_its_key_is_written(store, primary, second):
    """A read in the middle of a write that will succeed does not get the copy from before."""
    store.put("key", {"n": 1})
    seen = []

    def meanwhile():
        second.up()
        primary.down()
        try:
            seen.append(store.get("key"))
        except StoreConnectionError as error:
            seen.append(type(error))
        primary.up()

    primary.after["put"] = meanwhile
    second.down()  # so that the copy is still there
    store.put("key", {"n": 2})

    assert primary.get("key") == {"n": 2}
    assert seen == [StoreConnectionError]


@pytest.mark.faults(75)
def test_a_copy_that_lands_after_another_write(store, primary, second):
    """A slow copy of the first write does not outlive a second write that came between."""

    def between():
        store.put("key", {"n": 2})
        assert second.key_value.get("key") is None

    second.before["put"] = between
    store.put("key", {"n": 1})
    assert primary.get("key") == {"n": 2}
    assert second.key_value.get("key") is None
    primary.down()
    with pytest.raises(StoreConnectionError):
        store.get("key")


def test_two_writes_at_once_to_the_fallback_alone(cache, primary, second):
    """When two writes of a key overlap during an outage, the entry is not lost with their copies."""
    primary.down()

    def between():
        cache.put("key", {"n": 2})

    primary.before["put"] = between
    cache.put("key", {"n": 1})

    assert cache.get("key") == {"n": 1}
    primary.up()
    assert cache.get("key") == {"n": 1}


def test_destroying(store, primary, second, caplog):
    """What was destroyed is not read from copies; when they could not be destroyed, none is until written again."""
    store.put("key", {"n": 1})
    store.put("key", {"n": 1}, collection="other")
    assert store.destroy_collection("other")
    primary.down()
    with pytest.raises(StoreConnectionError):
        store.get("key", collection="other")
    assert store.get("key") == {"n": 1}
    primary.up()

    second.down()
    with caplog.at_level(logging.WARNING):
        assert store.destroy()
    assert "not read any more" in caplog.text
    second.up()
    primary.down()
    with pytest.raises(StoreConnectionError):
        store.get("key")
    primary.up()
    store.put("new", {"n": 2})
    primary.down()
    assert store.get("new") == {"n": 2}
    with pytest.raises(StoreConnectionError):
        store.get("key")
    primary.up()
    primary.key_value.put("old", {})
    second.key_value.put("key", {"n": 1})
    assert store.destroy()
    primary.down()
    with pytest.raises(StoreConnectionError):
        store.get("key")


def test_destroying_what_the_fallback_took(cache, primary, second):
    """A collection that could not be destroyed keeps what only the fallback has; others keep it in any case."""
    primary.down()
    cache.put("key", {"n": 1})
    cache.put("key", {"n": 2}, collection="other")
    with pytest.raises(StoreConnectionError):
        cache.destroy()
    assert cache.get("key") == {"n": 1}

    primary.up()
    cache.destroy_collection("other")
    assert cache.get("key", collection="other") is None
    assert cache.get("key") == {"n": 1}
    cache.destroy()
    assert cache.get("key") is None
    assert second.key_value.get("key") is None


def test_closing_closes_both():
    """Both stores are closed, the second one even if the first one fails."""

    class Failing(BaseWrapper):
        def __init__(self, key_value):
            self.key_value = key_value

        def close(self):
            self.key_value.close()
            raise StoreConnectionError("down")

    first, second = MemoryStore(), MemoryStore()
    with pytest.raises(StoreConnectionError):
        FallbackWrapper(Failing(first), second).close()

    for store in (first, second):
        with pytest.raises(StoreClosedError):
            store.get("key")


def test_it_has_what_the_primary_has(primary):
    """A fallback with less takes nothing away."""

    class Bare:
        default_collection = "default_collection"

    assert capabilities(FallbackWrapper(primary, Bare())) == capabilities(primary)


# Flapping -------------------------------------------------------------------------------------------------------------


class Flapping(CallWrapper):
    """A primary that comes and goes every 100 ms of a told clock; down, it fails before or after the work."""

    def __init__(self, key_value, clock, chance):
        self.key_value, self.clock, self.chance = key_value, clock, chance
        self.asked = 0

    def _around(self, call: Call):
        self.asked += 1
        self.clock.advance(self.chance.randrange(10) / 1000)
        if int(self.clock.monotonic() * 10) % 2 == 0:
            return call(self.key_value)
        if self.chance.random() < 0.5:
            raise StoreConnectionError("down")
        if self.chance.random() < 0.5:
            call(self.key_value)
        raise StoreTimeoutError("late", outcome="unknown")


class Register:
    """What each key may hold: what was acknowledged last, then what may have been written since, in order."""

    def __init__(self):
        self.possible = {}
        self.wrong = []

    def wrote(self, key, value, *, acknowledged):
        before = [] if acknowledged else self.possible.get(key, [None])
        self.possible[key] = [*before, value]

    def read(self, key, value):
        possible = self.possible.get(key, [None])
        if value in possible:
            self.possible[key] = possible[possible.index(value) :]  # it was: nothing older may be read any more
        else:
            self.wrong.append((key, value))


def flap(store, chance, operations):
    """Make random operations on a few keys, and return the register and the number of reads answered."""
    register = Register()
    answered = 0
    for number in range(1, operations + 1):
        key = f"key {chance.randrange(4)}"
        kind = chance.choice(["get"] * 6 + ["get_many", "put", "put", "put_many", "delete"])
        try:
            if kind in ("get", "get_many"):
                [found] = [store.get(key)] if kind == "get" else store.get_many([key])
                register.read(key, found and found["n"])
                answered += 1
                continue
            if kind == "delete":
                store.delete(key)
            elif kind == "put":
                store.put(key, {"n": number})
            else:
                store.put_many([key], [{"n": number}])
        except BaseKeyValueError as error:
            if error.outcome == "unknown" and kind not in ("get", "get_many"):
                register.wrote(key, None if kind == "delete" else number, acknowledged=False)
        else:
            register.wrote(key, None if kind == "delete" else number, acknowledged=True)
    return register, answered


@pytest.mark.faults(71, 72, 75)
@pytest.mark.parametrize("options", [{}, {"write_to_fallback": True}, {"write_to_fallback": True, "on_miss": "miss"}])
def test_a_flapping_primary(backend, options):
    """Whatever comes and goes, a read gives what was acknowledged last, or what may have been written since."""
    chance, clock = random.Random(75), ToldClock()
    primary = Flapping(backend(), clock, chance)
    store = FallbackWrapper(primary, MemoryStore(), **options)

    register, answered = flap(store, chance, 100_000 // SHARE)

    assert answered > 20_000 // SHARE
    # For caches a key without a copy counts as missing while the primary is down.
    assert [one for one in register.wrong if "on_miss" not in options or one[1] is not None] == []


@pytest.mark.faults(75)
def test_a_flapping_primary_behind_a_breaker(backend):
    """The same with a circuit breaker over the primary, which is asked less, and shuts it out for a while."""
    chance, clock = random.Random(76), ToldClock()
    primary = Flapping(backend(), clock, chance)
    breaker = CircuitBreakerWrapper(primary, failure_threshold=3, reset_timeout=0.05, _clock=clock)
    store = FallbackWrapper(Ticking(breaker, clock), MemoryStore())

    register, answered = flap(store, chance, 100_000 // SHARE)

    assert answered > 10_000 // SHARE
    assert not register.wrong
    assert primary.asked < 90_000 // SHARE


class Ticking(CallWrapper):
    """Let time pass with every call, whoever refuses it."""

    def __init__(self, key_value, clock):
        self.key_value, self.clock = key_value, clock

    def _around(self, call: Call):
        self.clock.advance(0.002)
        return call(self.key_value)


class Naive(BaseWrapper):
    """The fallback that anybody would write: the positive control."""

    def __init__(self, primary, fallback):
        self.key_value, self.fallback = primary, fallback

    def get(self, key, *, collection=None):
        try:
            return self.key_value.get(key, collection=collection)
        except (StoreConnectionError, StoreTimeoutError):
            return self.fallback.get(key, collection=collection)

    def put(self, key, value, *, collection=None, ttl=None):
        with suppress(StoreConnectionError, StoreTimeoutError):
            self.key_value.put(key, value, collection=collection, ttl=ttl)
        self.fallback.put(key, value, collection=collection, ttl=ttl)

    def delete(self, key, *, collection=None):
        with suppress(StoreConnectionError, StoreTimeoutError):
            self.key_value.delete(key, collection=collection)
        return self.fallback.delete(key, collection=collection)


@pytest.mark.faults(75)
def test_a_naive_fallback_is_found_out(backend):
    """The same test sees what a fallback answers that does not care."""
    chance, clock = random.Random(75), ToldClock()
    store = Naive(Flapping(backend(), clock, chance), MemoryStore())

    register, _ = flap(store, chance, 5000)

    assert register.wrong
