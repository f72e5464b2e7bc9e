"""Name what pymongo raises. The server's own text may quote documents, so only codes are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kv_core.deadline import unsent
from kv_core.errors import (
    BaseKeyValueError,
    CorruptEntryError,
    EntryTooLargeError,
    Outcome,
    PartialFailureError,
    StoreAuthenticationError,
    StoreConnectionError,
    StoreFullError,
    StoreProtocolError,
    StoreSetupError,
    StoreTimeoutError,
)

# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_REFUSED: Final = {11, 13, 18, 31, 33, 334, 391, 8000}
"""UserNotFound, Unauthorized, AuthenticationFailed, RoleNotFound, and the like; 8000 is Atlas's."""
_TOO_LARGE: Final = {10334, 17419, 17420}
_FULL: Final = {12501, 14031}
"""The quota of a database, OutOfDiskSpace."""
_UNSUITABLE: Final = {67, 73, 85, 86, 121, 166, 197}
"""CannotCreateIndex, InvalidNamespace, an index of ours with other options, a validator or a view in the way."""
_TIMED_OUT: Final = {24, 50, 64, 89, 202, 262}
"""LockTimeout, MaxTimeMSExpired, WriteConcernTimeout, and the like."""
_LOST_RACE: Final = {112, 11000}
"""WriteConflict, DuplicateKey: another write came first, and this one was not made."""


def refused_login(errors: Any, error: Exception) -> bool:
    """Say whether the server refuses the credentials of a connection."""
    return isinstance(error, errors.OperationFailure) and getattr(error, "code", None) in (18, 391, 8000)


def translate(errors: Any, error: Exception, store: str) -> BaseKeyValueError:
    """Name an error of the client's.

    Args:
        errors: pymongo's module of exceptions.
        error: What it raised.
        store: The store's name.
    """
    outcome: Outcome = "not_applied" if unsent(error) else "unknown"
    match error:
        case errors.ServerSelectionTimeoutError():
            return _not_selected(str(error), store)
        case errors.WaitQueueTimeoutError():
            return StoreTimeoutError(f"{store}: all connections were busy until the deadline.", outcome="not_applied")
        case errors.NetworkTimeout():
            return StoreTimeoutError(f"{store}: the server did not answer in time.", outcome=outcome)
        case errors.NotPrimaryError():
            return StoreConnectionError(f"{store}: this server is not the primary (any more).", outcome=outcome)
        case errors.ConnectionFailure() | OSError():
            return StoreConnectionError.to(f"{store}: the server", outcome)
        case errors.WTimeoutError():
            message = f"{store}: the write was not acknowledged by enough members of the replica set in time."
            return StoreTimeoutError(message, outcome="unknown")
        case errors.WriteConcernError():
            message = f"{store}: the write was made, but not with the asked write concern (code {error.code})."
            return StoreProtocolError(message, outcome="unknown")
        case errors.DocumentTooLarge():
            return EntryTooLargeError(f"{store}: the document is larger than the server takes.")
        case errors.OperationFailure():
            return answered(error.code, str(error), store, outcome)
        case errors.ConfigurationError():  # what DNS says of a mongodb+srv:// name
            message = f"{store}: the servers of this URL cannot be found; check its name and DNS."
            return StoreConnectionError(message, outcome=outcome)
        case _ if type(error).__module__.startswith("bson"):
            return CorruptEntryError(f"{store}: what is stored there is not a document that can be read.")
        case _:
            return StoreProtocolError(f"{store}: unexpected {type(error).__name__}.", outcome=outcome)


def answered(code: int | None, text: str, store: str, outcome: Outcome = "unknown") -> BaseKeyValueError:
    """Name what a server refuses, by the code that it gives."""
    if code in _FULL or (code == 8000 and "quota" in text):
        return StoreFullError(f"{store}: the server has no room left (code {code}).")
    if code in _REFUSED:
        return StoreAuthenticationError(f"{store}: the server refuses this user or command (code {code}).")
    if code in _TOO_LARGE:
        return EntryTooLargeError(f"{store}: the document is larger than the server takes (code {code}).")
    if code in _UNSUITABLE:
        message = f"{store}: the Mongo collection cannot be used for entries (code {code}); choose another coll_name."
        return StoreSetupError(message)
    if code in _TIMED_OUT:
        return StoreTimeoutError(f"{store}: the server gave up in time (code {code}).", outcome=outcome)
    if code in _LOST_RACE:
        message = f"{store}: another write of the same entry came first (code {code})."
        return StoreProtocolError(message, outcome="not_applied", retryable=True)
    return StoreProtocolError(f"{store}: the server refuses the command (code {code}).", outcome=outcome)


def _not_selected(text: str, store: str) -> BaseKeyValueError:
    """Tell servers that say no from servers that say nothing; either way nothing was sent."""
    if "NetworkTimeout(" in text or "No servers found yet" in text:
        return StoreTimeoutError(f"{store}: no server answered in time.", outcome="not_applied")
    return StoreConnectionError(f"{store}: no server that takes this operation can be reached.", outcome="not_applied")


def partial(details: Mapping[str, Any], keys: Sequence[str], collection: str, store: str) -> PartialFailureError:
    """Return the error for a bulk write, from what the server says became of each part.

    Args:
        details: The `details` of the client's `BulkWriteError`.
        keys: The keys of the operations, in order.
        collection: Where they belong.
        store: The store's name.
    """
    failed: dict[str, BaseKeyValueError] = {
        keys[int(one["index"])]: answered(one["code"], "", store, "not_applied") for one in details["writeErrors"]
    }
    done = [key for key in keys if key not in failed]
    doubts = details["writeConcernErrors"]
    unknown = {key: answered(doubts[0]["code"], "", store) for key in done} if doubts else {}
    return PartialFailureError(
        f"{len(failed) + len(unknown)} of {len(keys)} entries of {collection!r} were not written, or not surely.",
        failed=failed,
        unknown=unknown,
        succeeded=() if doubts else done,
        collection=collection,
    )
