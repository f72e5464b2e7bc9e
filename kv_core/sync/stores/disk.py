# Written by tools/mirror.py from kv_core/aio/stores/disk.py: change that file instead.
"""Keep entries in a directory of this machine."""

from __future__ import annotations

import os

from typing_extensions import override

from kv_core.checks import whole
from kv_core.disk_databases import absolute, at_one_place
from kv_core.disk_format import directory_of
from kv_core.errors import ConfigurationError
from kv_core.sync.stores._backend import DEFAULT_COLLECTION
from kv_core.sync.stores._disk import DiskBase
from kv_core.ttl import SYSTEM_CLOCK, Clock


class DiskStore(DiskBase):
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
        if (directory is None) == (disk_cache is None):
            raise ConfigurationError("DiskStore takes directory= or disk_cache=, and needs one of them.")
        if max_size is not None:
            whole(max_size, "DiskStore: max_size (bytes)")
        if directory is not None:
            where = absolute(directory, "DiskStore")
        elif max_size is None:
            where, max_size = directory_of(disk_cache)
        else:
            raise ConfigurationError("DiskStore: a disk_cache has its own size_limit; leave max_size out.")
        super().__init__(
            at_one_place(where, max_size),
            max_entries_per_collection=max_entries_per_collection,
            default_collection=default_collection,
            timeout=timeout,
            max_entry_size=max_entry_size,
            _clock=_clock,
        )

    @override
    def _database(self, collection: str) -> str:
        return ""  # there is one for all

    @override
    def _collections(self) -> list[str]:
        return self._collections_in("")

    @override
    def _clear(self, collection: str | None) -> bool:
        return self._clear_in("", collection)

    @override
    def _cull(self) -> int:
        return self._cull_in("")
