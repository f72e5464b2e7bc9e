"""redis-py's blocking client. The twin is `kv_core/aio/_drivers/redis.py`."""

# redis-py publishes half of its types.
# mypy: disable-error-code="no-untyped-call"
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any

from typing_extensions import override

from kv_core.deadline import left
from kv_core.errors import ConfigurationError, MissingDependencyError, StoreTimeoutError
from kv_core.redis_options import MAX_CONNECTIONS, check_url, closed, known_options

try:
    from redis import Redis
    from redis import exceptions as errors
    from redis import exceptions as redis_errors
    from redis.backoff import NoBackoff
    from redis.connection import (
        URL_QUERY_ARGUMENT_PARSERS,
        AbstractConnection,
        Connection,
        ConnectionPool,
        SSLConnection,
        UnixDomainSocketConnection,
        parse_url,
    )
    from redis.retry import Retry
except ImportError as error:
    raise MissingDependencyError("RedisStore needs redis-py: pip install 'kvstack[redis]'") from error

_KNOWN = known_options(Connection, SSLConnection, UnixDomainSocketConnection, parsers=URL_QUERY_ARGUMENT_PARSERS)
_BYTES: dict[str, Any] = {"NEVER_DECODE": True}  # values are bytes, however the client was configured
_LONGEST = 3600.0


class _Timely(AbstractConnection):
    """A connection whose socket timeouts are what is left of the call's deadline."""

    @override
    def connect(self) -> None:
        if self._sock is None:
            self.socket_timeout = self.socket_connect_timeout = left(_LONGEST)
        try:
            super().connect()
        except BaseException as error:
            error.kv_unsent = True  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] - read by deadline.unsent
            raise

    @override
    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        seconds = left(_LONGEST)
        sock: Any = self._sock
        if sock is None:
            self.socket_timeout = self.socket_connect_timeout = seconds
        else:
            sock.settimeout(seconds)
        super().send_packed_command(command, check_health)


class _TimelyTCP(_Timely, Connection):
    pass


class _TimelyTLS(_Timely, SSLConnection):
    pass


class _TimelyUnix(_Timely, UnixDomainSocketConnection):
    pass


_TIMELY: dict[Any, Any] = {SSLConnection: _TimelyTLS, UnixDomainSocketConnection: _TimelyUnix}


__all__ = ["Client", "Redis", "borrow", "check", "connect", "errors"]


class Client:
    """A Redis client with a bounded number of connections."""

    def __init__(self, redis: Redis, max_connections: int = MAX_CONNECTIONS) -> None:
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
                raise closed("unknown") from error
            raise
        finally:
            self._leave()

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands in one go, and return their replies; an error stands in its place."""
        self._enter()
        try:
            pipe = self._redis.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command, **_BYTES)
            return pipe.execute(raise_on_error=False)
        except Exception as error:
            if self._closed:
                raise closed("unknown") from error
            raise
        finally:
            self._leave()

    def _send(self, *command: Any) -> Any:
        return self._redis.execute_command(*command, **_BYTES)

    def _enter(self) -> None:
        try:
            self._permits.get(timeout=left(_LONGEST))
        except Empty:
            message = "All connections were busy until the call's deadline."
            raise StoreTimeoutError(message, outcome="not_applied") from None
        if self._closed:
            self._permits.put(None)
            raise closed("not_applied")

    def _leave(self) -> None:
        if self._closed:  # while this call was out: nobody else hangs up what it may have opened
            self._redis.connection_pool.disconnect()
        self._permits.put(None)

    def close(self) -> None:
        """Close the connections; a call that another thread has out ends with StoreClosedError."""
        self._closed = True
        self._redis.connection_pool.disconnect()


class _OwnClient(Client):
    """A client that we made: single commands go straight to a connection, past redis-py's retries, which are off.

    Beside a loopback round trip that makes a `get` a quarter faster.
    """

    @override
    def _send(self, *command: Any) -> Any:
        pool = self._redis.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_command(*command)
            return connection.read_response(disable_decoding=True)
        except redis_errors.ResponseError:
            raise
        except BaseException:
            connection.disconnect()  # or the next caller might read this command's reply
            raise
        finally:
            pool.release(connection)


def check(url: str) -> None:
    """Refuse a URL that cannot be connected to as it stands; nothing is sent."""
    check_url("RedisStore", url, _KNOWN)
    try:
        parse_url(url)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"RedisStore: an option in the URL has a value of the wrong kind: {error}") from None


def connect(url: str, timeout: float, credential_provider: object) -> Client:
    """Make a client; it connects when it is used, and each call has what is left of its deadline."""
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.pop("connection_class", None)
    limit = options.pop("max_connections", MAX_CONNECTIONS)
    if credential_provider is not None:
        options["credential_provider"] = credential_provider
    options = {"protocol": 2} | options | {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    pool: Any = ConnectionPool(
        connection_class=_TIMELY.get(kind, _TimelyTCP),
        max_connections=2**31,  # the gate waits where the pool would raise
        retry=Retry(NoBackoff(), 0),
        **options,
    )
    return _OwnClient(Redis(connection_pool=pool), limit)


def borrow(client: Redis) -> Client:
    """Use a client that the user made, and no more connections than its pool allows."""
    allowed: int = getattr(client.connection_pool, "max_connections", MAX_CONNECTIONS)
    return Client(client, min(allowed, MAX_CONNECTIONS))
