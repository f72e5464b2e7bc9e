"""Count the round trips that operations make, by a relay between a store and its server."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxy import Relay

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


class Counting(Relay):
    """Count how often a client speaks after it was answered."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._lock = threading.Lock()
        self._asking: set[socket.socket] = set()
        self.turns = 0
        super().__init__(parts.hostname, parts.port)
        self.url = parts._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    def _ask(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        with self._lock:
            if client not in self._asking:
                self._asking.add(client)
                self.turns += 1
        return super()._ask(data, client, server)

    def _answer(self, data: bytes, server: socket.socket, client: socket.socket) -> bool:
        with self._lock:
            self._asking.discard(client)
        return super()._answer(data, server, client)


@contextmanager
def relayed(url: str) -> Iterator[Counting]:
    """Give a relay to a server."""
    relay = Counting(url)
    try:
        yield relay
    finally:
        relay.close()


def count(store: Handle, relay: Counting, operation: str) -> int:
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


def counts(store: Handle, relay: Counting) -> dict[str, int]:
    """Return the round trips of every operation that the store has."""
    return {operation: count(store, relay, operation) for operation in OPERATIONS if operation in store.can}
