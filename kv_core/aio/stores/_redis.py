"""What the stores on Redis and Valkey have in common: their commands, and how entries lie there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Generic, TypeVar

from typing_extensions import override

from kv_core import address, codec, counter
from kv_core import redis_scripts as scripts
from kv_core.aio._drivers.resp import Client, Library
from kv_core.aio._runtime import Borrowed, Clients, PerLoop
from kv_core.aio.stores._backend import DEFAULT_COLLECTION, Write
from kv_core.aio.stores._redis_cluster import Cluster
from kv_core.aio.stores._redis_server import Failures, Link, Server
from kv_core.aio.stores.base import PAGE, BaseStore
from kv_core.capabilities import ALL, Promises
from kv_core.entry import Entry
from kv_core.errors import (
    BaseKeyValueError,
    ConfigurationError,
    CorruptEntryError,
    PartialFailureError,
    UnsupportedEntryVersionError,
)
from kv_core.options import load_object
from kv_core.redis_cluster import Remap
from kv_core.redis_errors import CounterError, translate
from kv_core.redis_options import Place, address_of, at, server_url
from kv_core.ttl import SYSTEM_CLOCK, Clock, Keep, KeptTTL, When, milliseconds

R = TypeVar("R")
T = TypeVar("T")

_CONDITION: Final[dict[When, tuple[str, ...]]] = {"always": (), "absent": ("NX",), "present": ("XX",)}
_GLOB: Final = re.compile(r"([\\*?\[\]])")


class RedisBase(BaseStore, Generic[R]):
    """A store on one server, on a cluster, or on a primary that sentinels watch; one string a key."""

    _has = ALL - {"cull"}
    _promises = Promises(
        clock="the server's, in milliseconds, rounded up",
        acknowledged="in the memory of one server; a crash or a failover may lose what was not yet saved or replicated",
        largest="512 MB, or the server's `proto-max-bulk-len`",
        dropped="what the server's `maxmemory-policy` evicts",
    )
    _library: ClassVar[Library[Any]]

    def __init__(
        self,
        *,
        url: str | None = None,
        host: str | None = None,
        port: int | None = None,
        db: int | None = None,
        username: str | None = None,
        password: str | None = None,
        client: R | None = None,
        credential_provider: object = None,
        default_collection: str = DEFAULT_COLLECTION,
        timeout: float = 5.0,
        max_entry_size: int | None = None,
        _clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Describe the server; the first operation connects.

        Args:
            url: Where the server, the cluster's nodes or the sentinels are, with the client's options as its query.
            host: Instead of a URL: the server's name (localhost).
            port: Its port (6379).
            db: Its database number (0).
            username: The user to log in as.
            password: The password to log in with.
            client: Instead of these: a client of yours. It is not closed, and belongs to the loop it is used in first.
                Of a cluster client only the nodes and options are used; the connections are the store's own.
            credential_provider: An object of the client's `CredentialProvider`, or the dotted path to one; it is asked
                at each new connection.
            default_collection: Where an entry goes when no collection is named.
            timeout: How long a whole operation may take, waiting for a connection included, in seconds.
            max_entry_size: The largest entry that is written, in bytes as they are sent.

        Raises:
            ConfigurationError: The options contradict each other, or one is not known.
        """
        super().__init__(
            default_collection=default_collection, timeout=timeout, max_entry_size=max_entry_size, _clock=_clock
        )
        name = type(self).__name__
        self._clients: Clients[Link]
        if client is not None:
            if any(given is not None for given in (url, host, port, db, username, password, credential_provider)):
                raise ConfigurationError(f"{name} takes client= or the address of a server, not both.")
            nodes = self._library.nodes(client)
            if nodes is None:
                self._clients = Borrowed(Server(self._library.borrow(client)))
            else:
                node = partial(self._library.node, nodes, self._timeout)
                self._clients = PerLoop(
                    lambda: self._cluster(node, nodes.known, nodes.remap), lambda link: link.close()
                )
            return
        where = self._library.place(
            server_url(
                self._library.dialect, url=url, host=host, port=port, db=db, username=username, password=password
            )
        )
        credentials = load_object(credential_provider, f"{name}: credential_provider")
        self._clients = PerLoop(lambda: self._connect(where, credentials), lambda link: link.close())

    def _connect(self, where: Place, credentials: object) -> Link:
        # What a link holds does not lead back here, or a store that nobody holds any more would keep its connections.
        library, timeout, [first, *_] = self._library, self._timeout, where.urls
        match where.form:
            case "server":
                return Server(library.server(first, timeout, credentials))
            case "sentinel":
                return Server(library.sentinel(where, timeout, credentials))
            case "cluster":
                return self._cluster(
                    lambda address: library.server(at(first, address), timeout, credentials),
                    [address_of(url) for url in where.urls],
                )

    def _cluster(self, connect: Callable[[str], Client], known: Sequence[str], remap: Remap | None = None) -> Link:
        library = self._library
        return Cluster(connect, known, library.slot, library.errors.ResponseError, self._timeout, remap)

    # Commands -------------------------------------------------------------------------------------------------------

    async def _link(self) -> Link:
        return self._clients.current() or await self._clients.open()

    async def _command(self, collection: str | None, key: str | None, *command: Any) -> Any:
        link = self._clients.current() or await self._clients.open()
        return await self._call(collection, key, link.execute, *command)

    async def _script(self, collection: str, key: str, script: scripts.Script, *arguments: Any) -> Any:
        link = await self._link()
        return await self._call(collection, key, link.evaluate, script, [address.encode(collection, key)], arguments)

    def _check(self, collection: str, keys: Mapping[str, str], failed: Failures) -> None:
        """Raise what went wrong with some of the keys, which are given by their names."""
        if not failed:
            return
        errors = {keys[name]: self._about(error, collection, keys[name]) for name, error in failed.items()}
        if len(failed) == len(keys) and len({(type(error), error.outcome) for error in errors.values()}) == 1:
            raise next(iter(errors.values())) from next(iter(failed.values()))
        message = f"{type(self).__name__}: {len(failed)} of {len(keys)} keys in {collection!r} failed."
        raise PartialFailureError.of(message, errors, keys.values(), collection=collection)

    # Entries --------------------------------------------------------------------------------------------------------

    @override
    def _ended(self, entry: Entry) -> bool:
        return False  # what the server still has, has not ended

    @override
    def _load(self, data: bytes, collection: str, key: str) -> dict[str, Any]:
        return codec.decode(data, collection, key).value

    @override
    async def _read(self, collection: str, key: str) -> bytes | None:
        found: bytes | None = await self._command(collection, key, "GET", address.encode(collection, key))
        return found

    @override
    async def _read_many(self, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        names = [address.encode(collection, key) for key in keys]
        link = await self._link()
        found = await self._call(collection, None, link.read_many, names)
        return [self._reply(data, collection, key) for key, data in zip(keys, found, strict=True)]

    @override
    async def _read_ttl(self, collection: str, key: str) -> tuple[dict[str, Any] | None, float | None]:
        data, left = await self._script(collection, key, scripts.READ_TTL)
        return self._with_ttl(collection, key, data, left)

    @override
    async def _read_ttl_many(
        self, collection: str, keys: Sequence[str]
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        names = [address.encode(collection, key) for key in keys]
        link = await self._link()
        try:
            found = await self._call(collection, None, link.read_ttl_many, names)
        except CorruptEntryError:
            await self._read_many(collection, keys)  # says which one it is
            raise
        return [
            self._with_ttl(collection, key, *self._reply(reply, collection, key))
            for key, reply in zip(keys, found, strict=True)
        ]

    def _reply(self, reply: T | Exception, collection: str, key: str) -> T:
        """Return what was read for a key, or raise the error that stands in its place."""
        if isinstance(reply, Exception):
            raise self._about(reply, collection, key) from reply
        return reply

    def _with_ttl(
        self, collection: str, key: str, data: bytes | None, left: int
    ) -> tuple[dict[str, Any] | None, float | None]:
        if data is None:
            return None, None
        return self._load(data, collection, key), None if left < 0 else left / 1000

    @override
    async def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        name = address.encode(collection, key)
        expiry = () if ttl is None else ("PX", milliseconds(ttl))
        return bool(await self._command(collection, key, "SET", name, data, *expiry, *_CONDITION[when]))

    @override
    async def _write_many(self, collection: str, writes: Sequence[Write]) -> None:
        keys = {address.encode(collection, write.key): write.key for write in writes}
        data = [write.data for write in writes]
        ttls = [write.ttl for write in writes]
        lasts = {ttl: 0 if ttl is None else milliseconds(ttl) for ttl in set(ttls)}
        ends = [lasts[ttl] for ttl in ttls]
        link = await self._link()
        self._check(collection, keys, await self._call(collection, None, link.write_many, list(keys), data, ends))

    @override
    async def _remove(self, collection: str, key: str) -> bool:
        return bool(await self._command(collection, key, "DEL", address.encode(collection, key)))

    @override
    async def _remove_many(self, collection: str, keys: Sequence[str]) -> int:
        names = {address.encode(collection, key): key for key in keys}
        link = await self._link()
        removed, failed = await self._call(collection, None, link.remove_many, list(names))
        self._check(collection, names, failed)
        return removed

    @override
    async def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        if data is None:
            mode: str | int = "delete"
        else:
            mode = "keep" if isinstance(ttl, Keep) else "none" if ttl is None else milliseconds(ttl)
        return bool(await self._script(collection, key, scripts.SWAP, token, data or b"", mode))

    @override
    async def _touch(self, collection: str, key: str, ttl: float | None) -> bool:
        if ttl is None:
            return bool(await self._script(collection, key, scripts.PERSIST))
        return bool(await self._command(collection, key, "PEXPIRE", address.encode(collection, key), milliseconds(ttl)))

    @override
    async def _increment(self, collection: str, key: str, amount: int, first: int | None, ttl: float | None) -> int:
        fresh = self._dump(collection, key, {"value": 0 if first is None else first}, ttl)
        tail = b'},"version":1}'
        head = fresh[: fresh.rindex(b":", 0, -len(tail)) + 1]
        begins = fresh[: fresh.index(b',"created_at":', len(collection.encode()))]
        ends = head[head.index(b',"key":', len(begins)) :]
        number = b"" if first is None else b"%d" % first
        expiry = 0 if ttl is None else milliseconds(ttl)
        try:
            total = await self._script(
                collection, key, scripts.INCREMENT, amount, head, tail, number, expiry, begins, ends
            )
        except CounterError as error:
            if error.overflow:
                raise counter.overflow(collection, key) from error
            return await super()._increment(collection, key, amount, first, ttl)  # in another layout, or no counter
        if total is None:
            raise counter.missing(collection, key)
        return int(total)

    # Enumeration ----------------------------------------------------------------------------------------------------

    @override
    async def _page(self, collection: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        names, cursor = await self._scan(collection, address.encode(collection, ""), cursor, size)
        found = [address.decode(name) for name in names]
        return [place[1] for place in found if place is not None and place[0] == collection], cursor

    async def _scan(self, collection: str | None, prefix: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        pattern = _GLOB.sub(r"\\\1", prefix) + "*"
        link = await self._link()
        cursor, names = await self._call(collection, None, link.scan, cursor, pattern, size)
        return [name for name in map(_text, names) if name is not None], cursor

    async def _ours(self, collection: str | None, cursor: Any) -> tuple[list[str], set[str], Any]:
        """Return the names of a page under which entries lie, and their collections; others' keys are left out."""
        prefix = "" if collection is None else address.encode(collection, "")
        names, cursor = await self._scan(collection, prefix, cursor, PAGE)
        places = [(name, place) for name in names if (place := address.decode(name)) is not None]
        if not places:
            return [], set(), cursor
        link = await self._link()
        found = await self._call(collection, None, link.read_many, [name for name, _ in places])
        ours = [
            (name, place[0]) for (name, place), data in zip(places, found, strict=True) if self._is_entry(data, *place)
        ]
        return [name for name, _ in ours], {of for _, of in ours}, cursor

    def _is_entry(self, data: bytes | Exception | None, collection: str, key: str) -> bool:
        try:
            reply = self._reply(data, collection, key)
            if reply is None:
                return False
            codec.decode(reply, collection, key)
        except UnsupportedEntryVersionError:
            return True
        except CorruptEntryError:  # or no string at all
            return False
        return True

    @override
    async def _collections(self) -> list[str]:
        found: dict[str, None] = {}
        cursor: Any = None
        while True:
            _, collections, cursor = await self._ours(None, cursor)
            found.update(dict.fromkeys(collections))
            if cursor is None:
                return list(found)

    @override
    async def _clear(self, collection: str | None) -> bool:
        found = False
        cursor: Any = None
        link = await self._link()
        while True:
            names, _, cursor = await self._ours(collection, cursor)
            if names:
                removed, failed = await self._call(collection, None, link.remove_many, names, "UNLINK")
                for error in failed.values():
                    raise self._about(error, collection, None) from error
                found = found or bool(removed)
            if cursor is None:
                return found

    @override
    async def _ping(self) -> None:
        link = await self._link()
        await self._call(None, None, link.ping)

    @override
    async def _release(self) -> None:
        await self._clients.close()

    @override
    def _translate(self, error: Exception) -> BaseKeyValueError:
        return translate(self._library.errors, error, type(self).__name__)


def _text(name: bytes | str) -> str | None:
    """Return a stored key's name; None if it is not UTF-8, so not of ours."""
    try:
        return name.decode() if isinstance(name, bytes) else name
    except UnicodeDecodeError:
        return None
