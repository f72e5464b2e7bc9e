"""Name what goes wrong between a store and Memcached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kv_core.deadline import unsent
from kv_core.errors import (
    BaseKeyValueError,
    EntryTooLargeError,
    Outcome,
    PartialFailureError,
    StoreAuthenticationError,
    StoreConnectionError,
    StoreFullError,
    StoreProtocolError,
)


def translate(errors: Any, error: Exception, where: str) -> BaseKeyValueError:
    """Name an error of the client's; the server's own text may quote what was sent, so it is not shown.

    Args:
        errors: The client's module of exceptions.
        error: What it raised.
        where: The store and its node.
    """
    outcome: Outcome = "not_applied" if unsent(error) else "unknown"
    match error:
        case errors.MemcacheUnexpectedCloseError():
            return StoreConnectionError.to(f"{where}: the server", outcome)
        case errors.MemcacheServerError():
            return refused(str(error), where)
        case errors.MemcacheClientError() if "authentica" in str(error):
            return StoreAuthenticationError(f"{where}: the server refuses this user, or wants one.")
        case OSError():
            return StoreConnectionError.to(f"{where}: the server", outcome)
        case _:
            message = f"{where}: the server answered what this store does not understand ({type(error).__name__})."
            return StoreProtocolError(message, outcome=outcome)


def refused(reply: str, where: str) -> BaseKeyValueError:
    """Name what a server says that could not do what it was asked."""
    if "too large" in reply:
        message = f"{where}: the entry is larger than the server takes. It has dropped the old one, if it was there."
        return EntryTooLargeError(message, outcome="unknown")
    if "out of memory" in reply:
        message = f"{where}: the server is out of memory and may not evict. It may have dropped the old value."
        return StoreFullError(message, outcome="unknown")
    return StoreProtocolError(f"{where}: the server failed.", outcome="unknown")


def partly(errors: Mapping[str, BaseKeyValueError], keys: Sequence[str], collection: str) -> BaseKeyValueError:
    """Return the one error for a bulk operation of which some keys failed, each with an error of its own."""
    first = next(iter(errors.values()))
    if len(errors) == len(keys) and all(error is first for error in errors.values()):
        return first
    message = f"{len(errors):,} of {len(keys):,} keys in {collection!r} failed; the first: {first}"
    return PartialFailureError.of(message, errors, keys, collection=collection)
