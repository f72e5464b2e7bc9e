"""What a Memcached store does with a server's items: each method is one job on a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from time import monotonic
from typing import NamedTuple, TypeVar

from kv_core import codec
from kv_core.decisions import Action, Decision, Written
from kv_core.errors import BaseKeyValueError, DeserializationError, EntryTooLargeError
from kv_core.memcached_client import CHUNK, Connection
from kv_core.memcached_errors import refused
from kv_core.memcached_items import (
    DESTROYED,
    ITEM_OVERHEAD,
    MAX_NAME,
    Generation,
    Item,
    exptime,
    generation,
    record_name,
)
from kv_core.ttl import Clock, remaining

T = TypeVar("T")


class Spot(NamedTuple):
    """An entry's key, and the name of its item."""

    key: str
    name: bytes


class Put(NamedTuple):
    """An entry to write: its key, the name of its item, its bytes, and its ttl in seconds."""

    key: str
    name: bytes
    data: bytes
    ttl: float | None


class MemcachedTable:
    """The items of one store; its methods are jobs for whoever has the connection."""

    def __init__(self, clock: Clock, store: str) -> None:
        self._clock = clock
        self._store = store

    def read(self, connection: Connection, collection: str, spot: Spot) -> bytes | None:
        """Return an entry's bytes."""
        return self.read_many(connection, collection, [spot])[0]

    def read_many(self, connection: Connection, collection: str, spots: Sequence[Spot]) -> list[bytes | None]:
        """Return the bytes of entries, in one round trip for each `CHUNK` of them."""
        record = _record(connection, collection)
        data: list[bytes | None] = []
        for some in _chunks(spots):
            items = connection.get([record, *[spot.name for spot in some]])
            holding = generation(items.get(record))
            for spot in some:
                item = items.get(spot.name)
                data.append(item.data if item is not None and holding.holds(item) else None)
        return data

    def put(self, connection: Connection, collection: str, put: Put) -> None:
        """Keep an entry."""
        self._fits(connection, collection, put)
        number = self._number(connection, collection)
        connection.set(put.name, put.data, number, exptime(put.ttl, self._clock.now()))

    def put_many(self, connection: Connection, collection: str, puts: Sequence[Put]) -> dict[str, BaseKeyValueError]:
        """Keep entries, in one round trip for each `CHUNK` of them; return the error of each that was refused."""
        for put in puts:
            self._fits(connection, collection, put)
        number = self._number(connection, collection)
        now = self._clock.now()
        failed: dict[str, BaseKeyValueError] = {}
        for some in _chunks(puts):
            lines = [
                connection.store_line(b"set", name, data, number, exptime(ttl, now)) for _, name, data, ttl in some
            ]
            for put, reply in zip(some, connection.send_all(lines), strict=True):
                if reply != b"STORED":
                    failed[put.key] = refused(reply.decode(errors="replace"), self._store)
        return failed

    def put_if(self, connection: Connection, collection: str, put: Put, present: bool) -> bool:
        """Keep an entry if there is one, or if there is none."""
        self._fits(connection, collection, put)
        now = self._clock.now()
        if not present:
            number = self._number(connection, collection)
            if connection.add(put.name, put.data, number, exptime(put.ttl, now)):
                return True

        def decide(data: bytes | None) -> Decision[bool]:
            if (data is not None) is not present:
                return False, Action.LEAVE
            return True, Written(put.data, None)

        return self._change(connection, collection, Spot(put.key, put.name), decide, exptime(put.ttl, now))

    def remove_many(self, connection: Connection, collection: str, spots: Sequence[Spot]) -> int:
        """Delete entries; return how many there were."""
        removed = 0
        for some in _chunks(spots):
            left: Sequence[Spot] = some
            while left:
                count, left = self._remove(connection, collection, left)
                removed += count
        return removed

    def _remove(self, connection: Connection, collection: str, spots: Sequence[Spot]) -> tuple[int, list[Spot]]:
        """Delete entries; return how many there were, and those that somebody changed meanwhile."""
        record = _record(connection, collection)
        items = connection.gets([record, *[spot.name for spot in spots]])
        holding = _holding(items.get(record))
        there = [
            spot
            for spot in spots
            if spot.name in items and self._lives(holding, items[spot.name][0], collection, spot.key)
        ]
        lines = [connection.store_line(b"cas", spot.name, b"", 0, -1, token=items[spot.name][1]) for spot in there]
        replies = connection.send_all(lines) if lines else []
        changed = [spot for spot, reply in zip(there, replies, strict=True) if reply == b"EXISTS"]
        return replies.count(b"STORED"), changed

    def change(
        self,
        connection: Connection,
        collection: str,
        spot: Spot,
        decide: Callable[[bytes | None], Decision[T]],
    ) -> T:
        """Let *decide* see an entry's bytes and say what becomes of it; again if somebody changed it meanwhile."""
        return self._change(connection, collection, spot, decide, None)

    def _change(
        self,
        connection: Connection,
        collection: str,
        spot: Spot,
        decide: Callable[[bytes | None], Decision[T]],
        expires: int | None,
    ) -> T:
        record = _record(connection, collection)
        while True:
            items = connection.gets([record, spot.name])
            holding = _holding(items.get(record))
            item, token = items.get(spot.name, (None, b""))
            lives = item is not None and self._lives(holding, item, collection, spot.key)
            answer, action = decide(item.data if item is not None and lives else None)
            if action is Action.LEAVE:
                return answer
            if action is Action.DROP:
                done = connection.cas(spot.name, b"", token, expires=-1)
            else:
                self._fits(connection, collection, Put(spot.key, spot.name, action.data, None))
                number = self._number(connection, collection) if holding.number is None else holding.number
                ends = self._exptime(action.expires_at) if expires is None else expires
                if item is None:
                    done = connection.add(spot.name, action.data, number, ends)
                else:
                    done = connection.cas(spot.name, action.data, token, number, ends)
            if done:
                return answer

    def clear(self, connection: Connection, collection: str) -> bool:
        """Let all items of a collection count as absent; return whether any was put since the last time."""
        record = _record(connection, collection)
        while True:
            connection.known.lost(collection)
            item, token = connection.gets([record]).get(record, (None, b""))
            if item is None:
                if connection.add(record, DESTROYED.record()):
                    return False
            elif generation(item) == DESTROYED:
                return False
            elif connection.cas(record, DESTROYED.record(), token):
                return True

    @staticmethod
    def ping(connection: Connection) -> None:
        """Ask for a sign of life."""
        connection.version()

    def _number(self, connection: Connection, collection: str) -> int:
        """Return the number of a collection's generation; begin one if there is none."""
        number = connection.known.generation(collection)
        if number is not None:
            return number
        record = _record(connection, collection)
        while True:
            since = monotonic()
            item, token = connection.gets([record]).get(record, (None, b""))
            number = generation(item).number
            if number is None:
                fresh = generation(item).next()
                if item is None:
                    done = connection.add(record, fresh.record())
                else:
                    done = connection.cas(record, fresh.record(), token)
                number = fresh.number if done else None
            if number is not None:
                connection.known.saw(collection, number, since)
                return number

    def _lives(self, holding: Generation, item: Item, collection: str, key: str) -> bool:
        """Say whether an item is an entry of its collection that has not ended; one that cannot be read has not."""
        if not holding.holds(item):
            return False
        try:
            ends = codec.decode(item.data, collection, key).expires_at
        except DeserializationError:
            return True
        return ends is None or ends > self._clock.now()

    def _exptime(self, ends: datetime | None) -> int:
        now = self._clock.now()
        return exptime(remaining(ends, now), now)

    def _fits(self, connection: Connection, collection: str, put: Put) -> None:
        """Refuse what the server would refuse: it drops the old item then."""
        room = connection.item_size() - ITEM_OVERHEAD - len(connection.prefix) - len(put.name)
        if len(put.data) > room:
            raise EntryTooLargeError(
                f"{put.key!r} in {collection!r} is {len(put.data):,} bytes as it is sent; "
                f"the server takes {room:,} (see its option -I).",
                key=put.key,
                collection=collection,
            )


def _record(connection: Connection, collection: str) -> bytes:
    return record_name(collection, MAX_NAME - len(connection.prefix))


def _holding(found: tuple[Item, bytes] | None) -> Generation:
    return generation(None if found is None else found[0])


def _chunks(things: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(things), CHUNK):
        yield things[start : start + CHUNK]
