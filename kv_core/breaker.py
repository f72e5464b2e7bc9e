"""The state of a circuit breaker, which the twins of both sides share."""

from __future__ import annotations

import threading
from typing import Literal

from kv_core.forks import renew_after_fork
from kv_core.ttl import SYSTEM_CLOCK, Clock

State = Literal["closed", "open", "half-open"]


class Breaker:
    """Closed until failures in a row reach a threshold; then open for a while; then half-open for one probe.

    See https://martinfowler.com/bliki/CircuitBreaker.html.
    """

    def __init__(self, threshold: int, reset_timeout: float, clock: Clock = SYSTEM_CLOCK) -> None:
        """Begin closed.

        Args:
            threshold: Failures in a row that open it.
            reset_timeout: Seconds until a probe is let through.
            clock: Its monotonic hand is read.
        """
        self._threshold, self._reset_timeout, self._now = threshold, reset_timeout, clock.monotonic
        self._failures = 0
        self._opened: float | None = None
        self._probing = False
        self._lock = threading.Lock()
        renew_after_fork(self)

    @property
    def state(self) -> State:
        """What it would do with a call now."""
        with self._lock:
            return self._state()

    def _state(self) -> State:
        if self._opened is None:
            return "closed"
        return "half-open" if self._now() - self._opened >= self._reset_timeout else "open"

    def enter(self) -> bool:
        """Say whether a call may be made; in the half-open state that is one probe at a time."""
        if self._opened is None:
            return True
        with self._lock:
            state = self._state()
            if state == "half-open" and not self._probing:
                self._probing = True
                return True
            return state == "closed"

    def succeed(self) -> None:
        """Note that a call worked."""
        if self._failures or self._opened is not None:
            with self._lock:
                self._failures, self._opened, self._probing = 0, None, False

    def fail(self) -> None:
        """Note that a call failed because the backend did."""
        with self._lock:
            self._failures += 1
            if self._probing or (self._opened is None and self._failures >= self._threshold):
                self._opened = self._now()
            self._probing = False

    def leave(self) -> None:
        """Note that a call ended without telling anything about the backend."""
        if self._probing:
            with self._lock:
                self._probing = False

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork."""
        self._lock = threading.Lock()
