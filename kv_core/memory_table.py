"""The entries of memory stores: dicts under a lock, which the twins of both sides share."""

from __future__ import annotations

import heapq
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import count
from typing import Final

from msgspec import Struct

from kv_core.forks import renew_after_fork
from kv_core.ttl import Keep, KeptTTL, When

Now = Callable[[], float]


class Record(Struct, frozen=True, gc=False):
    """An entry's bytes, when it ends on the monotonic clock (seconds), and a number that no other state has."""

    data: bytes
    ends: float | None
    serial: int


class MemoryTable:
    """Collections of records. Expired ones are dropped as others are written or listed, without a thread."""

    def __init__(self) -> None:
        self._collections: dict[str, OrderedDict[str, Record]] = {}
        self._ends: list[tuple[float, int, str, str]] = []
        self._enough = 64
        self._serial = count(1)
        self.lock = threading.RLock()
        renew_after_fork(self)

    def read(self, collection: str, key: str, now: Now, *, mark: bool = False) -> Record | None:
        """Return a record that has not ended; *mark* it as recently used."""
        entries = self._collections.get(collection)
        if entries is None:
            return None
        record = entries.get(key)
        if record is None or (record.ends is not None and record.ends <= now()):
            return None
        if mark:
            with self.lock:
                if key in entries:
                    entries.move_to_end(key)
        return record

    def write(
        self,
        collection: str,
        key: str,
        data: bytes,
        ttl: float | None,
        now: Now,
        *,
        when: When = "always",
        limit: int | None = None,
        evict: int = 1,
    ) -> bool:
        """Keep a record if the condition holds; return whether it did. Beyond *limit* drop *evict* others."""
        with self.lock:
            time = now()
            if self._ends and self._ends[0][0] <= time:
                self._drop_ended(time)
            if when != "always" and (self.read(collection, key, lambda: time) is not None) != (when == "present"):
                return False
            self._keep(collection, key, data, None if ttl is None else time + ttl)
            if limit is not None:
                self._collections[collection].move_to_end(key)  # written is used
                self._evict(collection, limit, evict)
            return True

    def write_many(
        self,
        collection: str,
        records: Iterable[tuple[str, bytes, float | None]],
        now: Now,
        *,
        limit: int | None = None,
        evict: int = 1,
    ) -> None:
        """Keep several records in one step."""
        with self.lock:
            for key, data, ttl in records:
                self.write(collection, key, data, ttl, now, limit=limit, evict=evict)

    def remove(self, collection: str, key: str, now: Now) -> bool:
        """Drop a record; return whether there was one that had not ended."""
        with self.lock:
            entries = self._collections.get(collection)
            record = None if entries is None else entries.pop(key, None)
            if entries is not None and not entries:
                del self._collections[collection]
            return record is not None and (record.ends is None or record.ends > now())

    def swap(self, collection: str, key: str, serial: int, data: bytes | None, ttl: KeptTTL, now: Now) -> bool:
        """Replace a record's bytes, or drop it (None), if it is still the one with this serial number."""
        with self.lock:
            record = self.read(collection, key, now)
            if record is None or record.serial != serial:
                return False
            if data is None:
                return self.remove(collection, key, now)
            ends = record.ends if isinstance(ttl, Keep) else None if ttl is None else now() + ttl
            self._keep(collection, key, data, ends)
            return True

    def replace(self, collection: str, key: str, data: bytes) -> None:
        """Replace the bytes of a record that is there; it ends when it would have."""
        with self.lock:
            self._keep(collection, key, data, self._collections[collection][key].ends)

    def keys(self, collection: str, now: Now) -> list[str]:
        """Return the keys of a collection whose records have not ended."""
        with self.lock:
            self._drop_ended(now())
            return list(self._collections.get(collection, ()))

    def collections(self, now: Now) -> list[str]:
        """Return the collections that hold a record that has not ended."""
        with self.lock:
            self._drop_ended(now())
            return list(self._collections)

    def clear(self, collection: str | None, now: Now) -> bool:
        """Drop a collection, or all (None); return whether there was a record that had not ended."""
        with self.lock:
            self._drop_ended(now())
            if collection is not None:
                return self._collections.pop(collection, None) is not None
            found = bool(self._collections)
            self._collections.clear()
            self._ends.clear()
            return found

    def cull(self, now: Now) -> int:
        """Drop the records that have ended; return how many there were."""
        with self.lock:
            return self._drop_ended(now())

    def __len__(self) -> int:
        """Return how many records take up room, ended ones that were not dropped yet among them."""
        return sum(map(len, self._collections.values()))

    def _keep(self, collection: str, key: str, data: bytes, ends: float | None) -> None:
        serial = next(self._serial)
        entries = self._collections.get(collection)
        if entries is None:
            entries = self._collections[collection] = OrderedDict()
        entries[key] = Record(data, ends, serial)
        if ends is not None:
            heapq.heappush(self._ends, (ends, serial, collection, key))
            if len(self._ends) > self._enough:
                if len(self._ends) > 2 * len(self) + 64:
                    self._forget_stale()
                self._enough = 2 * len(self._ends) + 64  # so records are counted now and then, not at every write

    def _drop_ended(self, time: float) -> int:
        dropped = 0
        while self._ends and self._ends[0][0] <= time:
            _, serial, collection, key = heapq.heappop(self._ends)
            entries = self._collections.get(collection)
            record = None if entries is None else entries.get(key)
            if entries is not None and record is not None and record.serial == serial:
                dropped += 1
                del entries[key]
                if not entries:
                    del self._collections[collection]
        return dropped

    def _forget_stale(self) -> None:
        """Drop the notes of records that were overwritten since."""
        self._ends = [
            (record.ends, record.serial, collection, key)
            for collection, entries in self._collections.items()
            for key, record in entries.items()
            if record.ends is not None
        ]
        heapq.heapify(self._ends)

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork."""
        self.lock = threading.RLock()

    def _evict(self, collection: str, limit: int, at_once: int) -> None:
        entries = self._collections[collection]
        beyond = len(entries) - limit
        if beyond > 0:
            for _ in range(min(max(beyond, at_once), len(entries) - 1)):
                entries.popitem(last=False)


_named: Final[dict[str, MemoryTable]] = {}


def named_table(name: str) -> MemoryTable:
    """Return the table that all stores of this name in this process share."""
    found = _named.get(name)
    return _named.setdefault(name, MemoryTable()) if found is None else found  # a lock could be held in a fork
