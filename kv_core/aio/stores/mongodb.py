"""Keep entries in MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from typing_extensions import override

from kv_core import codec
from kv_core import mongodb_documents as documents
from kv_core.aio._drivers import mongodb as driver
from kv_core.aio._runtime import Borrowed, Clients, Op, PerLoop
from kv_core.aio.stores._backend import DEFAULT_COLLECTION, Write
from kv_core.aio.stores.base import PAGE, BaseStore
from kv_core.capabilities import Promises
from kv_core.entry import Entry, Revision
from kv_core.errors import BaseKeyValueError, ConfigurationError
from kv_core.mongodb_documents import ABSENT, LIVING, OURS, Stored, bounds, identify
from kv_core.mongodb_errors import partial, translate
from kv_core.mongodb_options import check_names
from kv_core.options import load_provider
from kv_core.ttl import SYSTEM_CLOCK, Clock, Keep, KeptTTL, When, expiry, remaining

T = TypeVar("T")

_FIELDS: Final = {"entry": 1, "revision": 1, "expires_at": 1}
_ATTEMPTS: Final = 5
"""How often an upsert is made that another one of the same entry overtakes; the server then finds a document."""


class MongoDBStore(BaseStore):
    """A store in one Mongo collection, one document an entry; MongoDB 4.4 or newer.

    Entries end to the millisecond, rounded up. Plain reads compare with this machine's clock, and plain puts write by
    it: machines whose clocks differ see entries end by that much earlier or later. What is conditional (conditional
    puts, revisions, `touch`, `increment`, deletes) goes by the server's clock. The server removes what has ended within
    a minute or two; until then it counts as absent.

    An acknowledged write is on a majority of the replica set, unless the URL or the client asks for another write
    concern; a standalone server keeps it as its journal does. Reads go to the primary. An entry has at most 16 MiB,
    less its key and two kilobytes.
    """

    _promises = Promises(
        clock="this machine's for plain reads and puts, the server's for what is conditional",
        acknowledged="on a majority of the replica set, unless another write concern is asked for",
        largest="16 MiB, less its key and two kilobytes",
        dropped="nothing",
    )

    def __init__(
        self,
        *,
        url: str | None = None,
        db_name: str | None = None,
        coll_name: str = "entries",
        client: driver.MongoClient[dict[str, Any]] | None = None,
        credential_provider: object = None,
        default_collection: str = DEFAULT_COLLECTION,
        timeout: float = 5.0,
        max_entry_size: int | None = None,
        _clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Describe the server; the first operation connects.

        Args:
            url: `mongodb://` or `mongodb+srv://`, with pymongo's options as its query (mongodb://localhost).
            db_name: The database; without it the one in the URL's path or of the client, else `kvstack`.
            coll_name: The Mongo collection in which the entries of all collections lie.
            client: Instead of a URL: a client of yours. It is not closed, and belongs to the loop it is used in first.
            credential_provider: An object with `get_credentials()`, which returns username and password, or the dotted
                path to one. It is asked when a client is made, and when the server refuses the login of a connection.
            default_collection: Where an entry goes when no collection is named.
            timeout: How long a whole operation may take, waiting for a connection included, in seconds; while no server
                is known, half of it.
            max_entry_size: The largest entry that is written, in bytes as they are sent.

        Raises:
            ConfigurationError: The options contradict each other, or one is not known.
        """
        super().__init__(
            default_collection=default_collection, timeout=timeout, max_entry_size=max_entry_size, _clock=_clock
        )
        check_names("MongoDBStore", db_name, coll_name)
        self._clients: Clients[driver.Client]
        if client is not None:
            if url is not None or credential_provider is not None:
                raise ConfigurationError("MongoDBStore takes client= or the address of a server, not both.")
            self._clients = Borrowed(driver.borrow(client, db_name, coll_name))
            return
        where = "mongodb://localhost" if url is None else url
        driver.check(where)
        provider = load_provider(credential_provider, "MongoDBStore")
        self._clients = PerLoop(
            lambda: driver.connect(where, db_name, coll_name, provider), lambda client: client.close()
        )

    # Documents ------------------------------------------------------------------------------------------------------

    async def _do(self, collection: str | None, key: str | None, work: Op[[driver.Entries], T]) -> T:
        return await self._call(collection, key, self._ask, work)

    async def _ask(self, work: Op[[driver.Entries], T]) -> T:
        client = self._clients.current() or await self._clients.open()
        return await client.do(work)

    async def _prepared(self, work: Op[[driver.Entries], T]) -> T:
        """Do some work that may make documents, for which there has to be an index."""
        client = self._clients.current() or await self._clients.open()
        await client.prepare()
        return await client.do(work)

    async def _upsert(self, work: Op[[driver.Entries], T]) -> T:
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._prepared(work)
            except driver.errors.DuplicateKeyError:
                continue
        return await self._prepared(work)

    async def _update(
        self,
        collection: str,
        key: str,
        values: Mapping[str, Any],
        end: Mapping[str, Any],
        revision: Any = None,
    ) -> bool:
        """Change an entry that is there, at a revision if one is given, and say whether there was one."""
        where = {"_id": identify(collection, key)} | ({} if revision is None else {"revision": revision})
        changes = documents.update(LIVING, {"revision": documents.new_revision(), **values}, end)
        done = await self._do(collection, key, lambda entries: entries.update_one(where, changes))
        return done.modified_count == 1

    async def _rows(self, collection: str | None, *stages: Mapping[str, Any]) -> list[dict[str, Any]]:
        async def aggregate(entries: driver.Entries) -> list[dict[str, Any]]:
            cursor = await entries.aggregate(list(stages), allowDiskUse=True)
            return await cursor.to_list()

        return await self._do(collection, None, aggregate)

    async def _find(
        self,
        collection: str,
        key: str | None,
        where: Mapping[str, Any],
        fields: Mapping[str, Any],
        limit: int,
        **order: Any,
    ) -> list[dict[str, Any]]:
        def find(entries: driver.Entries) -> Any:
            return entries.find(where, fields, limit=limit, batch_size=limit, **order).to_list()

        found: list[dict[str, Any]] = await self._do(collection, key, find)
        return found

    # Entries --------------------------------------------------------------------------------------------------------

    @override
    def _fits(self, data: bytes, collection: str, key: str) -> None:
        super()._fits(data, collection, key)
        documents.check_size(len(data), collection, key)

    @override
    def _ended(self, entry: Entry) -> bool:
        return False  # the document says when it ends, and was asked

    async def _stored(self, collection: str, keys: Sequence[str]) -> list[Stored | None]:
        """Return what lies under keys and has not ended by this machine's clock."""
        names = [identify(collection, key) for key in keys]
        found = await self._find(collection, _only(keys), {"_id": _in(names)}, _FIELDS, len(names))
        now = self._clock.now()
        by_name = {document["_id"]: document for document in found}
        stored = [
            documents.read(by_name[name], collection, key) if name in by_name else None
            for name, key in zip(names, keys, strict=True)
        ]
        return [None if one is None or one.ended(now) else one for one in stored]

    @override
    async def _read(self, collection: str, key: str) -> bytes | None:
        [stored] = await self._stored(collection, [key])
        return None if stored is None else stored.entry

    @override
    async def _read_many(self, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        return [None if stored is None else stored.entry for stored in await self._stored(collection, keys)]

    @override
    async def _read_ttl(self, collection: str, key: str) -> tuple[dict[str, Any] | None, float | None]:
        [found] = await self._read_ttl_many(collection, [key])
        return found

    @override
    async def _read_ttl_many(
        self, collection: str, keys: Sequence[str]
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        found = await self._stored(collection, keys)
        now = self._clock.now()
        return [
            (None, None)
            if stored is None
            else (self._load(stored.entry, collection, key), remaining(stored.expires_at, now))
            for key, stored in zip(keys, found, strict=True)
        ]

    @override
    async def _read_revision(self, collection: str, key: str) -> tuple[dict[str, Any], Revision] | None:
        where = {"$match": {"_id": identify(collection, key)}}
        found = await self._rows(collection, where, {"$match": {"$expr": LIVING}}, {"$project": _FIELDS})
        if not found:
            return None
        stored = documents.read(found[0], collection, key)
        value = codec.decode(stored.entry, collection, key).value
        return value, Revision(stored.revision, stored.expires_at)

    @override
    async def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        if when == "present":
            return await self._update(collection, key, {"entry": data}, documents.ttl_from_now(ttl))
        where = {"_id": identify(collection, key)}
        values = documents.fields(collection, key, data)
        if when == "always":
            values |= documents.ending(expiry(self._clock.now(), ttl))
            await self._call(
                collection, key, self._upsert, lambda entries: entries.replace_one(where, values, upsert=True)
            )
            return True
        changes = documents.update(ABSENT, values, documents.ttl_from_now(ttl))
        done = await self._call(
            collection, key, self._upsert, lambda entries: entries.update_one(where, changes, upsert=True)
        )
        return done.upserted_id is not None or done.modified_count == 1

    @override
    async def _write_many(self, collection: str, writes: Sequence[Write]) -> None:
        now = self._clock.now()
        operations = {
            key: driver.ReplaceOne(
                {"_id": identify(collection, key)},
                documents.fields(collection, key, data) | documents.ending(expiry(now, ttl)),
                upsert=True,
            )
            for key, data, ttl in writes
        }
        await self._call(collection, None, self._replace_many, collection, operations)

    async def _replace_many(self, collection: str, operations: Mapping[str, driver.ReplaceOne[dict[str, Any]]]) -> None:
        try:
            await self._prepared(lambda entries: entries.bulk_write(list(operations.values()), ordered=False))
        except driver.errors.BulkWriteError as error:
            raise partial(error.details, list(operations), collection, "MongoDBStore") from error

    @override
    async def _remove(self, collection: str, key: str) -> bool:
        return bool(await self._remove_many(collection, [key]))

    @override
    async def _remove_many(self, collection: str, keys: Sequence[str]) -> int:
        names = [identify(collection, key) for key in keys]
        return await self._delete(collection, _only(keys), {"_id": _in(names), "$expr": LIVING})

    async def _delete(self, collection: str | None, key: str | None, where: Mapping[str, Any]) -> int:
        done = await self._do(collection, key, lambda entries: entries.delete_many(where))
        return done.deleted_count

    @override
    async def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        if data is None:
            where = {"_id": identify(collection, key), "revision": token, "$expr": LIVING}
            return bool(await self._delete(collection, key, where))
        end = {} if isinstance(ttl, Keep) else documents.ttl_from_now(ttl)
        return await self._update(collection, key, {"entry": data}, end, token)

    @override
    async def _touch(self, collection: str, key: str, ttl: float | None) -> bool:
        return await self._update(collection, key, {}, documents.ttl_from_now(ttl))

    @override
    async def _increment(self, collection: str, key: str, amount: int, first: int | None, ttl: float | None) -> int:
        return await self._call(collection, key, super()._increment, collection, key, amount, first, ttl)

    # Enumeration ----------------------------------------------------------------------------------------------------

    @override
    async def _page(self, collection: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        inside = bounds(collection) | ({} if cursor is None else {"$gt": cursor})
        where = {"_id": inside, "expires_at": {"$not": {"$lte": self._clock.now()}}, **OURS}
        found = await self._find(collection, None, where, {"key": 1}, size, sort=[("_id", 1)])
        return [document["key"] for document in found], found[-1]["_id"] if len(found) == size else None

    @override
    async def _collections(self) -> list[str]:
        where = {"expires_at": {"$not": {"$lte": self._clock.now()}}, **OURS}
        found = await self._rows(None, {"$match": where}, {"$group": {"_id": "$collection"}}, {"$sort": {"_id": 1}})
        return [document["_id"] for document in found]

    async def _sweep(self, collection: str | None, where: Mapping[str, Any]) -> tuple[int, bool]:
        """Delete page by page, each within the timeout; return how many, and whether one of them had not ended."""
        inside = {"$type": "string"} if collection is None else bounds(collection)
        chosen: list[dict[str, Any]] = [{"$match": {**OURS, "_id": inside}}, {"$match": where}]
        page: list[dict[str, Any]] = [{"$sort": {"_id": 1}}, {"$limit": PAGE}, {"$project": {"living": LIVING}}]
        count, living = 0, False
        while found := await self._rows(collection, *chosen, *page):
            between = {"$gte": found[0]["_id"], "$lte": found[-1]["_id"]}
            count += await self._delete(collection, None, {**OURS, "_id": between, **where})
            living = living or any(one["living"] for one in found)
        return count, living

    @override
    async def _clear(self, collection: str | None) -> bool:
        return (await self._sweep(collection, {}))[1]

    @override
    async def _cull(self) -> int:
        return (await self._sweep(None, {"$expr": {"$not": [LIVING]}}))[0]

    @override
    async def _ping(self) -> None:
        await self._do(None, None, lambda entries: entries.database.command("ping"))

    @override
    async def _release(self) -> None:
        await self._clients.close()

    @override
    def _translate(self, error: Exception) -> BaseKeyValueError:
        return translate(driver.errors, error, "MongoDBStore")


def _in(names: Sequence[str]) -> Any:
    return {"$in": names} if len(names) > 1 else names[0]


def _only(keys: Sequence[str]) -> str | None:
    return keys[0] if len(keys) == 1 else None
