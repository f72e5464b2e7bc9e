"""Counters: exact, within signed 64 bits, and nothing else is taken for one."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from time import monotonic
from typing import Any, Final

import pytest

from kv_core.aio._runtime import gather
from kv_core.aio.protocols import AsyncStore
from kv_core.aio.testing._address import KEYS
from kv_core.aio.testing._common import SHORT, Advance, Contract, exact, in_time, lacks
from kv_core.aio.testing._ttl import BEYOND, between
from kv_core.errors import CounterOverflowError, MissingKeyError, NotACounterError

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

    async def test_counting(self, store: AsyncStore) -> None:
        """A counter goes up and down by any amount, and is read as the value it is."""
        if await lacks(store, "increment"):
            return

        assert await store.increment("key", initial=0) == 1
        assert await store.increment("key") == 2
        assert await store.increment("key", 40) == 42
        assert await store.increment("key", -43) == -1
        assert await store.increment("key", 0) == -1
        assert exact(await store.get("key")) == exact({"value": -1})
        assert await store.get_many(["key"]) == [{"value": -1}]

    async def test_a_missing_counter(self, store: AsyncStore) -> None:
        """Without *initial* a missing counter is an error and is not made; with it, it is made from there."""
        if await lacks(store, "increment"):
            return
        with pytest.raises(MissingKeyError) as caught:
            await store.increment("key")
        assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)
        assert await store.get("key") is None

        assert await store.increment("key", 5, initial=10, ttl=None) == 15
        assert await store.increment("key", 5, initial=10) == 20
        assert await store.increment("zero", 0, initial=0) == 0
        assert await store.increment("down", -3, initial=1) == -2
        assert await store.ttl("zero") == ({"value": 0}, None)
        with pytest.raises(MissingKeyError):
            await store.increment("key", collection="other")

    async def test_a_counter_keeps_its_ttl(self, store: AsyncStore, advance: Advance) -> None:
        """A ttl is given to a counter that is made; one that is there keeps its own, and ends by it."""
        if await lacks(store, "increment"):
            return

        async def make_one_that_ends() -> None:
            await store.delete("ends")
            await store.increment("ends", initial=0, ttl=SHORT)
            assert await store.increment("ends", initial=0, ttl=60) == 2

        since = monotonic()
        await store.increment("new", initial=0, ttl=60)
        await store.increment("new", initial=0, ttl=5)
        await store.put("endless", {"value": 1})
        await store.increment("endless", initial=0, ttl=SHORT)
        await in_time(make_one_that_ends)
        assert between((await store.ttl("new"))[1], 60, since)

        await advance(BEYOND)

        assert await store.ttl("endless") == ({"value": 2}, None)
        assert await store.get("ends") is None

    async def test_a_counter_is_a_value_like_any_other(self, store: AsyncStore) -> None:
        """What was put as a value is counted on, and what was counted can be replaced."""
        if await lacks(store, "increment"):
            return
        await store.put_many(["a", "b"], [{"value": 1}, {"value": -7}], ttl=[60, None])

        assert await store.increment("a") == 2
        assert await store.increment("b") == -6
        await store.put("a", {"value": 100})
        assert await store.increment("a") == 101

    @pytest.mark.parametrize("number", [2**53, 2**53 + 1, -(2**53) - 1, HIGHEST - 1, LOWEST + 1, 9 * 10**18])
    async def test_large_counters_are_exact(self, store: AsyncStore, number: int) -> None:
        """Numbers that a float cannot hold are counted exactly, put or made."""
        if await lacks(store, "increment"):
            return
        await store.put("put", {"value": number})

        assert await store.increment("put", 1) == number + 1
        assert await store.increment("put", -2) == number - 1
        assert await store.increment("made", 1, initial=number) == number + 1
        assert await store.get_many(["put", "made"]) == [{"value": number - 1}, {"value": number + 1}]

    @pytest.mark.parametrize(
        ("start", "amount"), [(HIGHEST, 1), (LOWEST, -1), (1, HIGHEST), (-2, LOWEST), (HIGHEST, HIGHEST)]
    )
    async def test_overflow_changes_nothing(self, store: AsyncStore, start: int, amount: int) -> None:
        """A sum outside signed 64 bits is an error, and the counter stays with its ttl."""
        if await lacks(store, "increment"):
            return
        since = monotonic()
        await store.put("key", {"value": start}, ttl=60)

        with pytest.raises(CounterOverflowError) as caught:
            await store.increment("key", amount)
        with pytest.raises(CounterOverflowError):
            await store.increment("new", amount, initial=start)

        assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)
        value, left = await store.ttl("key")
        assert value == {"value": start}
        assert between(left, 60, since)
        assert await store.get("new") is None
        assert await store.increment("key", 0) == start

    @pytest.mark.parametrize(
        "number",
        [True, 1.0, "1", None, 2**63, -(2**63) - 1, 10**5000],
        ids=["bool", "float", "str", "None", "2**63", "-2**63 - 1", "10**5000"],
    )
    async def test_only_64_bit_integers_are_added(self, store: AsyncStore, number: Any) -> None:
        """An amount or *initial* that is not an int of 64 bits is refused, and the counter stays."""
        if await lacks(store, "increment"):
            return
        await store.put("key", {"value": 1})

        with pytest.raises((NotACounterError, CounterOverflowError)):
            await store.increment("key", number)
        if number is not None:
            with pytest.raises((NotACounterError, CounterOverflowError)):
                await store.increment("new", initial=number)

        assert await store.get_many(["key", "new"]) == [{"value": 1}, None]

    @pytest.mark.parametrize("value", NOT_COUNTERS.values(), ids=NOT_COUNTERS)
    async def test_what_is_no_counter_stays(self, store: AsyncStore, value: dict[str, Any]) -> None:
        """An entry that is not exactly `{"value": <64-bit int>}` is not counted on, and stays as it is."""
        if await lacks(store, "increment"):
            return
        await store.put("key", value)

        for initial in (None, 5):
            with pytest.raises(NotACounterError) as caught:
                await store.increment("key", initial=initial)
            assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)

        assert exact(await store.get("key")) == exact(value)

    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    async def test_counters_of_any_name(self, store: AsyncStore, name: str) -> None:
        """Whatever the key and the collection hold, a counter counts, and other entries are not taken for one."""
        if await lacks(store, "increment"):
            return
        collection = name or "empty"
        assert await store.increment(name, 2**53, initial=1, collection=collection) == 2**53 + 1
        assert await store.increment(name, collection=collection) == 2**53 + 2
        await store.put("key", {name: {"value": 1}}, collection=collection)

        with pytest.raises(NotACounterError):
            await store.increment("key", collection=collection)

        assert await store.get(name, collection=collection) == {"value": 2**53 + 2}

    async def test_no_increment_is_lost(self, store: AsyncStore) -> None:
        """Fifty that count at once, on a counter that is not there yet, each get a number of their own."""
        if await lacks(store, "increment"):
            return

        numbers = await gather(*[store.increment("key", initial=0) for _ in range(50)])

        assert sorted(numbers) == list(range(1, 51))
        assert await store.get("key") == {"value": 50}
