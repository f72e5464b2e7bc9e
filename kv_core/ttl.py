"""Check times to live, and read the clocks that they are measured by."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol, TypeAlias

from typing_extensions import override

from kv_core.checks import shown
from kv_core.errors import BatchLengthError, InvalidTTLError

MAX_TTL: Final = 10_000_000_000.0
"""The longest ttl, in seconds (about 317 years); without a ttl an entry has no end."""


class Keep:
    """The type of `KEEP`."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = Keep()
"""Given as a ttl: the entry keeps the expiry that it has."""

TTL: TypeAlias = float | None
TTLs: TypeAlias = Sequence[float | None] | float | None
"""One ttl in seconds for every entry, or one for each."""
KeptTTL: TypeAlias = float | Keep | None

When: TypeAlias = Literal["always", "absent", "present"]
"""Under which condition a write is made."""


class Clock(Protocol):
    """Where a store reads the time; tests give one that they can tell."""

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""
        ...


class SystemClock:
    """The clocks of this machine."""

    __slots__ = ()

    def now(self) -> datetime:
        """Return the wall clock's time, in UTC."""
        return datetime.now(UTC)

    @staticmethod
    def monotonic() -> float:
        """Return seconds on a clock that never steps."""
        return time.monotonic()


SYSTEM_CLOCK: Final = SystemClock()


def check_ttl(ttl: object) -> None:
    """Refuse a ttl that is not None or a positive, finite number of seconds.

    Raises:
        InvalidTTLError: The ttl is zero, negative, not finite, longer than `MAX_TTL`, or not a number.
    """
    if ttl is None:
        return
    if type(ttl) is not float and type(ttl) is not int:
        raise InvalidTTLError(f"A ttl is a number of seconds or None, not {type(ttl).__name__}.")
    if not 0 < ttl <= MAX_TTL:
        raise InvalidTTLError(
            f"A ttl is more than 0 and at most {MAX_TTL:.0f} seconds (None: no expiry), not {shown(ttl)}."
        )


def each_ttl(ttl: TTLs, count: int) -> list[float | None]:
    """Return one checked ttl for each of *count* entries.

    Raises:
        BatchLengthError: A sequence of ttls has another length.
        InvalidTTLError: One of them is not a ttl.
    """
    if ttl is None or isinstance(ttl, int | float):
        check_ttl(ttl)
        return [ttl] * count
    if isinstance(ttl, str | bytes) or not isinstance(ttl, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass anything
        raise InvalidTTLError(f"ttl is a number, None, or a sequence of these, not {type(ttl).__name__}.")
    if len(ttl) != count:
        raise BatchLengthError(
            f"{count} keys came with {len(ttl)} ttls; give one for each key, or a single one for all."
        )
    for one in ttl:
        check_ttl(one)
    return list(ttl)


def expiry(now: datetime, ttl: float | None) -> datetime | None:
    """Return the moment at which an entry put *now* ends, rounded up to a microsecond."""
    return None if ttl is None else now + timedelta(microseconds=math.ceil(ttl * 1e6))


def remaining(expires_at: datetime | None, now: datetime) -> float | None:
    """Return the seconds until *expires_at*, or None if it has no end."""
    return None if expires_at is None else (expires_at - now).total_seconds()


def milliseconds(ttl: float) -> int:
    """Return *ttl* in whole milliseconds, rounded up, so that nothing ends early."""
    return math.ceil(ttl * 1000)
