# Written by tools/mirror.py from kv_core/aio/testing/_counter.py: change that file instead.
"""Counters: exact, within signed 64 bits, and nothing else is taken for one."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from time import monotonic
from typing import Any, Final

import pytest

from kv_core.errors import CounterOverflowError, MissingKeyError, NotACounterError
from kv_core.sync._runtime import gather
from kv_core.sync.protocols import Store
from kv_core.sync.testing._address import KEYS
from kv_core.sync.testing._common import SHORT, Advance, Contract, exact, in_time, lacks
from kv_core.sync.testing._ttl import BEYOND, between

LOWEST: Final = -(2**63)
HIGHEST: Final = 2**63 - 1
NAMES: Final = {
    "quotes": 'a"b',
    "backslashes": "a\\b\\",
    "a counter's text": '"value":{"value":1},"version":1}',
    "the middle of one": '","value":{"value":7},"x":"',
    "a time's name": ',"created_at":',
    "braces": "{}{}",
    "Lua patterns": "%d+(.*)$^[a]-",
    "umlaut": "ä",
    "emoji": "🗝",
    "line break": "a\r\nb",
    "NUL": "a\0b",
    "line separator": "\u2028",
    "digits": "-1",
} | {name: KEYS[name] for name in ("empty", "251", "480 bytes", "separators", "percent")}
NOT_COUNTERS: Final[dict[str, dict[str, Any]]] = {
    "empty": {},
    "another name": {"n": 1},
    "another besides": {"value": 1, "n": 1},
    "one before": {"n": 1, "value": 1},
    "float": {"value": 1.0},
    "exponent": {"value": 1e20},
    "text": {"value": "1"},
    "bool": {"value": True},
    "none": {"value": None},
    "list": {"value": [1]},
    "nested": {"value": {"value": 1}},
    "nested at the end": {"a": {"value": {"value": 1}}},
    "text that looks like one": {"a": '"value":{"value":1},"version":1}'},
    "like an entry": {"key": "key", "value": {"value": 1}, "version": 1},
    "bytes": {"value": b"1"},
    "2**63": {"value": 2**63},
    "2**64 - 1": {"value": 2**64 - 1},
}


class CounterContract(Contract):
    """Counters."""

    def test_counting(self, store: Store) -> None:
        """A counter goes up and down by any amount, and is read as the value it is."""
        if lacks(store, "increment"):
            return

        assert store.increment("key", initial=0) == 1
        assert store.increment("key") == 2
        assert store.increment("key", 40) == 42
        assert store.increment("key", -43) == -1
        assert store.increment("key", 0) == -1
        assert exact(store.get("key")) == exact({"value": -1})
        assert store.get_many(["key"]) == [{"value": -1}]

    def test_a_missing_counter(self, store: Store) -> None:
        """Without *initial* a missing counter is an error and is not made; with it, it is made from there."""
        if lacks(store, "increment"):
            return
        with pytest.raises(MissingKeyError) as caught:
            store.increment("key")
        assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)
        assert store.get("key") is None

        assert store.increment("key", 5, initial=10, ttl=None) == 15
        assert store.increment("key", 5, initial=10) == 20
        assert store.increment("zero", 0, initial=0) == 0
        assert store.increment("down", -3, initial=1) == -2
        assert store.ttl("zero") == ({"value": 0}, None)
        with pytest.raises(MissingKeyError):
            store.increment("key", collection="other")

    def test_a_counter_keeps_its_ttl(self, store: Store, advance: Advance) -> None:
        """A ttl is given to a counter that is made; one that is there keeps its own, and ends by it."""
        if lacks(store, "increment"):
            return

        def make_one_that_ends() -> None:
            store.delete("ends")
            store.increment("ends", initial=0, ttl=SHORT)
            assert store.increment("ends", initial=0, ttl=60) == 2

        since = monotonic()
        store.increment("new", initial=0, ttl=60)
        store.increment("new", initial=0, ttl=5)
        store.put("endless", {"value": 1})
        store.increment("endless", initial=0, ttl=SHORT)
        in_time(make_one_that_ends)
        assert between((store.ttl("new"))[1], 60, since)

        advance(BEYOND)

        assert store.ttl("endless") == ({"value": 2}, None)
        assert store.get("ends") is None

    def test_a_counter_is_a_value_like_any_other(self, store: Store) -> None:
        """What was put as a value is counted on, and what was counted can be replaced."""
        if lacks(store, "increment"):
            return
        store.put_many(["a", "b"], [{"value": 1}, {"value": -7}], ttl=[60, None])

        assert store.increment("a") == 2
        assert store.increment("b") == -6
        store.put("a", {"value": 100})
        assert store.increment("a") == 101

    @pytest.mark.parametrize("number", [2**53, 2**53 + 1, -(2**53) - 1, HIGHEST - 1, LOWEST + 1, 9 * 10**18])
    def test_large_counters_are_exact(self, store: Store, number: int) -> None:
        """Numbers that a float cannot hold are counted exactly, put or made."""
        if lacks(store, "increment"):
            return
        store.put("put", {"value": number})

        assert store.increment("put", 1) == number + 1
        assert store.increment("put", -2) == number - 1
        assert store.increment("made", 1, initial=number) == number + 1
        assert store.get_many(["put", "made"]) == [{"value": number - 1}, {"value": number + 1}]

    @pytest.mark.parametrize(
        ("start", "amount"), [(HIGHEST, 1), (LOWEST, -1), (1, HIGHEST), (-2, LOWEST), (HIGHEST, HIGHEST)]
    )
    def test_overflow_changes_nothing(self, store: Store, start: int, amount: int) -> None:
        """A sum outside signed 64 bits is an error, and the counter stays with its ttl."""
        if lacks(store, "increment"):
            return
        since = monotonic()
        store.put("key", {"value": start}, ttl=60)

        with pytest.raises(CounterOverflowError) as caught:
            store.increment("key", amount)
        with pytest.raises(CounterOverflowError):
            store.increment("new", amount, initial=start)

        assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)
        value, left = store.ttl("key")
        assert value == {"value": start}
        assert between(left, 60, since)
        assert store.get("new") is None
        assert store.increment("key", 0) == start

    @pytest.mark.parametrize(
        "number",
        [True, 1.0, "1", None, 2**63, -(2**63) - 1, 10**5000],
        ids=["bool", "float", "str", "None", "2**63", "-2**63 - 1", "10**5000"],
    )
    def test_only_64_bit_integers_are_added(self, store: Store, number: Any) -> None:
        """An amount or *initial* that is not an int of 64 bits is refused, and the counter stays."""
        if lacks(store, "increment"):
            return
        store.put("key", {"value": 1})

        with pytest.raises((NotACounterError, CounterOverflowError)):
            store.increment("key", number)
        if number is not None:
            with pytest.raises((NotACounterError, CounterOverflowError)):
                store.increment("new", initial=number)

        assert store.get_many(["key", "new"]) == [{"value": 1}, None]

    @pytest.mark.parametrize("value", NOT_COUNTERS.values(), ids=NOT_COUNTERS)
    def test_what_is_no_counter_stays(self, store: Store, value: dict[str, Any]) -> None:
        """An entry that is not exactly `{"value": <64-bit int>}` is not counted on, and stays as it is."""
        if lacks(store, "increment"):
            return
        store.put("key", value)

        for initial in (None, 5):
            with pytest.raises(NotACounterError) as caught:
                store.increment("key", initial=initial)
            assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)

        assert exact(store.get("key")) == exact(value)

    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_counters_of_any_name(self, store: Store, name: str) -> None:
        """Whatever the key and the collection hold, a counter counts, and other entries are not taken for one."""
        if lacks(store, "increment"):
            return
        collection = name or "empty"
        assert store.increment(name, 2**53, initial=1, collection=collection) == 2**53 + 1
        assert store.increment(name, collection=collection) == 2**53 + 2
        store.put("key", {name: {"value": 1}}, collection=collection)

        with pytest.raises(NotACounterError):
            store.increment("key", collection=collection)

        assert store.get(name, collection=collection) == {"value": 2**53 + 2}

    def test_no_increment_is_lost(self, store: Store) -> None:
        """Fifty that count at once, on a counter that is not there yet, each get a number of their own."""
        if lacks(store, "increment"):
            return

        numbers = gather(*[store.increment("key", initial=0) for _ in range(50)])

        assert sorted(numbers) == list(range(1, 51))
        assert store.get("key") == {"value": 50}
