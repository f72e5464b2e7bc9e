"""The state of a circuit breaker, which the twins of both sides share."""

from __future__ import annotations

import threading
from typing import Literal

from kv_core.forks import renew_after_fork
from kv_core.ttl import SYSTEM_CLOCK, Clock

State = Literal["closed", "open", "half-open"]


class Breaker:
    """Closed until failures in a row reach a threshold; then open for a while; then half-open for one probe.

    See https://martinfowler.com/bliki/CircuitBreaker.html. Each call that is let in gets the number of the era it
    began in; what ends in a later era (a call from before the breaker opened, say) no longer counts.
    """

    def __init__(self, threshold: int, reset_timeout: float, clock: Clock = SYSTEM_CLOCK) -> None:
        """Begin closed.

        Args:
            threshold: Failures in a row that open it.
            reset_timeout: Seconds until a probe is let through.
            clock: Its monotonic hand is read.
        """
        self._threshold, self._reset_timeout, self._now = threshold, reset_timeout, clock.monotonic
        self._era = 1
        self._failures = 0
        self._opened: float | None = None
        self._probing = False
        self._lock = threading.Lock()
        renew_after_fork(self)

    @property
    def state(self) -> State:
        """What it would do with a call now, were no probe out."""
        with self._lock:
            if self._opened is None:
                return "closed"
            return "half-open" if self._now() - self._opened >= self._reset_timeout else "open"

    def enter(self) -> int | None:
        """Return the era in which a call begins, or None if it may not be made."""
        era = self._era  # before `_opened`: the two are read without the lock
        return era if self._opened is None else self._probe()

    def _probe(self) -> int | None:
        with self._lock:
            if self._opened is not None:
                if self._probing or self._now() - self._opened < self._reset_timeout:
                    return None
                self._probing = True
                self._era += 1
            return self._era

    def succeed(self, era: int) -> None:
        """Note that a call worked that began in *era*."""
        if self._failures or self._opened is not None:
            with self._lock:
                if era == self._era:
                    self._failures, self._opened, self._probing = 0, None, False

    def fail(self, era: int) -> None:
        """Note that a call failed because the backend did."""
        with self._lock:
            if era == self._era:
                self._failures += 1
                if self._probing or self._failures >= self._threshold:
                    self._opened, self._probing = self._now(), False
                    self._era += 1

    def leave(self, era: int) -> None:
        """Note that a call ended without telling anything about the backend."""
        if self._probing:
            with self._lock:
                if era == self._era:
                    self._probing = False

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork; a probe that is out is the parent's."""
        self._lock = threading.Lock()
        self._probing = False
