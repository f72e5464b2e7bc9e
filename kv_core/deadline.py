"""Carry the moment by which a call has to end to everything that works on it."""

from __future__ import annotations

from contextvars import ContextVar, Token
from time import monotonic
from typing import Final

from kv_core.errors import StoreTimeoutError

DEADLINE: Final[ContextVar[float | None]] = ContextVar("kv_deadline", default=None)
"""On the monotonic clock, in seconds; None: no deadline beyond the store's own timeout."""


def left(timeout: float) -> float:
    """Return how many of *timeout* seconds the current call still has.

    Raises:
        StoreTimeoutError: None are left; nothing was sent.
    """
    deadline = DEADLINE.get()
    if deadline is None:
        return timeout
    seconds = deadline - monotonic()
    if seconds <= 0:
        raise StoreTimeoutError("The call's deadline had passed before the store was asked.", outcome="not_applied")
    return min(seconds, timeout)


def begin(seconds: float) -> Token[float | None]:
    """Let what is called from now on end within *seconds*, or by an earlier deadline that already holds.

    Returns:
        What `DEADLINE.reset` takes when the call has ended.

    Raises:
        StoreTimeoutError: The earlier deadline has passed; nothing was sent.
    """
    now = monotonic()
    outer = DEADLINE.get()
    if outer is None:
        return DEADLINE.set(now + seconds)
    if outer <= now:
        raise StoreTimeoutError("The call's deadline had passed before the store was asked.", outcome="not_applied")
    return DEADLINE.set(min(now + seconds, outer))


class deadline:  # noqa: N801 - reads as a statement: `with deadline(2.0):`
    """The same for what is called inside a block; `begin` is for where every operation passes."""

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = begin(self._seconds)

    def __exit__(self, *exc: object) -> None:
        DEADLINE.reset(self._token)


def mark_unsent(error: BaseException, nothing: bool = True) -> None:
    """Note on an error that nothing had been sent when it was raised, or that something may have been (False)."""
    error.kv_unsent = nothing  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] - for us alone


def unsent(error: BaseException | None) -> bool:
    """Say whether this error, or the latest that led to it with a mark, was raised before anything was sent."""
    while error is not None:
        marked: bool | None = getattr(error, "kv_unsent", None)
        if marked is not None:
            return marked
        error = error.__cause__ or error.__context__
    return False
