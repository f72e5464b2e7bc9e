# Written by tools/mirror.py from kv_core/aio/wrappers/circuit_breaker.py: change that file instead.
"""Stop asking a backend that is down, and look again after a while."""

from __future__ import annotations

from typing_extensions import override

from kv_core.breaker import Breaker, State
from kv_core.checks import positive, whole
from kv_core.errors import CircuitOpenError, StoreConnectionError, StoreTimeoutError
from kv_core.spellings import also
from kv_core.sync.protocols import KeyValue
from kv_core.sync.wrappers._calls import Call, CallWrapper, T
from kv_core.ttl import SYSTEM_CLOCK, Clock


class CircuitBreakerWrapper(CallWrapper):
    """After some failures in a row refuse calls at once, then let one probe through.

    A failure is a `StoreConnectionError` or a `StoreTimeoutError`; every other error shows that the backend answers.
    """

    @also(store="key_value")
    def __init__(
        self,
        key_value: KeyValue,
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
    def _around(self, call: Call[T]) -> T:
        if not self._breaker.enter():
            message = f"The circuit breaker is open, because the store failed; {call.name} was not made."
            raise CircuitOpenError(message, collection=call.collection)
        try:
            result = call(self.key_value)
        except (StoreConnectionError, StoreTimeoutError):
            self._breaker.fail()
            raise
        except Exception:
            self._breaker.succeed()
            raise
        except BaseException:
            self._breaker.leave()
            raise
        self._breaker.succeed()
        return result
