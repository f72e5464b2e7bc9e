"""Connections to one Memcached server: no more than a limit, each used by one call, kept for the next if it is clean.

A connection on which a call did not end with its reply is closed, whatever ended it, so that nobody reads somebody
else's reply. What a caller has sent who was cancelled lands before the next call is sent, so that it does not replace
what that one writes: the server has several threads, and answers connections in no order.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Concatenate, Final, ParamSpec, TypeVar

from kv_core.errors import BaseKeyValueError, StoreClosedError
from kv_core.forks import renew_after_fork
from kv_core.memcached_client import Call, Connection, Known
from kv_core.memcached_options import Address, Servers

P = ParamSpec("P")
T = TypeVar("T")

_MOMENT: Final = 0.05
"""For how many seconds a call waits for one whose caller has gone: many times as long as a server takes to answer."""


class Node:
    """One server, and the connections to it: made when needed, kept for the next call, no more than a limit."""

    def __init__(self, name: str, address: Address, servers: Servers) -> None:
        self.name = name
        self.known = Known()
        self._address = address
        self._servers = servers
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._given_up: set[Call] = set()
        self._closed = False
        self._permits = _permits(servers.max_connections)
        weakref.finalize(self, _close_all, self._idle)
        renew_after_fork(self)

    def run(self, call: Call, job: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a job on a connection that nobody else uses.

        Raises:
            StoreClosedError: `close` was called.
            TimeoutError: The call did not end in time.
        """
        permits = self._permits
        try:
            permits.get(timeout=call.left())
        except Empty:
            raise TimeoutError from None
        try:
            if self._closed:
                raise StoreClosedError
            if self._given_up:
                self._let_land(call)
            return self._run(call, job, *args, **kwargs)
        finally:
            call.ended = True
            self._given_up.discard(call)
            permits.put(None)

    def give_up(self, call: Call, error: BaseException) -> None:
        """Hear that nobody waits for a call any more, and mark what ended it if nothing was sent."""
        call.failed(error)
        if call.sent:
            self._given_up.add(call)
            if call.ended:  # which is set before the call is taken out
                self._given_up.discard(call)

    def _let_land(self, call: Call) -> None:
        until = monotonic() + min(_MOMENT, call.left())
        before = self._given_up.copy()
        while not before.isdisjoint(self._given_up) and monotonic() < until:
            sleep(0.0001)
        self._given_up.difference_update(before)  # what takes longer lands whenever it does, and holds nobody else up

    def _run(self, call: Call, job: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = Connection(self._address, self._servers, self.known)
        self._busy.add(connection)
        try:
            connection.begin(call)
            answer = job(connection, *args, **kwargs)
        except BaseKeyValueError:
            self._keep(connection)  # ours is said between replies
            raise
        except BaseException as error:
            connection.close()
            if self._closed and isinstance(error, Exception):
                raise StoreClosedError(outcome="unknown" if call.sent else "not_applied") from error
            raise
        else:
            self._keep(connection)
        finally:
            self._busy.discard(connection)
        return answer

    def _keep(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the connections; a call that is out ends with StoreClosedError."""
        self._closed = True
        _close_all(self._idle)
        for connection in list(self._busy):
            connection.hang_up()

    def renew_lock(self) -> None:
        """Leave the parent's connections to it, as a child does after a fork."""
        _close_all(self._idle)  # its own descriptors; the parent's stay open
        for connection in self._busy:
            connection.close()
        self._busy.clear()
        self._given_up.clear()
        self._permits = _permits(self._servers.max_connections)


def _permits(count: int) -> SimpleQueue[None]:
    permits: SimpleQueue[None] = SimpleQueue()  # a fifth of the time that threading.Semaphore takes
    for _ in range(count):
        permits.put(None)
    return permits


def _close_all(connections: deque[Connection]) -> None:
    while connections:
        connections.pop().close()
