"""The errors that users of kvstack can meet.

Every error says what happened, to which key or collection where there is one, and what to do.
No text holds a value, a password or a URL with credentials. The tree::

    BaseKeyValueError
    ├── InvalidKeyError (TypeError, ValueError)          refused before any I/O
    │   └── InvalidCollectionError
    ├── InvalidTTLError (TypeError, ValueError)          refused before any I/O
    ├── InvalidRevisionError (TypeError)                 refused before any I/O
    ├── BatchLengthError (ValueError)                    refused before any I/O
    ├── SerializationError (TypeError, ValueError)       the value cannot be kept exactly; refused before any I/O
    ├── DeserializationError (ValueError)                what is stored cannot be trusted
    │   ├── CorruptEntryError
    │   └── UnsupportedEntryVersionError
    ├── EncryptionError (ValueError)
    │   ├── DecryptionError
    │   └── EncryptionVersionError
    ├── DecompressionError (ValueError)
    ├── EntryTooLargeError (ValueError)
    ├── EntryTooSmallError (ValueError)
    ├── MissingKeyError (KeyError)
    ├── NotACounterError (TypeError)
    ├── CounterOverflowError (OverflowError)
    ├── UnsupportedOperationError (TypeError)            a capability that this stack does not have
    │   └── ReadOnlyError
    ├── PartialFailureError                              a bulk operation in which some items failed
    ├── StoreError                                       the backend
    │   ├── StoreConnectionError (ConnectionError)       retryable
    │   │   └── CircuitOpenError                         a breaker refuses
    │   ├── StoreTimeoutError (TimeoutError)             retryable
    │   ├── StoreAuthenticationError (PermissionError)
    │   ├── StoreFullError
    │   ├── StoreProtocolError
    │   ├── StoreClosedError
    │   └── StoreSetupError
    ├── PathSecurityError (ValueError)
    ├── MissingDependencyError (ImportError)
    └── ConfigurationError (ValueError)                  refused at construction, before the first request
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

from typing_extensions import override

Outcome = Literal["not_applied", "unknown"]


class BaseKeyValueError(Exception):
    """The base of every error that crosses the public API.

    Attributes:
        retryable: Whether the same call may succeed if it is made again.
        outcome: `"not_applied"` if the operation surely changed nothing, `"unknown"` if it may have.
        key: The key concerned, where there is one.
        collection: The collection concerned, where there is one.
    """

    retryable: bool = False
    outcome: Outcome = "not_applied"
    key: str | None = None
    collection: str | None = None

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        collection: str | None = None,
        outcome: Outcome | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if key is not None:
            self.key = key
        if collection is not None:
            self.collection = collection
        if outcome is not None:
            self.outcome = outcome
        if retryable is not None:
            self.retryable = retryable

    @override
    def __str__(self) -> str:
        return self.message


class InvalidKeyError(BaseKeyValueError, TypeError, ValueError):
    """A key is not text that can be encoded as UTF-8."""


class InvalidCollectionError(InvalidKeyError):
    """A collection's name is empty or not text that can be encoded as UTF-8."""


class InvalidTTLError(BaseKeyValueError, TypeError, ValueError):
    """A ttl is not a positive, finite number of seconds."""


class InvalidRevisionError(BaseKeyValueError, TypeError):
    """Something other than what `get_with_revision` returned was given as a revision."""


class BatchLengthError(BaseKeyValueError, ValueError):
    """The keys, values and ttls of a bulk operation differ in number."""


class SerializationError(BaseKeyValueError, TypeError, ValueError):
    """A value holds something that would not come back exactly as it was put."""


class DeserializationError(BaseKeyValueError, ValueError):
    """What the backend holds cannot be read as an entry."""


class CorruptEntryError(DeserializationError):
    """The stored bytes are not an entry, or are the entry of another address."""


class UnsupportedEntryVersionError(DeserializationError):
    """The entry was written by a later version of this library."""


class EncryptionError(BaseKeyValueError, ValueError):
    """Something is wrong with an encrypted entry or its keys."""


class DecryptionError(EncryptionError):
    """An entry was not encrypted for this address with one of these keys."""


class EncryptionVersionError(EncryptionError):
    """An entry was encrypted by a later version of this library."""


class DecompressionError(BaseKeyValueError, ValueError):
    """A compressed payload is damaged, larger than allowed, or not a value."""


class EntryTooLargeError(BaseKeyValueError, ValueError):
    """An entry is larger than the store or a wrapper allows; the old value stays."""


class EntryTooSmallError(BaseKeyValueError, ValueError):
    """An entry is smaller than a wrapper allows; the old value stays."""


class MissingKeyError(BaseKeyValueError, KeyError):
    """There is no entry under the key."""


class NotACounterError(BaseKeyValueError, TypeError):
    """`increment` met an entry whose value is not exactly `{"value": <64-bit integer>}`."""


class CounterOverflowError(BaseKeyValueError, OverflowError):
    """`increment` would leave the signed 64-bit range; the counter stays."""


class UnsupportedOperationError(BaseKeyValueError, TypeError):
    """A stack does not have the capability that was asked for."""


