"""Name what the clients of Redis and Valkey raise; their exceptions have the same names."""

from __future__ import annotations

from typing import Any

from kv_core.deadline import unsent
from kv_core.errors import (
    BaseKeyValueError,
    CorruptEntryError,
    Outcome,
    StoreAuthenticationError,
    StoreConnectionError,
    StoreFullError,
    StoreProtocolError,
    StoreTimeoutError,
)
from kv_core.redis_scripts import NOT_A_COUNTER


class CounterError(StoreProtocolError):
    """The increment script refuses; the caller says why."""

    overflow = False


def translate(errors: Any, error: Exception, store: str) -> BaseKeyValueError:
    """Name an error of the client's. The server's own text may quote arguments, so only its first word is shown.

    Args:
        errors: The client's module of exceptions.
        error: What it raised.
        store: The store's name.
    """
    text = str(error)
    outcome: Outcome = "not_applied" if unsent(error) else "unknown"
    match error:
        case errors.AuthenticationError() | errors.AuthorizationError() | errors.NoPermissionError():
            named: BaseKeyValueError = StoreAuthenticationError(f"{store}: the server refuses this user or command.")
        case errors.TimeoutError():
            named = StoreTimeoutError(f"{store}: the server did not answer in time.", outcome=outcome)
        case errors.BusyLoadingError():
            named = StoreConnectionError(f"{store}: the server is still loading its data.")
        case errors.MaxConnectionsError():
            named = StoreConnectionError(f"{store}: every connection that the client may open is in use.")
        case errors.ConnectionError() if isinstance(error.__context__, errors.ReadOnlyError):
            named = StoreConnectionError(f"{store}: the primary that was asked is a replica now.")
        case errors.ConnectionError() | OSError():
            named = StoreConnectionError.to(f"{store}: the server", outcome)
        case errors.OutOfMemoryError():
            named = StoreFullError(f"{store}: the server has reached its maxmemory and evicts nothing.")
        case errors.ReadOnlyError():
            named = StoreConnectionError(f"{store}: this server is a read-only replica.")
        case errors.TryAgainError() | errors.ClusterDownError() | errors.AskError():
            named = StoreConnectionError(f"{store}: the cluster does not serve this key at the moment.")
        case errors.ResponseError():
            named = _refused(text, store)
        case _:
            named = StoreProtocolError(f"{store}: unexpected {type(error).__name__}.", outcome="unknown")
    return named


def _refused(text: str, store: str) -> BaseKeyValueError:
    if "WRONGTYPE" in text:
        return CorruptEntryError(f"{store}: what is stored there is not a string, so not an entry.")
    if NOT_A_COUNTER in text or "not an integer" in text:
        return CounterError("not a counter")
    if "overflow" in text:
        refused = CounterError("overflow")
        refused.overflow = True
        return refused
    code = text.split(maxsplit=1)[0] if text else "?"
    if code in ("NOAUTH", "WRONGPASS", "NOPERM") or "unauthenticated" in text:  # long commands get the latter
        return StoreAuthenticationError(f"{store}: the server refuses this user or command ({code}).")
    if code in ("OOM", "MISCONF"):
        return StoreFullError(f"{store}: the server takes no writes ({code}); see its memory and disk.")
    if code in ("TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "MOVED", "ASK"):
        return StoreConnectionError(f"{store}: the cluster does not serve this key at the moment ({code}).")
    return StoreProtocolError(f"{store}: the server refuses the command ({code}).", outcome="unknown")
