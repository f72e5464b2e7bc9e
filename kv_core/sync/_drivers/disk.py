"""One connection to a disk store's database for each thread. The twin is `kv_core/aio/_drivers/disk.py`."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from kv_core.deadline import left
from kv_core.disk_format import Connection, connect, patiently
from kv_core.errors import StoreClosedError

T = TypeVar("T")


class Client:
    """A disk store's database, which each thread uses through a connection of its own."""

    def __init__(self, directory: Path, timeout: float, *, evicts: bool) -> None:
        self._directory = directory
        self._timeout = timeout
        self._evicts = evicts
        self._closed = False
        self._begin()
        _live.add(self)

    def _begin(self) -> None:
        self._own = threading.local()
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._finalizer = weakref.finalize(self, _close, self._connections)

    def read(self, job: Callable[..., T], *args: Any) -> T:
        """Do a job that changes nothing."""
        return self.write(job, *args)

    def write(self, job: Callable[..., T], *args: Any) -> T:
        """Do a job that may change something."""
        until = monotonic() + left(self._timeout)
        connection: Connection = getattr(self._own, "connection", None) or self._open(until)
        with connection.turn:
            self._check()
            return patiently(until, self._check, job, connection, *args)

    def _check(self) -> None:
        if self._closed:
            raise StoreClosedError("The store was closed; make a new one.")

    def _open(self, until: float) -> Connection:
        connection = patiently(until, self._check, connect, self._directory, evicts=self._evicts)
        with self._lock:
            ended = [known for known, thread in self._connections.items() if not thread.is_alive()]
            for known in ended:
                del self._connections[known]
                known.close()
            self._connections[connection] = threading.current_thread()
        self._own.connection = connection
        if self._closed:
            _close(self._connections)
        return connection

    def close(self) -> None:
        """Close the connections of all threads, when they have ended what they are doing."""
        self._closed = True
        with self._lock:
            _close(self._connections, self._timeout)

    def forget(self) -> None:
        """Drop the connections without closing them, as a child does with its parent's after a fork."""
        self._finalizer.detach()
        _graves.append((self._connections, self._own))  # closing them would touch the parent's locks
        self._begin()


def _close(connections: dict[Connection, threading.Thread], seconds: float = 0.1) -> None:
    while connections:
        connection, _ = connections.popitem()
        if connection.turn.acquire(timeout=seconds):
            try:
                connection.close()
            finally:
                connection.turn.release()


_live: weakref.WeakSet[Client] = weakref.WeakSet()
_graves: list[object] = []


def _after_fork_in_child() -> None:
    for client in list(_live):
        client.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
