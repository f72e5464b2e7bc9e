# Written by tools/mirror.py from kv_core/aio/stores/disk.py: change that file instead.
"""Keep entries in a directory of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from typing_extensions import override

from kv_core import codec, counter
from kv_core.checks import whole
from kv_core.disk_format import directory_of
from kv_core.disk_table import Action, Decision, DiskTable, Found, Written, translate
from kv_core.entry import Revision
from kv_core.errors import BaseKeyValueError, ConfigurationError
from kv_core.sync._drivers.disk import Client
from kv_core.sync._runtime import Op
from kv_core.sync.stores._backend import DEFAULT_COLLECTION, Write
from kv_core.sync.stores.base import BaseStore
from kv_core.ttl import KEEP, SYSTEM_CLOCK, Clock, Keep, KeptTTL, When, expiry

P = ParamSpec("P")
T = TypeVar("T")


class DiskStore(BaseStore):
    """A store in one SQLite database, laid out as diskcache's, which any number of threads and processes may share.

    An acknowledged write survives the end of the process, however it ends. The database has a write-ahead log and
    `synchronous=NORMAL`: a power loss may roll back the last writes, all of them or those after some point, and never
    leaves half of one. Whoever removes `cache.db-wal` and `cache.db-shm` after a crash takes those writes away too.
    Use a local file system: SQLite's locks do not hold on most network file systems.

    Entries end by this machine's wall clock, exactly. Writes give back the room of those that have ended, little by
    little; `cull` does at once. Nothing else is dropped unless `max_size` or `max_entries_per_collection` say so.

    The directory is made for this user alone (0700), the files too (0600). No pickle is ever loaded. What
    py-key-value's disk store wrote without wrappers is read as it stands.
    """

    def __init__(
        self,
        *,
        directory: str | os.PathLike[str] | None = None,
        max_size: int | None = None,
        max_entries_per_collection: int | None = None,
        disk_cache: object = None,
        default_collection: str = DEFAULT_COLLECTION,
        timeout: float = 5.0,
        max_entry_size: int | None = None,
        _clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Say where the entries lie; the first operation opens the database, and makes it where there is none.

        Args:
            directory: A directory for this store alone; `~` is the user's home.
            max_size: Beyond this size of the database, in bytes, the entries written first are dropped. An empty
                database has about 50,000; the newest entry always stays.
            max_entries_per_collection: Beyond it a tenth of a collection is dropped, those written first. Several
                processes together may exceed it by a tenth each.
            disk_cache: Instead of a directory: a diskcache `Cache` with our `BytesDisk`. Its directory and its limit
                of size are used, through connections of the store's own, and it is never closed.
            default_collection: Where an entry goes when no collection is named.
            timeout: How long a whole operation may take, waiting for other processes included, in seconds.
            max_entry_size: The largest entry that is written, in bytes as they are stored.

        Raises:
            ConfigurationError: An option is out of range, or two contradict each other.
        """
        super().__init__(
            default_collection=default_collection, timeout=timeout, max_entry_size=max_entry_size, _clock=_clock
        )
        if (directory is None) == (disk_cache is None):
            raise ConfigurationError("DiskStore takes directory= or disk_cache=, and needs one of them.")
        if max_size is not None:
            whole(max_size, "DiskStore: max_size (bytes)")
        if max_entries_per_collection is not None:
            whole(max_entries_per_collection, "DiskStore: max_entries_per_collection")
        if directory is not None:
            where = _absolute(directory)
        else:
            if max_size is not None:
                raise ConfigurationError("DiskStore: a disk_cache has its own size_limit; leave max_size out.")
            where, max_size = directory_of(disk_cache)
        self._directory = where
        self._table = DiskTable(_clock, max_size=max_size, limit=max_entries_per_collection)
        self._client = Client(where, self._timeout, evicts=max_size is not None)

    @override
    def _call(self, collection: str | None, key: str | None, fn: Op[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return fn(*args, **kwargs)  # the client keeps the timeout, so no other timer is needed
        except Exception as error:
            named = self._about(error, collection, key)
            if named is error:
                raise
            raise named from error

    def _do(self, collection: str | None, key: str | None, job: Callable[..., T], *args: Any) -> T:
        return self._call(collection, key, self._client.write, job, *args)

    @override
    def _read(self, collection: str, key: str) -> bytes | None:
        return self._call(collection, key, self._client.read, self._table.read, collection, key)

    @override
    def _read_many(self, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        return self._call(collection, None, self._client.read, self._table.read_many, collection, keys)

    @override
    def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        if when == "always":
            return self._do(collection, key, self._table.put, collection, key, data, ttl)
        return self._do(collection, key, self._table.put_if, collection, key, data, ttl, when == "present")

    @override
    def _write_many(self, collection: str, writes: Sequence[Write]) -> None:
        self._do(collection, None, self._table.put_many, collection, writes)

    @override
    def _remove(self, collection: str, key: str) -> bool:
        return bool(self._do(collection, key, self._table.remove_many, collection, (key,)))

    @override
    def _remove_many(self, collection: str, keys: Sequence[str]) -> int:
        return self._do(collection, None, self._table.remove_many, collection, keys)

    def _change(self, collection: str, key: str, decide: Callable[[Found | None], Decision[T]]) -> T:
        answer: T = self._do(collection, key, self._table.change, collection, key, decide)
        return answer

    @override
    def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        def decide(found: Found | None) -> Decision[bool]:
            if found is None or codec.fingerprint(found.data) != token:
                return False, Action.LEAVE
            if data is None:
                return True, Action.DROP
            ends = found.entry.expires_at if isinstance(ttl, Keep) else expiry(self._clock.now(), ttl)
            return True, Written(data, ends)

        return self._change(collection, key, decide)

    @override
    def _touch(self, collection: str, key: str, ttl: float | None) -> bool:
        def decide(found: Found | None) -> Decision[bool]:
            if found is None:
                return False, Action.LEAVE
            data = self._dump(collection, key, found.entry.value, ttl)
            return True, Written(data, expiry(self._clock.now(), ttl))

        return self._change(collection, key, decide)

    @override
    def _increment(self, collection: str, key: str, amount: int, first: int | None, ttl: float | None) -> int:
        def decide(found: Found | None) -> Decision[int]:
            if found is None:
                if first is None:
                    raise counter.missing(collection, key)
                data = self._dump(collection, key, {"value": first}, ttl)
                return first, Written(data, expiry(self._clock.now(), ttl))
            ends = found.entry.expires_at
            total = counter.add(counter.number_in(found.entry.value, collection, key), amount, collection, key)
            data = self._dump(collection, key, {"value": total}, KEEP, Revision("", ends))
            return total, Written(data, ends)

        return self._change(collection, key, decide)

    @override
    def _page(self, collection: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        return self._call(collection, None, self._client.read, self._table.page, collection, cursor, size)

    @override
    def _collections(self) -> list[str]:
        found: list[str] = []
        cursor: bytes | None = b""
        while cursor is not None:
            names, cursor = self._call(None, None, self._client.read, self._table.collections, cursor)
            found += names
        return found

    @override
    def _clear(self, collection: str | None) -> bool:
        found, cursor = self._do(collection, None, self._table.clear, collection, None)
        while cursor is not None:
            more, cursor = self._do(collection, None, self._table.clear, collection, cursor)
            found = found or more
        return found

    @override
    def _cull(self) -> int:
        culled = last = self._do(None, None, self._table.cull)
        while last:
            last = self._do(None, None, self._table.cull)
            culled += last
        return culled

    @override
    def _ping(self) -> None:
        self._call(None, None, self._client.read, self._table.ping)

    @override
    def _release(self) -> None:
        self._client.close()

    @override
    def _translate(self, error: Exception) -> BaseKeyValueError:
        return translate(error, type(self).__name__)


def _absolute(directory: str | os.PathLike[str]) -> Path:
    try:
        text = os.fspath(directory)
        path = Path(text).expanduser().absolute()
    except (TypeError, RuntimeError) as error:  # not a path, or no home
        raise ConfigurationError(f"DiskStore: directory is the path of a directory, not {directory!r}.") from error
    if not text or "\0" in text:
        raise ConfigurationError(f"DiskStore: directory is the path of a directory, not {directory!r}.")
    return path
