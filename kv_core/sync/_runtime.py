"""What differs between the sides: waiting, deadlines, threads, one client per process.

The twin is `kv_core/aio/_runtime.py`; both export the same names, and both are written by hand.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final, Generic, ParamSpec, TypeAlias, TypeVar

from kv_core.deadline import DEADLINE, begin, deadline, left, mark_unsent
from kv_core.errors import StoreClosedError, StoreTimeoutError
from kv_core.forks import renew_after_fork

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C")
K = TypeVar("K", bound=Hashable)

Op: TypeAlias = Callable[P, T]
"""A function that is called on this side, and awaited on the other."""

sleep = time.sleep

BLOCKING_THREADS: Final = 32
"""How many calls that may be interrupted run at once in a process; further ones wait their turn."""


def gather(*results: T) -> list[T]:
    """Return the results of calls that have been made one after the other."""
    return list(results)


def within(seconds: float, fn: Op[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call *fn* with a deadline that the stores' clients turn into socket timeouts.

    Raises:
        TimeoutError: It did not end in time, or there was no time left to begin.
    """
    token = begin(seconds)
    try:
        return fn(*args, **kwargs)
    finally:
        DEADLINE.reset(token)


def interrupting(seconds: float, fn: Op[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call *fn* in one of a bounded number of threads, and stop waiting for it after *seconds*; it may still go on.

    Raises:
        TimeoutError: It did not end in time.
    """
    global _executor  # noqa: PLW0603 - one a process
    with _executor_lock:
        if _executor is None:
            _executor = ThreadPoolExecutor(BLOCKING_THREADS, thread_name_prefix="kv-interrupting")
        executor = _executor
    with deadline(seconds):
        context = copy_context()
        future = executor.submit(context.run, partial(fn, *args, **kwargs))
        try:
            return future.result(left(seconds))
        except TimeoutError as error:
            if future.done():
                raise
            if future.cancel():
                mark_unsent(error)
            raise


_executor: ThreadPoolExecutor | None = None
_executor_lock = threading.Lock()


def run_blocking(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function."""
    return fn(*args, **kwargs)


class SingleFlight(Generic[K, T]):
    """Let callers that ask for the same at the same time share one call."""

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[T]] = {}
        self._lock = threading.Lock()
        renew_after_fork(self)

    def run(self, key: K, fn: Op[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the call under way for *key* returns or raises; make it if there is none.

        Raises:
            StoreTimeoutError: It did not end by this caller's deadline.
        """
        mine: _Flight[T] = _Flight(bounded=DEADLINE.get() is not None)
        with self._lock:
            flight = self._flights.setdefault(key, mine)
        if flight is not mine:
            try:
                return self._wait(flight)
            except CancelledError:
                return self.run(key, fn, *args, **kwargs)  # its thread was interrupted: this one is not
            except TimeoutError:
                if not (flight.bounded and flight.done()):
                    raise
            return fn(*args, **kwargs)  # it ended by the deadline of the one who made it, which is not this one's
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:
            self._landed(key, mine)
            if isinstance(error, Exception):
                mine.set_exception(error)
            else:
                mine.cancel()
            raise
        self._landed(key, mine)
        mine.set_result(result)
        return result

    def forget(self, key: K) -> None:
        """Let nobody join the call under way for *key*: what it returns may be out of date."""
        with self._lock:
            self._flights.pop(key, None)

    def forget_all(self) -> None:
        """Let nobody join any call under way."""
        with self._lock:
            self._flights.clear()

    @staticmethod
    def _wait(flight: _Flight[T]) -> T:
        try:
            return flight.result(left(3600.0))
        except TimeoutError as error:
            if flight.done():
                return flight.result()
            message = "Another caller's call for the same did not end by this one's deadline."
            raise StoreTimeoutError(message, outcome="not_applied") from error

    def _landed(self, key: K, flight: _Flight[T]) -> None:
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork, in which nobody else is calling."""
        self._lock = threading.Lock()
        self._flights = {}


class _Flight(Future[T]):
    """A call under way, and whether a deadline of the one who makes it may end it."""

    def __init__(self, *, bounded: bool) -> None:
        super().__init__()
        self.bounded = bounded


class PerLoop(Generic[C]):
    """One client for each process, made on first use. After a fork the child starts anew."""

    def __init__(self, make: Callable[[], C], close: Op[[C], object]) -> None:
        self._make = make
        self._close = close
        self._client: C | None = None
        self._made: list[C] = []
        self._closed = False
        self._lock = threading.Lock()
        _live.add(self)
        weakref.finalize(self, _close_unheld, self._made, close).atexit = False

    def current(self) -> C | None:
        """Return the client, or None if there is none yet."""
        return self._client

    def open(self) -> C:
        """Return the client; make it if there is none.

        Raises:
            StoreClosedError: `close` was called.
        """
        with self._lock:
            if self._closed:
                raise StoreClosedError
            if self._client is None:
                self._client = self._make()
                self._made.append(self._client)
            return self._client

    def close(self) -> None:
        """Close the client; closing twice is closing once."""
        with self._lock:
            self._closed = True
            self._client = None
        _close_each(self._made, self._close)

    def forget(self) -> None:
        """Drop the client without closing it, as a child does with its parent's after a fork."""
        _graves.append(self._made.copy())  # never collected, or the parent's sockets would be closed
        self._made.clear()
        self._client, self._lock = None, threading.Lock()


def _close_each(clients: list[C], close: Op[[C], object]) -> None:
    """Close a client, if there is one."""
    while clients:
        close(clients.pop())


def _close_unheld(clients: list[C], close: Op[[C], object]) -> None:
    """Close the client of a store that nobody holds any more, as the garbage collector calls.

    In Python 3.11 it may call from inside a change of the current context, which does not survive another one: a
    context variable that the client's library sets is set in a context of its own.
    """
    Context().run(_close_each, clients, close)


class Borrowed(Generic[C]):
    """A client that the user made: never closed here."""

    def __init__(self, client: C) -> None:
        self._client = client
        self._closed = False

    def current(self) -> C | None:
        """Return the client, or None if the store was closed."""
        return None if self._closed else self._client

    def open(self) -> C:
        """Return the client.

        Raises:
            StoreClosedError: `close` was called.
        """
        if self._closed:
            raise StoreClosedError
        return self._client

    def close(self) -> None:
        """Let go of the client, which stays open."""
        self._closed = True


Clients: TypeAlias = PerLoop[C] | Borrowed[C]

_live: weakref.WeakSet[PerLoop[Any]] = weakref.WeakSet()
_graves: list[object] = []


def _after_fork_in_child() -> None:
    global _executor, _executor_lock
    _graves.append(_executor)
    _executor, _executor_lock = None, threading.Lock()
    for clients in list(_live):
        clients.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
