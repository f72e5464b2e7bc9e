"""What differs between the sides: waiting, deadlines, threads, one client per event loop.

The twin is `kv_core/sync/_runtime.py`; both export the same names, and both are written by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from types import CoroutineType, coroutine
from typing import Any, Final, Generic, ParamSpec, TypeAlias, TypeVar, cast

from kv_core.deadline import DEADLINE, begin, mark_unsent
from kv_core.errors import ConfigurationError, StoreClosedError

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C")
K = TypeVar("K", bound=Hashable)

Op: TypeAlias = Callable[P, Coroutine[Any, Any, T]]
"""A function that is awaited on this side, and called on the other."""

sleep = asyncio.sleep

BLOCKING_THREADS: Final = 32
"""How many blocking calls run at once in a process; further ones wait their turn."""


async def gather(*calls: Awaitable[T]) -> list[T]:
    """Make calls at once, and return their results in order; the first error is raised when all have ended."""
    try:
        results = await asyncio.gather(*calls, return_exceptions=True)
    except asyncio.CancelledError as error:
        mark_unsent(error, False)  # it may be that of one call which sent nothing, while others had
        raise
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast("list[T]", results)


async def within(seconds: float, fn: Op[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call *fn* and end it after *seconds*; a call that never waits costs no timer.

    Raises:
        TimeoutError: It did not end in time, or an earlier deadline had passed before it began.
    """
    token = begin(seconds)
    try:
        call = fn(*args, **kwargs)
        if not isinstance(call, CoroutineType):
            call = _coroutine(call)
        try:
            waiting = call.send(None)  # its first step runs at once, and only if it waits is a timer set
        except StopIteration as done:
            result: T = done.value
            return result
        return await _drive(call, waiting, seconds)
    finally:
        DEADLINE.reset(token)


interrupting = within
"""Like `within`; on the other side it ends a call that knows no deadline, too."""


async def _coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


@coroutine
def _drive(call: Coroutine[Any, Any, T], waiting: Any, seconds: float) -> Generator[Any, Any, T]:
    """Drive a coroutine by hand that is waiting for something, for so many seconds."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a deadline needs a running task")
    cancelled_before = task.cancelling() - _about_to_be_cancelled(task)
    fired = False

    def fire() -> None:
        nonlocal fired
        fired = True
        task.cancel()

    timer = task.get_loop().call_later(seconds, fire)
    try:
        while True:
            try:
                sent = yield waiting
            except GeneratorExit:
                call.close()
                raise
            except BaseException as thrown:  # noqa: BLE001 - whatever is thrown in belongs to the call
                waiting = call.throw(thrown)
            else:
                waiting = call.send(sent)
    except StopIteration as done:
        if fired:
            task.uncancel()
        _hear(task, cancelled_before)
        result: T = done.value
        return result
    except asyncio.CancelledError as cancelled:
        if fired and task.uncancel() <= cancelled_before:
            raise TimeoutError from cancelled
        raise
    except BaseException:
        if fired:
            task.uncancel()
        raise
    finally:
        timer.cancel()


def _hear(task: asyncio.Task[Any], cancelled_before: int) -> None:
    """Raise the cancellation that a client's library swallowed, as `asyncio.wait_for` may in Python 3.11."""
    if task.cancelling() > cancelled_before + _about_to_be_cancelled(task):
        raise asyncio.CancelledError from None


def _about_to_be_cancelled(task: asyncio.Task[Any]) -> bool:
    """Say whether a task was cancelled while it ran, as by a signal, and is yet to hear of it where it next waits."""
    return bool(getattr(task, "_must_cancel", False))


_executor: ThreadPoolExecutor | None = None
_executor_lock = threading.Lock()


async def run_blocking(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function in one of a bounded number of threads."""
    global _executor  # noqa: PLW0603 - one a process
    if _executor is None:
        with _executor_lock:
            if _executor is None:
                _executor = ThreadPoolExecutor(BLOCKING_THREADS, thread_name_prefix="kv-blocking")
    return await asyncio.get_running_loop().run_in_executor(_executor, lambda: fn(*args, **kwargs))


ByLoop: TypeAlias = dict[asyncio.AbstractEventLoop, tuple[C, AsyncGenerator[None, None]]]


class SingleFlight(Generic[K, T]):
    """Let callers that ask for the same at the same time share one call, which goes on if one of them is cancelled."""

    def __init__(self) -> None:
        self._flights: dict[K, dict[asyncio.AbstractEventLoop, asyncio.Task[T]]] = {}

    async def run(self, key: K, fn: Op[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the call under way for *key* returns or raises; make it if there is none.

        The call knows no deadline, since those who wait for it may have different ones.
        """
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key, {}).get(loop)
        if flight is None or flight.done():
            context = copy_context()
            context.run(DEADLINE.set, None)
            flight = loop.create_task(fn(*args, **kwargs), context=context)
            self._flights.setdefault(key, {})[loop] = flight
            flight.add_done_callback(partial(self._landed, key, loop))
        return await asyncio.shield(flight)

    def forget(self, key: K) -> None:
        """Let nobody join the calls under way for *key*: what they return may be out of date."""
        self._flights.pop(key, None)

    def forget_all(self) -> None:
        """Let nobody join any call under way."""
        self._flights.clear()

    def _landed(self, key: K, loop: asyncio.AbstractEventLoop, flight: asyncio.Task[T]) -> None:
        flights = self._flights.get(key)
        if flights is not None and flights.get(loop) is flight:
            del flights[loop]
            if not flights:
                self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # everybody who asked may have gone


