"""Stop asking a backend that is down, and look again after a while."""

from __future__ import annotations

from time import monotonic
from typing import Final

from typing_extensions import override

from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers._calls import Call, CallWrapper, T
from kv_core.breaker import Breaker, State
from kv_core.checks import positive, whole
from kv_core.deadline import DEADLINE
from kv_core.errors import (
    BatchLengthError,
    CircuitOpenError,
    ConfigurationError,
    CounterOverflowError,
    EntryTooLargeError,
    EntryTooSmallError,
    InvalidKeyError,
    InvalidRevisionError,
    InvalidTTLError,
    MissingDependencyError,
    NotACounterError,
    PartialFailureError,
    SerializationError,
    StoreClosedError,
    StoreConnectionError,
    StoreTimeoutError,
    UnsupportedOperationError,
)
from kv_core.spellings import also
from kv_core.ttl import SYSTEM_CLOCK, Clock

_FAILURES: Final = (StoreConnectionError, StoreTimeoutError)
_REFUSALS: Final = (
    *(InvalidKeyError, InvalidTTLError, InvalidRevisionError, BatchLengthError, SerializationError),
    *(EntryTooLargeError, EntryTooSmallError, NotACounterError, CounterOverflowError),
    *(UnsupportedOperationError, ConfigurationError, MissingDependencyError, StoreClosedError),
)
"""What may be raised before the backend was asked."""
_TICK: Final = 0.001  # seconds by which a timer may be early


class CircuitBreakerWrapper(CallWrapper):
    """After some failures in a row refuse calls at once, then let one probe through.

    A failure is a `StoreConnectionError` or a `StoreTimeoutError`, or that a deadline from further out ended the call.
    A call that was refused before the backend was asked (a key that is no text, a value that cannot be kept) tells
    nothing, nor does a bulk operation without keys; every other error shows that the backend answers.
    """

    @also(store="key_value")
    def __init__(
        self,
        key_value: AsyncKeyValue,
        failure_threshold: int = 5,
        reset_timeout: float = 30.0,
        *,
        _clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            failure_threshold: How many failures in a row open the breaker.
            reset_timeout: How long it stays open before one call is let through as a probe, in seconds.

        Raises:
            ConfigurationError: An option is out of range.
        """
        self.key_value = key_value
        self._breaker = Breaker(
            whole(failure_threshold, "CircuitBreakerWrapper: failure_threshold"),
            positive(reset_timeout, "CircuitBreakerWrapper: reset_timeout (seconds)"),
            _clock,
        )

    @property
    def state(self) -> State:
        """Whether calls pass: `"closed"` (they do), `"open"` (they do not) or `"half-open"` (one does)."""
        return self._breaker.state

    @override
    async def _around(self, call: Call[T]) -> T:
        era = self._breaker.enter()
        if era is None:
            message = f"The circuit breaker is open, because the store failed; {call} was not made."
            raise CircuitOpenError(message, key=call.key, collection=call.collection)
        try:
            result = await call(self.key_value)
        except _REFUSALS:
            self._breaker.leave(era)
            raise
        except Exception as error:
            (self._breaker.fail if _is_failure(error) else self._breaker.succeed)(era)
            raise
        except BaseException:
            (self._breaker.fail if _too_late() else self._breaker.leave)(era)
            raise
        if call.operation.bulk and not call.keys:  # nobody was asked
            self._breaker.leave(era)
        else:
            self._breaker.succeed(era)
        return result


def _is_failure(error: Exception) -> bool:
    """Say whether an error shows that the backend does not answer."""
    if isinstance(error, PartialFailureError):
        errors = [*error.failed.values(), *error.unknown.values()]
        return not error.succeeded and all(map(_is_failure, errors))
    return isinstance(error, _FAILURES)


def _too_late() -> bool:
    """Say whether a call that was ended from outside has used up its time: then the backend did not answer in it."""
    deadline = DEADLINE.get()
    return deadline is not None and monotonic() > deadline - _TICK
