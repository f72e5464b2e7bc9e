"""Check arguments and options before anything is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from kv_core.entry import Revision
from kv_core.errors import BatchLengthError, ConfigurationError, InvalidRevisionError


def check_values(keys: Sequence[str], values: object) -> None:
    """Refuse values that are not one for each key.

    Raises:
        BatchLengthError: There are more or fewer values than keys, or they are not a sequence.
    """
    if not isinstance(values, Sequence) or isinstance(values, str | bytes) or len(values) != len(keys):  # pyright: ignore[reportUnknownArgumentType] - users pass anything
        raise BatchLengthError(f"{len(keys)} keys need a sequence of as many values; give one value for each key.")


def check_revision(revision: object) -> None:
    """Refuse what `get_with_revision` did not return.

    Raises:
        InvalidRevisionError: *revision* is something else.
    """
    if not isinstance(revision, Revision):
        raise InvalidRevisionError(f"A revision is what get_with_revision returned, not {type(revision).__name__}.")


def check_limit(limit: object) -> None:
    """Refuse a limit that is not None or a count.

    Raises:
        ConfigurationError: *limit* is not an int, or is negative.
    """
    if limit is not None and (type(limit) is not int or limit < 0):
        raise ConfigurationError(f"limit is None or a number of keys from 0, not {limit!r}.")


def positive(number: object, name: str) -> float:
    """Return *number* if it is more than 0 and finite.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number) or number <= 0:
        raise ConfigurationError(f"{name} is more than 0 and finite, not {number!r}.")
    return float(number)


def not_negative(number: object, name: str) -> float:
    """Return *number* if it is finite and not below 0.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number) or number < 0:
        raise ConfigurationError(f"{name} is 0 or more and finite, not {number!r}.")
    return float(number)


def whole(number: object, name: str, *, least: int = 1) -> int:
    """Return *number* if it is an int from *least*.

    Raises:
        ConfigurationError: It is not.
    """
    if type(number) is not int or number < least:
        raise ConfigurationError(f"{name} is a whole number from {least}, not {number!r}.")
    return number