class PerLoop(Generic[C]):
    """One client for each event loop, made on first use and closed when its loop ends.

    A generator is left suspended on the loop: `asyncio.run` and every runner that calls `shutdown_asyncgens`
    closes it at the end, while the client can still wait for its sockets. After a fork the child starts anew.
    """

    def __init__(self, make: Callable[[], C], close: Op[[C], object]) -> None:
        self._make = make
        self._close = close
        self._by_loop: ByLoop[C] = {}
        self._closed = False
        _live.add(self)
        weakref.finalize(self, _abandon, self._by_loop).atexit = False

    def current(self) -> C | None:
        """Return the client of the running loop, or None if it has none yet."""
        found = self._by_loop.get(asyncio.get_running_loop())
        return None if found is None else found[0]

    async def open(self) -> C:
        """Return the client of the running loop; make it if there is none.

        Raises:
            StoreClosedError: `close` was called.
        """
        if self._closed:
            raise StoreClosedError
        loop = asyncio.get_running_loop()
        for known in list(self._by_loop):
            if known.is_closed():
                self._by_loop.pop(known, None)
        client = self.current()
        if client is None:
            client = self._make()
            keeper = _keep(loop, client, self._close, self._by_loop)
            self._by_loop[loop] = client, keeper  # nothing waits between look-up and entry: one client a loop
            await anext(keeper)
        return client

    async def close(self) -> None:
        """Close every loop's client, each in its own loop; closing twice is closing once."""
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, (_, keeper) in list(self._by_loop.items()):
            if loop is here:
                await keeper.aclose()
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(_aclose(keeper), loop)
                await asyncio.wrap_future(closing)
            else:
                self._by_loop.pop(loop, None)

    def forget(self) -> None:
        """Drop the clients without closing them, as a child does with its parent's after a fork."""
        _graves.append(self._by_loop.copy())  # never collected, or the parent's sockets would be closed
        self._by_loop.clear()


async def _keep(
    loop: asyncio.AbstractEventLoop, client: C, close: Op[[C], object], by_loop: ByLoop[C]
) -> AsyncGenerator[None, None]:
    """Wait to be closed, and close the client; whoever made it may be gone by then."""
    try:
        yield
    finally:
        by_loop.pop(loop, None)
        await close(client)


def _abandon(by_loop: ByLoop[Any]) -> None:
    """Let every loop close the client of a store that nobody holds any more."""
    for loop, (_, keeper) in list(by_loop.items()):
        with contextlib.suppress(RuntimeError):  # the loop was closed, and the client with it
            loop.call_soon_threadsafe(_finish, keeper)


def _finish(keeper: AsyncGenerator[None, None]) -> None:
    task = asyncio.get_running_loop().create_task(_aclose(keeper))
    _finishing.add(task)
    task.add_done_callback(_finishing.discard)


async def _aclose(keeper: AsyncGenerator[None, None]) -> None:
    await keeper.aclose()


class Borrowed(Generic[C]):
    """A client that the user made: never closed here, and bound to the first loop it is used in."""

    def __init__(self, client: C) -> None:
        self._client = client
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def current(self) -> C | None:
        """Return the client if it may be used in the running loop, else None."""
        return self._client if self._loop is asyncio.get_running_loop() and not self._closed else None

    async def open(self) -> C:
        """Return the client, and bind it to the running loop.

        Raises:
            StoreClosedError: `close` was called.
            ConfigurationError: The client belongs to another loop.
        """
        if self._closed:
            raise StoreClosedError
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise ConfigurationError(
                "The client that was passed in belongs to another event loop; pass a url= instead, "
                "so that the store makes a client for each loop."
            )
        return self._client

    async def close(self) -> None:
        """Let go of the client, which stays open."""
        self._closed = True


Clients: TypeAlias = PerLoop[C] | Borrowed[C]

_live: weakref.WeakSet[PerLoop[Any]] = weakref.WeakSet()
_graves: list[object] = []
_finishing: set[asyncio.Task[None]] = set()


def _after_fork_in_child() -> None:
    global _executor, _executor_lock
    _graves.append(_executor)
    _executor, _executor_lock = None, threading.Lock()
    for clients in list(_live):
        clients.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
