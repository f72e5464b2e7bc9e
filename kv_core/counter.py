"""The arithmetic of counters: entries whose value is exactly `{"value": <signed 64-bit integer>}`."""

from __future__ import annotations

from typing import Any, Final

from kv_core.errors import CounterOverflowError, MissingKeyError, NotACounterError

LOWEST: Final = -(2**63)
HIGHEST: Final = 2**63 - 1


def check_number(number: object, name: str) -> None:
    """Refuse what cannot be added to a counter.

    Raises:
        NotACounterError: *number* is not exactly an int.
        CounterOverflowError: It is outside signed 64 bits.
    """
    if type(number) is not int:
        raise NotACounterError(f"increment's {name} is an int, not {type(number).__name__}.")
    if not LOWEST <= number <= HIGHEST:
        raise CounterOverflowError(f"increment's {name} is outside signed 64 bits.")


def add(number: int, amount: int, collection: str, key: str) -> int:
    """Return the sum.

    Raises:
        CounterOverflowError: It is outside signed 64 bits.
    """
    total = number + amount
    if not LOWEST <= total <= HIGHEST:
        raise overflow(collection, key)
    return total


def number_in(value: dict[str, Any], collection: str, key: str) -> int:
    """Return the number that a counter's value holds.

    Raises:
        NotACounterError: The value is not a counter's.
    """
    number = value.get("value") if len(value) == 1 else None
    if type(number) is not int or not LOWEST <= number <= HIGHEST:
        raise not_a_counter(collection, key)
    return number


def not_a_counter(collection: str, key: str) -> NotACounterError:
    """Return the error for an entry that is not a counter."""
    message = f"{key!r} in {collection!r} is not a counter; increment needs exactly {{'value': <64-bit int>}}."
    return NotACounterError(message, key=key, collection=collection)


def overflow(collection: str, key: str) -> CounterOverflowError:
    """Return the error for a sum outside signed 64 bits."""
    message = f"Incrementing {key!r} in {collection!r} would leave signed 64 bits; the counter stays as it is."
    return CounterOverflowError(message, key=key, collection=collection)


def missing(collection: str, key: str) -> MissingKeyError:
    """Return the error for a counter that is not there and may not be made."""
    message = f"There is no counter {key!r} in {collection!r}; give initial= to make it."
    return MissingKeyError(message, key=key, collection=collection)
