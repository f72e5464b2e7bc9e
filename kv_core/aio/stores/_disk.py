"""What stores on disk do alike; in which database a collection is, each says itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from typing_extensions import override

from kv_core import codec, counter
from kv_core.aio._drivers.disk import Client
from kv_core.aio._runtime import Op
from kv_core.aio.stores._backend import Write
from kv_core.aio.stores.base import BaseStore
from kv_core.capabilities import Promises
from kv_core.checks import whole
from kv_core.decisions import Action, Decision, Written
from kv_core.disk_databases import Connect
from kv_core.disk_table import DiskTable, Found, translate
from kv_core.entry import Revision
from kv_core.errors import BaseKeyValueError
from kv_core.ttl import KEEP, Clock, Keep, KeptTTL, When, expiry

P = ParamSpec("P")
T = TypeVar("T")


class DiskBase(BaseStore):
    """A store whose entries are rows of SQLite databases."""

    _promises = Promises(
        clock="this machine's, exact",
        acknowledged="survives the end of the process; a power loss may roll back the last writes",
        largest="1 GB, SQLite's limit unless it was built with another",
        dropped="nothing, unless `max_size` or `max_entries_per_collection` is given",
    )

    def __init__(
        self,
        connect: Connect,
        *,
        most: int = 1,
        max_entries_per_collection: int | None,
        default_collection: str,
        timeout: float,
        max_entry_size: int | None,
        _clock: Clock,
    ) -> None:
        """Check the options that all have.

        Args:
            connect: Opens a database, given its place.
            most: How many databases a thread has open at once.
            max_entries_per_collection: As `DiskStore` takes it.
            default_collection: As all stores take it.
            timeout: As all stores take it, in seconds.
            max_entry_size: As all stores take it, in bytes.

        Raises:
            ConfigurationError: An option is out of range.
        """
        super().__init__(
            default_collection=default_collection, timeout=timeout, max_entry_size=max_entry_size, _clock=_clock
        )
        if max_entries_per_collection is not None:
            whole(max_entries_per_collection, f"{type(self).__name__}: max_entries_per_collection")
        self._table = DiskTable(_clock, limit=max_entries_per_collection)
        self._client = Client(connect, self._timeout, most=most)

    @abstractmethod
    def _database(self, collection: str) -> str:
        """Return the place of a collection's database."""

    @override
    async def _call(
        self, collection: str | None, key: str | None, fn: Op[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return await fn(*args, **kwargs)  # the client keeps the timeout, so no other timer is needed
        except Exception as error:
            named = self._about(error, collection, key)
            if named is error:
                raise
            raise named from error

    async def _ask(self, collection: str, key: str | None, job: Callable[..., T], *args: Any) -> T:
        """Do a job that changes nothing, and makes nothing."""
        return await self._call(collection, key, self._client.read, self._database(collection), False, job, *args)

    async def _do(self, collection: str, key: str | None, job: Callable[..., T], *args: Any, make: bool = False) -> T:
        """Do a job that may change something; *make* the database if there is none."""
        return await self._call(collection, key, self._client.write, self._database(collection), make, job, *args)

    @override
    async def _read(self, collection: str, key: str) -> bytes | None:
        place = self._database(collection)
        return await self._call(collection, key, self._client.read, place, False, self._table.read, collection, key)

    @override
    async def _read_many(self, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        return await self._ask(collection, None, self._table.read_many, collection, keys)

    @override
    async def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        if when == "always":
            return await self._do(collection, key, self._table.put, collection, key, data, ttl, make=True)
        present = when == "present"
        return await self._do(
            collection, key, self._table.put_if, collection, key, data, ttl, present, make=not present
        )

    @override
    async def _write_many(self, collection: str, writes: Sequence[Write]) -> None:
        await self._do(collection, None, self._table.put_many, collection, writes, make=True)

    @override
    async def _remove(self, collection: str, key: str) -> bool:
        return bool(await self._do(collection, key, self._table.remove_many, collection, (key,)))

    @override
    async def _remove_many(self, collection: str, keys: Sequence[str]) -> int:
        return await self._do(collection, None, self._table.remove_many, collection, keys)

    async def _change(
        self, collection: str, key: str, decide: Callable[[Found | None], Decision[T]], *, make: bool = False
    ) -> T:
        answer: T = await self._do(collection, key, self._table.change, collection, key, decide, make=make)
        return answer

    @override
    async def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        def decide(found: Found | None) -> Decision[bool]:
            if found is None or codec.fingerprint(found.data) != token:
                return False, Action.LEAVE
            if data is None:
                return True, Action.DROP
            ends = found.entry.expires_at if isinstance(ttl, Keep) else expiry(self._clock.now(), ttl)
            return True, Written(data, ends)

        return await self._change(collection, key, decide)

    @override
    async def _touch(self, collection: str, key: str, ttl: float | None) -> bool:
        def decide(found: Found | None) -> Decision[bool]:
            if found is None:
                return False, Action.LEAVE
            data = self._dump(collection, key, found.entry.value, ttl)
            return True, Written(data, expiry(self._clock.now(), ttl))

        return await self._change(collection, key, decide)

    @override
    async def _increment(self, collection: str, key: str, amount: int, first: int | None, ttl: float | None) -> int:
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

        return await self._change(collection, key, decide, make=first is not None)

    @override
    async def _page(self, collection: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        return await self._ask(collection, None, self._table.page, collection, cursor, size)

    async def _collections_in(self, place: str) -> list[str]:
        """Return the collections that a database has entries of."""
        found: list[str] = []
        cursor: bytes | None = b""
        while cursor is not None:
            names, cursor = await self._call(
                None, None, self._client.read, place, False, self._table.collections, cursor
            )
            found += names
        return found

    async def _clear_in(self, place: str, collection: str | None) -> bool:
        """Delete a collection, or all of them (None), in a database; return whether there was an entry."""
        found = False
        cursor: bytes | None = None
        while True:
            some, cursor = await self._call(
                collection, None, self._client.write, place, False, self._table.clear, collection, cursor
            )
            found = found or some
            if cursor is None:
                return found

    async def _cull_in(self, place: str) -> int:
        """Drop the entries of a database that have ended; return how many there were."""
        culled = 0
        while last := await self._call(None, None, self._client.write, place, False, self._table.cull):
            culled += last
        return culled

    @override
    async def _ping(self) -> None:
        await self._ask(self._default_collection, None, self._table.ping)

    @override
    async def _release(self) -> None:
        await self._client.close()

    @override
    def _translate(self, error: Exception) -> BaseKeyValueError:
        return translate(error, type(self).__name__)
