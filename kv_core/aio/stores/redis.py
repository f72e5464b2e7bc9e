"""Keep entries in Redis."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from typing_extensions import override

from kv_core import address, codec, counter
from kv_core import redis_scripts as scripts
from kv_core.aio._drivers import redis as driver
from kv_core.aio._runtime import Borrowed, Clients, PerLoop
from kv_core.aio.stores._backend import DEFAULT_COLLECTION, Write
from kv_core.aio.stores.base import PAGE, BaseStore
from kv_core.capabilities import ALL
from kv_core.entry import Entry
from kv_core.errors import (
    BaseKeyValueError,
    ConfigurationError,
    CorruptEntryError,
    UnsupportedEntryVersionError,
)
from kv_core.options import load_object
from kv_core.redis_errors import CounterError, translate
from kv_core.redis_options import server_options
from kv_core.ttl import SYSTEM_CLOCK, Clock, Keep, KeptTTL, When, milliseconds

_CONDITION: Final[dict[When, tuple[str, ...]]] = {"always": (), "absent": ("NX",), "present": ("XX",)}
_GLOB: Final = re.compile(r"([\\*?\[\]])")


class RedisStore(BaseStore):
    """A store on a Redis server, one string a key.

    The server ends entries, by its own clock and to the millisecond, rounded up. An acknowledged write is in the
    server's memory; what a crash or a failover may lose is set by its persistence and replication.
    With a `maxmemory` policy that evicts, the server may drop entries; else it refuses writes (`StoreFullError`).
    """

    _has = ALL - {"cull"}

    def __init__(
        self,
        *,
        url: str | None = None,
        host: str | None = None,
        port: int | None = None,
        db: int | None = None,
        username: str | None = None,
        password: str | None = None,
        client: driver.Redis | None = None,
        credential_provider: object = None,
        default_collection: str = DEFAULT_COLLECTION,
        timeout: float = 5.0,
        max_entry_size: int | None = None,
        _clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Describe the server; the first operation connects.

        Args:
            url: `redis://`, `rediss://` (TLS) or `unix://`, with redis-py's options as its query.
            host: Instead of a URL: the server's name (localhost).
            port: Its port (6379).
            db: Its database number (0).
            username: The user to log in as.
            password: The password to log in with.
            client: Instead of these: a client of yours. It is not closed, and belongs to the loop it is used in first.
            credential_provider: An object of redis-py's `CredentialProvider`, or the dotted path to one.
            default_collection: Where an entry goes when no collection is named.
            timeout: How long a whole operation may take, waiting for a connection included, in seconds.
            max_entry_size: The largest entry that is written, in bytes as they are sent.

        Raises:
            ConfigurationError: The options contradict each other, or one is not known.
        """
        super().__init__(
            default_collection=default_collection, timeout=timeout, max_entry_size=max_entry_size, _clock=_clock
        )
        self._clients: Clients[driver.Client]
        if client is not None:
            if any(given is not None for given in (url, host, port, db, username, password, credential_provider)):
                raise ConfigurationError("RedisStore takes client= or the address of a server, not both.")
            self._clients = Borrowed(driver.borrow(client))
            return
        where = server_options("RedisStore", url=url, host=host, port=port, db=db, username=username, password=password)
        driver.check(where)
        credentials = load_object(credential_provider, "RedisStore: credential_provider")
        self._clients = PerLoop(lambda: driver.connect(where, self._timeout, credentials), driver.Client.close)

    # Commands -------------------------------------------------------------------------------------------------------

    async def _command(self, collection: str | None, key: str | None, *command: Any) -> Any:
        client = self._clients.current() or await self._clients.open()
        return await self._call(collection, key, client.execute, *command)

    async def _pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        client = self._clients.current() or await self._clients.open()
        return await client.pipeline(commands)

    async def _run(
        self, collection: str, key: str | None, script: scripts.Script, names: Sequence[str], *arguments: Any
    ) -> Any:
        return await self._call(collection, key, self._evaluate, script, names, arguments)

    async def _evaluate(self, script: scripts.Script, names: Sequence[str], arguments: Sequence[Any]) -> Any:
        client = self._clients.current() or await self._clients.open()
        try:
            return await client.execute("EVALSHA", script.sha, len(names), *names, *arguments)
        except driver.errors.NoScriptError:
            return await client.execute("EVAL", script.text, len(names), *names, *arguments)

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
        found = await self._call(collection, None, self._fetch, names)
        return [
            await self._read(collection, key) if isinstance(data, Exception) else data  # alone, it says what is wrong
            for key, data in zip(keys, found, strict=True)
        ]

    async def _fetch(self, names: list[str]) -> list[bytes | Exception | None]:
        client = self._clients.current() or await self._clients.open()
        found: list[bytes | Exception | None] = await client.execute("MGET", *names)
        missing = [name for name, data in zip(names, found, strict=True) if data is None]
        if missing and await client.execute("EXISTS", *missing):
            # MGET answers nil for what is not a string; GET says so. (Or an entry came between the two commands.)
            return await client.pipeline([("GET", name) for name in names])
        return found

    @override
    async def _read_ttl(self, collection: str, key: str) -> tuple[dict[str, Any] | None, float | None]:
        names = [address.encode(collection, key)]
        data, left = await self._run(collection, key, scripts.READ_TTL, names)
        return self._with_ttl(collection, key, data, left)

    @override
    async def _read_ttl_many(
        self, collection: str, keys: Sequence[str]
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        names = [address.encode(collection, key) for key in keys]
        try:
            found = await self._run(collection, None, scripts.READ_TTL, names)
        except CorruptEntryError:
            await self._read_many(collection, keys)  # says which one it is
            raise
        return [
            self._with_ttl(collection, key, data, left)
            for key, data, left in zip(keys, found[::2], found[1::2], strict=True)
        ]

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
        if all(write.ttl is None for write in writes):
            pairs = [part for write in writes for part in (address.encode(collection, write.key), write.data)]
            await self._command(collection, None, "MSET", *pairs)
            return
        names = [address.encode(collection, write.key) for write in writes]
        arguments = [part for _, data, ttl in writes for part in (data, 0 if ttl is None else milliseconds(ttl))]
        await self._run(collection, None, scripts.WRITE_MANY, names, *arguments)

    @override
    async def _remove(self, collection: str, key: str) -> bool:
        return bool(await self._command(collection, key, "DEL", address.encode(collection, key)))

    @override
    async def _remove_many(self, collection: str, keys: Sequence[str]) -> int:
        names = [address.encode(collection, key) for key in keys]
        return int(await self._command(collection, None, "DEL", *names))

    @override
    async def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        if data is None:
            mode: str | int = "delete"
        else:
            mode = "keep" if isinstance(ttl, Keep) else "none" if ttl is None else milliseconds(ttl)
        names = [address.encode(collection, key)]
        return bool(await self._run(collection, key, scripts.SWAP, names, token, data or b"", mode))

    @override
    async def _touch(self, collection: str, key: str, ttl: float | None) -> bool:
        name = address.encode(collection, key)
        if ttl is None:
            return bool(await self._run(collection, key, scripts.PERSIST, [name]))
        return bool(await self._command(collection, key, "PEXPIRE", name, milliseconds(ttl)))

    @override
    async def _increment(self, collection: str, key: str, amount: int, first: int | None, ttl: float | None) -> int:
        fresh = self._dump(collection, key, {"value": 0 if first is None else first}, ttl)
        tail = b'},"version":1}'
        head = fresh[: fresh.rindex(b":", 0, -len(tail)) + 1]
        begins = fresh[: fresh.index(b',"created_at":', len(collection.encode()))]
        ends = head[head.index(b',"key":', len(begins)) :]
        number = b"" if first is None else b"%d" % first
        expiry = 0 if ttl is None else milliseconds(ttl)
        names = [address.encode(collection, key)]
        try:
            total = await self._run(
                collection, key, scripts.INCREMENT, names, amount, head, tail, number, expiry, begins, ends
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
        cursor, names = await self._command(collection, None, "SCAN", cursor or 0, "MATCH", pattern, "COUNT", size)
        return [name for name in map(_text, names) if name is not None], int(cursor) or None

    async def _ours(self, collection: str | None, cursor: Any) -> tuple[list[tuple[str, str]], Any]:
        """Return a page of the addresses under which entries lie; other applications' keys are left out."""
        prefix = "" if collection is None else address.encode(collection, "")
        names, cursor = await self._scan(collection, prefix, cursor, PAGE)
        places = [(name, place) for name in names if (place := address.decode(name)) is not None]
        if not places:
            return [], cursor
        command = ("MGET", *[name for name, _ in places])
        [found] = raising(await self._call(collection, None, self._pipeline, [command]))
        return [
            place
            for (_, place), data in zip(places, found, strict=True)
            if data is not None and _is_entry(data, *place)
        ], cursor

    @override
    async def _collections(self) -> list[str]:
        found: dict[str, None] = {}
        cursor: Any = None
        while True:
            places, cursor = await self._ours(None, cursor)
            found.update((collection, None) for collection, _ in places)
            if cursor is None:
                return list(found)

    @override
    async def _clear(self, collection: str | None) -> bool:
        found = False
        cursor: Any = None
        while True:
            places, cursor = await self._ours(collection, cursor)
            if places:
                removed = await self._command(collection, None, "UNLINK", *[address.encode(*place) for place in places])
                found = found or bool(removed)
            if cursor is None:
                return found

    @override
    async def _ping(self) -> None:
        await self._command(None, None, "PING")

    @override
    async def _release(self) -> None:
        await self._clients.close()

    @override
    def _translate(self, error: Exception) -> BaseKeyValueError:
        return translate(driver.errors, error, "RedisStore")


def _text(name: bytes | str) -> str | None:
    """Return a stored key's name; None if it is not UTF-8, so not of ours."""
    try:
        return name.decode() if isinstance(name, bytes) else name
    except UnicodeDecodeError:
        return None


def _is_entry(data: bytes, collection: str, key: str) -> bool:
    try:
        codec.decode(data, collection, key)
    except UnsupportedEntryVersionError:
        return True
    except CorruptEntryError:
        return False
    return True


def raising(replies: list[Any]) -> list[Any]:
    """Return a pipeline's replies, or raise the first error among them."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