class ReadOnlyError(UnsupportedOperationError):
    """A write was made through a stack that is read-only."""


class PartialFailureError(BaseKeyValueError):
    """Some items of a bulk operation failed.

    Attributes:
        failed: The error of each key that surely was not changed.
        unknown: The error of each key that may have been changed.
        succeeded: The keys that were done.
    """

    def __init__(
        self,
        message: str,
        *,
        failed: Mapping[str, BaseKeyValueError] | None = None,
        unknown: Mapping[str, BaseKeyValueError] | None = None,
        succeeded: Sequence[str] = (),
        collection: str | None = None,
    ) -> None:
        self.failed = dict(failed or {})
        self.unknown = dict(unknown or {})
        self.succeeded = tuple(succeeded)
        errors = [*self.failed.values(), *self.unknown.values()]
        super().__init__(
            message,
            collection=collection,
            outcome="unknown" if self.unknown or self.succeeded else "not_applied",
            retryable=bool(errors) and all(error.retryable for error in errors),
        )

    @classmethod
    def of(
        cls, message: str, errors: Mapping[str, BaseKeyValueError], keys: Iterable[str], *, collection: str | None
    ) -> Self:
        """Return the error for *keys* of which some have *errors*, which are told apart by their outcome."""
        return cls(
            message,
            failed={key: error for key, error in errors.items() if error.outcome == "not_applied"},
            unknown={key: error for key, error in errors.items() if error.outcome == "unknown"},
            succeeded=[key for key in keys if key not in errors],
            collection=collection,
        )


class StoreError(BaseKeyValueError):
    """The base of what can go wrong between a store and its backend."""


class StoreConnectionError(StoreError, ConnectionError):
    """The backend cannot be reached, or hung up."""

    retryable = True

    @classmethod
    def to(cls, server: str, outcome: Outcome) -> Self:
        """Return the error for a server that was not reached, or hung up after something may have been sent."""
        said = (
            "hung up" if outcome == "unknown" else "cannot be reached; see that it runs, and that its address is right"
        )
        return cls(f"{server} {said}.", outcome=outcome)


class CircuitOpenError(StoreConnectionError):
    """A circuit breaker refuses the call, because too many before it failed."""


class StoreTimeoutError(StoreError, TimeoutError):
    """The operation did not end in time; `outcome` is `"unknown"` once it was sent."""

    retryable = True


class StoreAuthenticationError(StoreError, PermissionError):
    """The backend refuses these credentials, or does not allow them this command."""


class StoreFullError(StoreError):
    """The backend has no room left; the old value stays."""


class StoreProtocolError(StoreError):
    """The backend answered something that the store does not understand."""


class StoreClosedError(StoreError):
    """The store was closed; `outcome` is `"unknown"` if that was while the call was out."""

    def __init__(self, message: str = "The store was closed; make a new one.", **about: Any) -> None:
        super().__init__(message, **about)


class StoreSetupError(StoreError):
    """The backend cannot be prepared: a directory, database or index is unusable."""


class PathSecurityError(BaseKeyValueError, ValueError):
    """A path would leave the store's directory."""


class MissingDependencyError(BaseKeyValueError, ImportError):
    """A store or wrapper needs a package that is not installed."""


class Problem(NamedTuple):
    """One thing that is wrong with a configuration: where, what, and what to do about it."""

    path: str
    message: str
    hint: str = ""

    @override
    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text} {self.hint}" if self.hint else text


class ConfigurationError(BaseKeyValueError, ValueError):
    """A store, a wrapper or a whole settings mapping cannot be built as described.

    Attributes:
        problems: Each thing that is wrong, as `(path, message, hint)`.
    """

    _heading: ClassVar[str] = "{count} problems in the configuration:"

    def __init__(self, message: str = "", *, problems: Sequence[Problem] = (), **facts: Any) -> None:
        self.problems = tuple(problems) or (Problem("", message),)
        if not message:
            lines = [str(problem) for problem in self.problems]
            heading = self._heading.format(count=len(lines))
            message = lines[0] if len(lines) == 1 else "\n  - ".join([heading, *lines])
        super().__init__(message, **facts)


__all__ = [
    "BaseKeyValueError",
    "BatchLengthError",
    "CircuitOpenError",
    "ConfigurationError",
    "CorruptEntryError",
    "CounterOverflowError",
    "DecompressionError",
    "DecryptionError",
    "DeserializationError",
    "EncryptionError",
    "EncryptionVersionError",
    "EntryTooLargeError",
    "EntryTooSmallError",
    "InvalidCollectionError",
    "InvalidKeyError",
    "InvalidRevisionError",
    "InvalidTTLError",
    "MissingDependencyError",
    "MissingKeyError",
    "NotACounterError",
    "Outcome",
    "PartialFailureError",
    "PathSecurityError",
    "Problem",
    "ReadOnlyError",
    "SerializationError",
    "StoreAuthenticationError",
    "StoreClosedError",
    "StoreConnectionError",
    "StoreError",
    "StoreFullError",
    "StoreProtocolError",
    "StoreSetupError",
    "StoreTimeoutError",
    "UnsupportedEntryVersionError",
    "UnsupportedOperationError",
]
