"""What redis-py and valkey-py have in common for event loops. The twin is `kv_core/sync/_drivers/resp.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from typing_extensions import override

from kv_core.deadline import mark_unsent
from kv_core.errors import ConfigurationError, StoreClosedError
from kv_core.redis_cluster import Nodes, parts
from kv_core.redis_options import (
    MAX_CONNECTIONS,
    NUMBERS,
    Dialect,
    Place,
    check_client,
    encoded,
    known_options,
    place,
)

R = TypeVar("R")


class _Marked:
    """A connection that marks what goes wrong before a command was sent."""

    async def connect(self) -> None:
        try:
            await super().connect()  # type: ignore[misc] # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue] - of the library's connection
        except BaseException as error:
            mark_unsent(error)
            raise


class Client:
    """A client of one server with a bounded number of connections.

    Commands go straight to a connection, past the library's retries, which would repeat what may have been done.
    That takes off a tenth of what a `get` costs, too, and half of what a pipeline does.
    """

    def __init__(self, redis: Any, max_connections: int, refused: Any, sentinels: Sequence[Any] = ()) -> None:
        self._redis = redis
        self._refused = refused
        self._sentinels = sentinels
        self._take = redis.connection_pool.get_connection
        self._give = redis.connection_pool.release
        self._gate = asyncio.Semaphore(max_connections)
        self._closed = False

    async def execute(self, *command: Any) -> Any:
        """Send one command, and return its reply."""
        async with self._gate:
            if self._closed:
                raise StoreClosedError
            try:
                return await self._send(*command)
            except Exception as error:
                if self._closed:
                    raise StoreClosedError(outcome="unknown") from error
                raise
            finally:
                if self._closed:  # while this call was out: nobody else hangs up what it may have opened
                    await self._hang_up()  # type: ignore[unreachable]  # close() ran meanwhile

    async def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands in one go, and return their replies; an error stands in its place."""
        async with self._gate:
            if self._closed:
                raise StoreClosedError
            try:
                return await self._send_all(commands)
            except Exception as error:
                if self._closed:
                    raise StoreClosedError(outcome="unknown") from error
                raise
            finally:
                if self._closed:
                    await self._hang_up()  # type: ignore[unreachable]  # close() ran meanwhile

    async def rest(self) -> None:
        """Close the connections that nobody uses at the moment."""
        await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close the connections; a call that is out ends with StoreClosedError."""
        self._closed = True
        await self._hang_up()

    async def _send(self, *command: Any) -> Any:
        connection: Any = await self._take()
        try:
            await connection.send_command(*command)
            return await connection.read_response(disable_decoding=True)
        except self._refused:
            raise
        except BaseException:
            await connection.disconnect(nowait=True)  # or the next caller might read this command's reply
            raise
        finally:
            await self._give(connection)

    async def _send_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        connection: Any = await self._take()
        replies: list[Any] = []
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    replies.append(await connection.read_response(disable_decoding=True))
                except self._refused as error:
                    replies.append(error)
            return replies
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._give(connection)

    async def _hang_up(self) -> None:
        for redis in (self._redis, *self._sentinels):
            await redis.connection_pool.disconnect()


class _Borrowed(Client):
    """A client that the user made, which connects as it was told to."""

    def __init__(self, redis: Any, max_connections: int, refused: Any, taking: Sequence[str]) -> None:
        super().__init__(redis, max_connections, refused)
        self._take = self._connected
        self._taking = taking

    @override
    async def _send(self, *command: Any) -> Any:
        return await super()._send(*encoded(command))

    @override
    async def _send_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        return await super()._send_all([encoded(command) for command in commands])

    async def _connected(self) -> Any:
        try:
            return await self._redis.connection_pool.get_connection(*self._taking)
        except BaseException as error:
            mark_unsent(error)
            raise


@dataclass
class Library(Generic[R]):
    """One of the two libraries, and how its clients are made."""

    dialect: Dialect
    errors: Any
    """Its module of exceptions."""
    redis: type[R]
    """Its client's class."""
    cluster: type[Any]
    """The class of its cluster client."""
    connection: Any
    """Its module of connections."""
    manager: Any
    """Its class of those who ask sentinels."""
    managed: tuple[Any, Any]
    """Its classes of connections to a primary that sentinels know, without and with TLS."""
    pools: tuple[Any, Any]
    """Its classes of pools, without and with sentinels; `get_connection` takes no arguments."""
    parsers: Mapping[str, Any]
    """How it reads the options in a URL."""
    no_retry: Callable[[], Any]
    slot: Callable[[bytes], int]
    """Which slot of a cluster a name belongs to."""
    pack: Callable[..., list[bytes]] | None
    """How its client for threads packs a command, in C, where that is installed; seven times as fast as this one's."""
    taking: tuple[str, ...] = ()
    """What `get_connection` of a user's pool takes."""

    def place(self, url: str) -> Place:
        """Return the servers that a URL names, after a look at what cannot be connected to as it stands."""
        found = place(self.dialect, url, self._known)
        for each in (*found.urls, found.primary):
            try:
                self._options(each)
            except (ValueError, TypeError) as error:
                raise ConfigurationError(
                    f"{self.dialect.store}: an option in the URL has a value of the wrong kind: {error}"
                ) from None
        return found

    def server(self, url: str, timeout: float, credential_provider: object) -> Client:
        """Make a client of one server; it connects when it is used."""
        del timeout  # here `within` ends what takes too long
        return self._client(self._options(url), credential_provider)

    def nodes(self, client: R) -> Nodes | None:
        """Return what a cluster client of the user's tells about its nodes; None if it is not a client of a cluster."""
        check_client(self.dialect.store, client, self.redis, self.cluster)
        if not isinstance(client, self.cluster):
            return None
        manager: Any = getattr(client, "nodes_manager")  # noqa: B009 - it has no types
        first, *_ = manager.startup_nodes.values()
        limit = min(first.max_connections, MAX_CONNECTIONS)
        return Nodes.of(manager, first.connection_class, first.connection_kwargs, limit)

    def node(self, nodes: Nodes, timeout: float, address: str) -> Client:
        """Make a client of a node that connects as the user's cluster client would."""
        del timeout
        host, port = parts(address)
        return self._client({**nodes.options, "host": host, "port": port}, None)

    def _client(self, options: dict[str, Any], credential_provider: object) -> Client:
        kind = options.pop("connection_class", self.connection.Connection)
        limit = options.pop("max_connections", MAX_CONNECTIONS)
        pool = self._pool(kind, options, credential_provider)
        return Client(self._redis(pool), limit, self.errors.ResponseError)

    def _redis(self, pool: Any) -> Any:
        made: Any = self.redis
        return made(connection_pool=pool)

    def sentinel(self, found: Place, timeout: float, credential_provider: object) -> Client:
        """Make a client of the primary that sentinels know; a new connection asks them where it is."""
        manager = self.manager([])
        share = timeout / (len(found.urls) + 1)  # so that one that is silent leaves time for the others
        manager.sentinels = [self._sentinel(url, share) for url in found.urls]
        options = self._options(found.primary)
        secure = options.pop("connection_class", None) is not None
        limit = options.pop("max_connections", MAX_CONNECTIONS)
        pool = self._pool(
            self.managed[secure], options, credential_provider, service_name=found.service, sentinel_manager=manager
        )
        return Client(self._redis(pool), limit, self.errors.ResponseError, manager.sentinels)

    def borrow(self, client: Any) -> Client:
        """Use a client that the user made, and no more connections than its pool allows."""
        allowed: int = getattr(client.connection_pool, "max_connections", MAX_CONNECTIONS)
        return _Borrowed(client, min(allowed, MAX_CONNECTIONS), self.errors.ResponseError, self.taking)

    def _sentinel(self, url: str, seconds: float) -> Any:
        options = self._options(url)
        kind = options.pop("connection_class", self.connection.Connection)
        options |= {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        return self._redis(self._pool(kind, options, None))

    def _pool(self, kind: Any, options: dict[str, Any], credential_provider: object, **sentinels: Any) -> Any:
        defaults = {"protocol": 2, "socket_timeout": None, "socket_connect_timeout": None}
        if credential_provider is not None:
            options["credential_provider"] = credential_provider
        own = {} if self.pack is None else {"pack_command": staticmethod(self.pack)}
        return self.pools[bool(sentinels)](
            connection_class=type(f"Marked{kind.__name__}", (_Marked, kind), own),
            max_connections=2**31,  # the gate waits where the pool would raise
            retry=self.no_retry(),
            **(defaults | options | sentinels | {"encoding": "utf-8"}),
        )

    def _options(self, url: str) -> dict[str, Any]:
        found: dict[str, Any] = dict(self.connection.parse_url(url)) if url else {}
        return found | {name: int(found[name]) for name in NUMBERS if name in found}

    @cached_property
    def _known(self) -> frozenset[str]:
        kinds = ("Connection", "SSLConnection", "UnixDomainSocketConnection")
        return known_options(*[getattr(self.connection, kind) for kind in kinds], parsers=self.parsers)
