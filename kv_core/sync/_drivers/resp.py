"""What redis-py and valkey-py have in common for threads. The twin is `kv_core/aio/_drivers/resp.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from typing_extensions import override

from kv_core.deadline import left, mark_unsent
from kv_core.errors import ConfigurationError, StoreClosedError, StoreTimeoutError
from kv_core.redis_options import MAX_CONNECTIONS, NUMBERS, Dialect, Place, known_options, place

R = TypeVar("R")

_BYTES: dict[str, Any] = {"NEVER_DECODE": True}  # values are bytes, however the client was configured
_LONGEST = 3600.0


class _Timely:
    """A connection whose socket timeouts are what is left of the call's deadline.

    What goes wrong before a command was sent is marked.
    """

    kv_longest = _LONGEST

    def connect(self) -> None:
        me: Any = self
        if me._sock is None:
            me.socket_timeout = me.socket_connect_timeout = left(self.kv_longest)
        try:
            super().connect()  # type: ignore[misc] # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue] - of the library's connection
        except BaseException as error:
            mark_unsent(error)
            raise

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        me: Any = self
        seconds = left(self.kv_longest)
        if me._sock is None:
            me.socket_timeout = me.socket_connect_timeout = seconds
        else:
            me._sock.settimeout(seconds)
        super().send_packed_command(command, check_health)  # type: ignore[misc] # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue] - as above


class Client:
    """A client of one server with a bounded number of connections."""

    def __init__(self, redis: Any, max_connections: int = MAX_CONNECTIONS) -> None:
        self._redis = redis
        self._permits: SimpleQueue[None] = SimpleQueue()  # a fifth of the time that threading.Semaphore takes
        for _ in range(max_connections):
            self._permits.put(None)
        self._closed = False

    def execute(self, *command: Any) -> Any:
        """Send one command, and return its reply."""
        self._enter()
        try:
            return self._send(*command)
        except Exception as error:
            if self._closed:
                raise StoreClosedError(outcome="unknown") from error
            raise
        finally:
            self._leave()

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands in one go, and return their replies; an error stands in its place."""
        self._enter()
        try:
            return self._send_all(commands)
        except Exception as error:
            if self._closed:
                raise StoreClosedError(outcome="unknown") from error
            raise
        finally:
            self._leave()

    def rest(self) -> None:
        """Close the connections that nobody uses at the moment."""
        self._redis.connection_pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        """Close the connections; a call that another thread has out ends with StoreClosedError."""
        self._closed = True
        self._hang_up()

    def _enter(self) -> None:
        try:
            self._permits.get(timeout=left(_LONGEST))
        except Empty:
            message = "All connections were busy until the call's deadline."
            raise StoreTimeoutError(message, outcome="not_applied") from None
        if self._closed:
            self._permits.put(None)
            raise StoreClosedError

    def _leave(self) -> None:
        if self._closed:  # while this call was out: nobody else hangs up what it may have opened
            self._hang_up()
        self._permits.put(None)

    def _send(self, *command: Any) -> Any:
        return self._redis.execute_command(*command, **_BYTES)

    def _send_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command, **_BYTES)
        replies: list[Any] = pipe.execute(raise_on_error=False)
        return replies

    def _hang_up(self) -> None:
        self._redis.connection_pool.disconnect()


class _OwnClient(Client):
    """A client that we made: commands go straight to a connection, past the library's retries, which are off.

    Beside a loopback round trip that makes a `get` a quarter faster, and a pipeline twice as fast.
    """

    def __init__(self, redis: Any, max_connections: int, refused: Any, sentinels: Sequence[Any] = ()) -> None:
        super().__init__(redis, max_connections)
        self._refused = refused
        self._sentinels = sentinels

    @override
    def _send(self, *command: Any) -> Any:
        pool = self._redis.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response(disable_decoding=True)
        except self._refused:
            raise
        except BaseException:
            connection.disconnect()  # or the next caller might read this command's reply
            raise
        finally:
            pool.release(connection)

    @override
    def _send_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        pool = self._redis.connection_pool
        connection: Any = pool.get_connection()
        replies: list[Any] = []
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    replies.append(connection.read_response(disable_decoding=True))
                except self._refused as error:
                    replies.append(error)
            return replies
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    @override
    def _hang_up(self) -> None:
        for redis in (self._redis, *self._sentinels):
            redis.connection_pool.disconnect()


@dataclass
class Library(Generic[R]):
    """One of the two libraries, and how its clients are made."""

    dialect: Dialect
    errors: Any
    """Its module of exceptions."""
    redis: Callable[..., R]
    """Its client's class."""
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
        """Make a client of one server; it connects when it is used, and each call has what is left of its deadline."""
        options = self._options(url)
        options |= {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        kind = options.pop("connection_class", self.connection.Connection)
        limit = options.pop("max_connections", MAX_CONNECTIONS)
        pool = self._pool(kind, options, credential_provider)
        return _OwnClient(self.redis(connection_pool=pool), limit, self.errors.ResponseError)

    def sentinel(self, found: Place, timeout: float, credential_provider: object) -> Client:
        """Make a client of the primary that sentinels know; a new connection asks them where it is."""
        manager = self.manager([])
        share = timeout / (len(found.urls) + 1)  # so that one that is silent leaves time for the others
        manager.sentinels = [self._sentinel(url, share) for url in found.urls]
        options = self._options(found.primary)
        options |= {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        secure = options.pop("connection_class", None) is not None
        limit = options.pop("max_connections", MAX_CONNECTIONS)
        pool = self._pool(
            self.managed[secure], options, credential_provider, service_name=found.service, sentinel_manager=manager
        )
        return _OwnClient(self.redis(connection_pool=pool), limit, self.errors.ResponseError, manager.sentinels)

    def borrow(self, client: Any) -> Client:
        """Use a client that the user made, and no more connections than its pool allows."""
        if hasattr(client, "nodes_manager"):
            raise ConfigurationError(
                f"{self.dialect.store} makes its own client of a cluster: pass url='{self.dialect.scheme}+cluster://…'."
            )
        allowed: int = getattr(client.connection_pool, "max_connections", MAX_CONNECTIONS)
        return Client(client, min(allowed, MAX_CONNECTIONS))

    def _sentinel(self, url: str, seconds: float) -> Any:
        options = self._options(url)
        kind = options.pop("connection_class", self.connection.Connection)
        options |= {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        return self.redis(connection_pool=self._pool(kind, options, None, longest=seconds))

    def _pool(
        self,
        kind: Any,
        options: dict[str, Any],
        credential_provider: object,
        longest: float = _LONGEST,
        **sentinels: Any,
    ) -> Any:
        if credential_provider is not None:
            options["credential_provider"] = credential_provider
        return self.pools[bool(sentinels)](
            connection_class=type(f"Timely{kind.__name__}", (_Timely, kind), {"kv_longest": longest}),
            max_connections=2**31,  # the gate waits where the pool would raise
            retry=self.no_retry(),
            **({"protocol": 2} | options | sentinels),
        )

    def _options(self, url: str) -> dict[str, Any]:
        found: dict[str, Any] = dict(self.connection.parse_url(url)) if url else {}
        return found | {name: int(found[name]) for name in NUMBERS if name in found}

    @cached_property
    def _known(self) -> frozenset[str]:
        kinds = ("Connection", "SSLConnection", "UnixDomainSocketConnection")
        return known_options(*[getattr(self.connection, kind) for kind in kinds], parsers=self.parsers)
