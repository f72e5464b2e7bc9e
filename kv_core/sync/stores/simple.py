# Written by tools/mirror.py from kv_core/aio/stores/simple.py: change that file instead.
"""Keep entries in a dict: the shortest honest store, and a model for one of your own."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from kv_core import codec
from kv_core.capabilities import Promises
from kv_core.checks import whole
from kv_core.simple_table import SimpleTable
from kv_core.sync.stores._backend import DEFAULT_COLLECTION
from kv_core.sync.stores.base import BaseStore
from kv_core.ttl import SYSTEM_CLOCK, Clock, KeptTTL, When


class SimpleStore(BaseStore):
    """A store for one process that leaves to the base whatever the base can do.

    Entries end by this machine's wall clock, exactly; the dict is rid of them when it has doubled, and by `cull`.
    After a fork each process goes on with a copy. Nothing is evicted unless `max_entries` says so.
    """

    _promises = Promises(
        clock="this machine's, exact",
        acknowledged="in this process's memory, and gone with it",
        largest="no limit",
        dropped="nothing, unless `max_entries` is given",
    )

    def __init__(
        self,
        *,
        max_entries: int | None = None,
        default_collection: str = DEFAULT_COLLECTION,
        timeout: float = 5.0,
        max_entry_size: int | None = None,
        _clock: Clock = SYSTEM_CLOCK,
        _shared: SimpleTable | None = None,
    ) -> None:
        """Make a store, empty.

        Args:
            max_entries: Beyond it, over all collections, the entries whose keys came first are evicted.
            default_collection: Where an entry goes when no collection is named.
            timeout: Taken as by other stores, in seconds; a dict never waits.
            max_entry_size: The largest entry that is kept, in bytes.

        Raises:
            ConfigurationError: An option is out of range.
        """
        super().__init__(
            default_collection=default_collection, timeout=timeout, max_entry_size=max_entry_size, _clock=_clock
        )
        self._max_entries = max_entries if max_entries is None else whole(max_entries, "SimpleStore: max_entries")
        self._table = SimpleTable() if _shared is None else _shared

    @staticmethod
    def _share() -> SimpleTable:
        """Return what the twins of one stack have in common."""
        return SimpleTable()

    def _living(self, collection: str, key: str) -> bytes | None:
        data = self._table.entries.get((collection, key))
        return None if data is None or self._load(data, collection, key) is None else data

    def _places(self) -> list[tuple[str, str]]:
        return [place for place in list(self._table.entries) if self._living(*place) is not None]

    def _drop_ended(self) -> int:
        with self._table.lock:
            ended = self._table.entries.keys() - self._places()
            for place in ended:
                del self._table.entries[place]
            return len(ended)

    def _make_room(self) -> None:
        entries = self._table.entries
        if len(entries) > self._table.enough:
            self._drop_ended()
            self._table.enough = 2 * len(entries) + 64
        while self._max_entries is not None and len(entries) > self._max_entries:
            del entries[next(iter(entries))]

    @override
    def _read(self, collection: str, key: str) -> bytes | None:
        return self._table.entries.get((collection, key))

    @override
    def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        with self._table.lock:
            if when != "always" and (self._living(collection, key) is not None) != (when == "present"):
                return False
            self._table.entries[collection, key] = data
            self._make_room()
            return True

    @override
    def _remove(self, collection: str, key: str) -> bool:
        with self._table.lock:
            found = self._living(collection, key)
            self._table.entries.pop((collection, key), None)
            return found is not None

    @override
    def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        with self._table.lock:
            found = self._living(collection, key)
            if found is None or codec.fingerprint(found) != token:
                return False
            if data is None:
                del self._table.entries[collection, key]
            else:
                self._table.entries[collection, key] = data
            return True

    @override
    def _page(self, collection: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        return [key for place, key in self._places() if place == collection], None

    @override
    def _collections(self) -> list[str]:
        return list({collection for collection, _ in self._places()})

    @override
    def _clear(self, collection: str | None) -> bool:
        with self._table.lock:
            found = [place for place in self._places() if collection in (None, place[0])]
            for place in found:
                del self._table.entries[place]
            return bool(found)

    @override
    def _cull(self) -> int:
        return self._drop_ended()

    @override
    def _ping(self) -> None:
        return
