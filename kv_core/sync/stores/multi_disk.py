# Written by tools/mirror.py from kv_core/aio/stores/multi_disk.py: change that file instead.
"""Keep each collection in a directory of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from kv_core.capabilities import unsupported
from kv_core.checks import whole
from kv_core.disk_databases import MOST_OPEN, absolute, below, directory_name, made_by, places_below
from kv_core.errors import ConfigurationError
from kv_core.options import load_object
from kv_core.spellings import also
from kv_core.sync._runtime import run_blocking
from kv_core.sync.stores._backend import DEFAULT_COLLECTION
from kv_core.sync.stores._disk import DiskBase
from kv_core.ttl import SYSTEM_CLOCK, Clock


class MultiDiskStore(DiskBase):
    """A store with one SQLite database for each collection, so that those who write to different ones do not wait.

    It keeps what `DiskStore` promises, about clock, crashes, files and pickles. A collection's directory bears its
    name; what a file system might change, reserve, or take for another name is percent-escaped, and names beyond 120
    bytes end in a digest of 160 bits. A link that leads out of the directory raises PathSecurityError.

    Reading makes no directory. A collection whose entries are all gone keeps its directory, because other processes
    may have its database open; remove it when none has. However many there are, a thread has 8 databases open at most.
    """

    @also(base_directory="directory")
    def __init__(
        self,
        *,
        directory: str | os.PathLike[str] | None = None,
        max_size: int | None = None,
        max_entries_per_collection: int | None = None,
        disk_cache_factory: Callable[[str], Any] | str | None = None,
        default_collection: str = DEFAULT_COLLECTION,
        timeout: float = 5.0,
        max_entry_size: int | None = None,
        _clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Say where the directories of the collections are; each is made when its first entry is put.

        Args:
            directory: A directory for this store alone; `~` is the user's home. `base_directory` is accepted, too.
            max_size: Beyond this size of a collection's database, in bytes, the entries written first are dropped.
            max_entries_per_collection: Beyond it a tenth of a collection is dropped, those written first.
            disk_cache_factory: Instead of a directory: a function, or the dotted path to one, that returns for a
                collection a diskcache `Cache` with our `BytesDisk`. Its directory and its limit of size are used,
                and it is closed. It is asked whenever the database is opened, for reading too, and in any thread.
                As it cannot be asked what there is, `collections`, `destroy` and `cull` are withdrawn.
            default_collection: Where an entry goes when no collection is named.
            timeout: How long a whole operation may take, waiting for other processes included, in seconds.
            max_entry_size: The largest entry that is written, in bytes as they are stored.

        Raises:
            ConfigurationError: An option is out of range, or two contradict each other.
        """
        if (directory is None) == (disk_cache_factory is None):
            raise ConfigurationError("MultiDiskStore takes directory= or disk_cache_factory=, and needs one of them.")
        if max_size is not None:
            whole(max_size, "MultiDiskStore: max_size (bytes)")
        self._base = None if directory is None else absolute(directory, "MultiDiskStore")
        if self._base is not None:
            connect = below(self._base, max_size)
        elif max_size is None:
            factory: Any = load_object(disk_cache_factory, "MultiDiskStore: disk_cache_factory")
            if not callable(factory):
                raise ConfigurationError("MultiDiskStore: disk_cache_factory is a function of a collection.")
            connect = made_by(factory)
        else:
            raise ConfigurationError("MultiDiskStore: its caches have size_limits of their own; leave max_size out.")
        super().__init__(
            connect,
            most=MOST_OPEN,
            max_entries_per_collection=max_entries_per_collection,
            default_collection=default_collection,
            timeout=timeout,
            max_entry_size=max_entry_size,
            _clock=_clock,
        )

    @override
    def _capabilities(self) -> frozenset[str]:
        return self._has if self._base is not None else self._has - {"collections", "destroy", "cull"}

    @override
    def _database(self, collection: str) -> str:
        return collection if self._base is None else directory_name(collection)

    def _places(self, operation: str) -> list[str]:
        if self._base is None:
            raise unsupported(self, operation)
        return self._call(None, None, run_blocking, places_below, self._base)

    def _collections_of(self, place: str) -> list[str]:
        """Return the collections that belong in a directory; a copy of another's holds entries that do not."""
        return [name for name in self._collections_in(place) if self._database(name) == place]

    @override
    def _collections(self) -> list[str]:
        found: list[str] = []
        for place in self._places("collections"):
            found += self._collections_of(place)
        return found

    @override
    def _clear(self, collection: str | None) -> bool:
        if collection is not None:
            return self._clear_in(self._database(collection), collection)
        found = False
        for place in self._places("destroy"):
            self._cull_in(place)  # what has ended is not listed
            for name in self._collections_of(place):
                found = self._clear_in(place, name) or found
        return found

    @override
    def _cull(self) -> int:
        return sum([self._cull_in(place) for place in self._places("cull")])
