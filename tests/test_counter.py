"""The arithmetic of counters is that of signed 64 bits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kv_core import counter
from kv_core.errors import CounterOverflowError, MissingKeyError, NotACounterError

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**63 - 1, -(2**63), 2**53, 2**53 + 1])


@given(number=NUMBERS, amount=NUMBERS)
def test_sums_are_exact_or_refused(number, amount):
    """A sum within signed 64 bits is exact; any other is an overflow that names the counter."""
    counter.check_number(number, "amount")
    if -(2**63) <= number + amount <= 2**63 - 1:
        assert counter.add(number, amount, "c", "k") == number + amount
    else:
        with pytest.raises(CounterOverflowError, match="'k' in 'c'") as caught:
            counter.add(number, amount, "c", "k")
        assert (caught.value.key, caught.value.collection, caught.value.outcome) == ("k", "c", "not_applied")


@given(number=NUMBERS)
def test_a_counter_is_one_integer(number):
    """The value of a counter is exactly its number under `value`."""
    assert counter.number_in({"value": number}, "c", "k") == number


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"n": 1},
        {"value": 1, "n": 1},
        {"value": 1.0},
        {"value": True},
        {"value": "1"},
        {"value": None},
        {"value": 2**63},
    ],
    ids=str,
)
def test_other_values_are_not_counters(value):
    """Anything else is not a counter, and the error does not show it."""
    with pytest.raises(NotACounterError, match="'k' in 'c'") as caught:
        counter.number_in(value, "c", "k")
    assert (caught.value.key, caught.value.collection) == ("k", "c")


@pytest.mark.parametrize("number", [True, 1.0, "1", None, b"1"])
def test_only_integers_are_added(number):
    """What is not exactly an int is refused."""
    with pytest.raises(NotACounterError, match="initial"):
        counter.check_number(number, "initial")


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**5000], ids=["above", "below", "long"])
def test_only_64_bits_are_added(number):
    """An int outside signed 64 bits is refused, however long it is."""
    with pytest.raises(CounterOverflowError, match="amount"):
        counter.check_number(number, "amount")


def test_a_missing_counter_is_a_missing_key():
    """The error for a counter that is not there says how to make it."""
    error = counter.missing("c", "k")
    assert isinstance(error, MissingKeyError)
    assert "initial=" in str(error)
