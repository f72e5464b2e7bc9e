"""Check arguments and options before anything is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TypeGuard

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


def shown(number: object) -> str:
    """Return what an error says of a number; one of thousands of digits could not be written out."""
    return "an int of more than 128 bits" if isinstance(number, int) and number.bit_length() > 128 else repr(number)


def check_limit(limit: object) -> None:
    """Refuse a limit that is not None or a count.

    Raises:
        ConfigurationError: *limit* is not an int, or is negative.
    """
    if limit is not None and (type(limit) is not int or limit < 0):
        raise ConfigurationError(f"limit is None or a number of keys from 0, not {shown(limit)}.")


def _finite(number: object) -> TypeGuard[float]:
    try:
        return not isinstance(number, bool) and isinstance(number, int | float) and isfinite(number)
    except OverflowError:  # an int that no float comes near
        return False


def positive(number: object, name: str) -> float:
    """Return *number* if it is more than 0 and finite.

    Raises:
        ConfigurationError: It is not.
    """
    if not _finite(number) or number <= 0:
        raise ConfigurationError(f"{name} is more than 0 and finite, not {shown(number)}.")
    return float(number)


def not_negative(number: object, name: str) -> float:
    """Return *number* if it is finite and not below 0.

    Raises:
        ConfigurationError: It is not.
    """
    if not _finite(number) or number < 0:
        raise ConfigurationError(f"{name} is 0 or more and finite, not {shown(number)}.")
    return float(number)


def whole(number: object, name: str, *, least: int = 1) -> int:
    """Return *number* if it is an int from *least*.

    Raises:
        ConfigurationError: It is not.
    """
    if type(number) is not int or number < least:
        raise ConfigurationError(f"{name} is a whole number from {least}, not {shown(number)}.")
    return number
