"""Count the round trips that operations make, by a relay between a store and its server."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxy import hang_up

from kv_core.capabilities import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stores import Handle

TRIES = 4
"""The least of so many counts is taken: drivers now and then ask on their own how the server is."""

MANY = [f"key {number}" for number in range(10)]
CALLS: dict[str, tuple[Any, ...]] = {
    "get": ("key",),
    "get_many": (MANY,),
    "ttl": ("key",),
    "ttl_many": (MANY,),
    "put": ("key", {"n": 1}),
    "put_many": (MANY, [{"n": 1}] * len(MANY)),
    "delete": ("key",),
    "delete_many": (MANY,),
    "put_if_absent": ("new", {"n": 1}),
    "put_if_present": ("key", {"n": 1}),
    "get_with_revision": ("key",),
    "put_if_unchanged": ("key", {"n": 1}),
    "delete_if_unchanged": ("key",),
    "touch": ("key",),
    "increment": ("key",),
    "keys": (),
    "iter_keys": (),
    "collections": (),
    "destroy_collection": ("default_collection",),
    "destroy": (),
    "cull": (),
    "ping": (),
}


class Relay:
    """Hand bytes on in both directions, and count how often a client speaks after it was answered."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(netloc=f"127.0.0.1:{self._listener.getsockname()[1]}").geturl()
        self._sockets = [self._listener]
        self._lock = threading.Lock()
        self._asking: set[socket.socket] = set()
        self.turns = 0
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target: Any, *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(one)
            self._start(self._relay, client, server, client)
            self._start(self._relay, server, client, client)

    def _relay(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                with self._lock:
                    if source is not client:
                        self._asking.discard(client)
                    elif client not in self._asking:
                        self._asking.add(client)
                        self.turns += 1
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            hang_up(one)

    def close(self) -> None:
        """End all connections and threads."""
        for one in self._sockets:
            hang_up(one)
        for thread in self._threads:
            thread.join(5)
        for one in self._sockets:
            one.close()


@contextmanager
def relayed(url: str) -> Iterator[Relay]:
    """Give a relay to a server."""
    relay = Relay(url)
    try:
        yield relay
    finally:
        relay.close()


def count(store: Handle, relay: Relay, operation: str) -> int:
    """Return how many round trips an operation takes that finds what it is about, after a first one."""
    counts = []
    for _ in range(TRIES):
        store.call("put_many", ["key", *MANY], [{"value": 1}] * (len(MANY) + 1))
        store.call("delete", "new")
        arguments, options = CALLS[operation], {"ttl": 60} if operation == "touch" else {}
        if operation.endswith("_if_unchanged"):
            arguments += (store.call("get_with_revision", "key")[1],)
        before = relay.turns
        store.call(operation, *arguments, **options)
        counts.append(relay.turns - before)
    return min(counts)


def counts(store: Handle, relay: Relay) -> dict[str, int]:
    """Return the round trips of every operation that the store has."""
    return {operation: count(store, relay, operation) for operation in OPERATIONS if operation in store.can}
