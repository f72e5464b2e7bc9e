"""Connections to a disk store's databases, its own for each thread. The twin is `kv_core/aio/_drivers/disk.py`."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from kv_core.deadline import left
from kv_core.disk_databases import Connect, Databases
from kv_core.disk_format import patiently
from kv_core.errors import StoreClosedError

T = TypeVar("T")


class Client:
    """A disk store's databases, which each thread uses through connections of its own."""

    def __init__(self, connect: Connect, timeout: float, *, most: int = 1) -> None:
        self._connect = connect
        self._timeout = timeout
        self._most = most
        self._closed = False
        self._begin()
        _live.add(self)

    def _begin(self) -> None:
        self._own = threading.local()
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, Databases] = {}
        self._finalizer = weakref.finalize(self, _close, self._open)

    def write(self, place: str, make: bool, job: Callable[..., T], *args: Any) -> T:
        """Do a job; *make* the database if there is none."""
        until = monotonic() + left(self._timeout)
        try:
            databases: Databases = self._own.databases
        except AttributeError:
            databases = self._join()
        with databases.turn:
            self._check()
            connection = databases.get(place) or patiently(until, self._check, databases.open, place, make)
            return patiently(until, self._check, job, connection, *args)

    read = write  # each thread has its own connections, so that nobody waits for a writer

    def _check(self) -> None:
        if self._closed:
            raise StoreClosedError

    def _join(self) -> Databases:
        """Return the databases of this thread, which may be new, and close those of threads that have ended."""
        thread = threading.current_thread()
        with self._lock:
            for ended in [known for known in self._open if not known.is_alive()]:
                self._open.pop(ended).close()
            databases = self._open.setdefault(thread, Databases(self._connect, self._most))
        self._own.databases = databases
        return databases

    def close(self) -> None:
        """Close the connections of all threads, when they have ended what they are doing."""
        self._closed = True
        with self._lock:
            _close(self._open, self._timeout)

    def forget(self) -> None:
        """Drop the connections without closing them, as a child does with its parent's after a fork."""
        self._finalizer.detach()
        _graves.append((self._open, self._own))  # closing them would touch the parent's locks
        self._begin()


def _close(databases: dict[threading.Thread, Databases], seconds: float = 0.1) -> None:
    while databases:
        _, own = databases.popitem()
        if own.turn.acquire(timeout=seconds):
            try:
                own.close()
            finally:
                own.turn.release()


_live: weakref.WeakSet[Client] = weakref.WeakSet()
_graves: list[object] = []


def _after_fork_in_child() -> None:
    for client in list(_live):
        client.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
