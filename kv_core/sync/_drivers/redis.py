"""redis-py's blocking client. The twin is `kv_core/aio/_drivers/redis.py`."""

# redis-py publishes half of its types.
# mypy: disable-error-code="no-untyped-call"
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from kv_core.deadline import left
from kv_core.errors import ConfigurationError, MissingDependencyError, StoreTimeoutError
from kv_core.redis_options import MAX_CONNECTIONS, check_url, closed, known_options

try:
    from redis import Redis
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
        self._hurry()
        try:
            super().connect()
        except BaseException as error:
            error.kv_unsent = True  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] - read by deadline.unsent
            raise

    @override
    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        self._hurry()
        super().send_packed_command(command, check_health)

    def _hurry(self) -> None:
        seconds = left(_LONGEST)
        self.socket_timeout = self.socket_connect_timeout = seconds
        sock: Any = self._sock
        if sock is not None:
            sock.settimeout(seconds)


class _TimelyTCP(_Timely, Connection):
    pass


class _TimelyTLS(_Timely, SSLConnection):
    pass


class _TimelyUnix(_Timely, UnixDomainSocketConnection):
    pass


_TIMELY: dict[Any, Any] = {SSLConnection: _TimelyTLS, UnixDomainSocketConnection: _TimelyUnix}


__all__ = ["Client", "Redis", "borrow", "check", "connect"]


class Client:
    """A Redis client with a bounded number of connections."""

    def __init__(self, redis: Redis, max_connections: int = MAX_CONNECTIONS) -> None:
        self._redis = redis
        self._gate = threading.Semaphore(max_connections)
        self._closed = False

    def execute(self, *command: Any) -> Any:
        """Send one command, and return its reply."""
        self._enter()
        try:
            return self._redis.execute_command(*command, **_BYTES)
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

    def _enter(self) -> None:
        if not self._gate.acquire(blocking=False) and not self._gate.acquire(timeout=left(_LONGEST)):
            raise StoreTimeoutError("All connections were busy until the call's deadline.", outcome="not_applied")
        if self._closed:
            self._gate.release()
            raise closed("not_applied")

    def _leave(self) -> None:
        if self._closed:  # while this call was out: nobody else hangs up what it may have opened
            self._redis.connection_pool.disconnect()
        self._gate.release()

    def close(self) -> None:
        """Close the connections; a call that another thread has out ends with StoreClosedError."""
        self._closed = True
        self._redis.connection_pool.disconnect()


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
    return Client(Redis(connection_pool=pool), limit)


def borrow(client: Redis) -> Client:
    """Use a client that the user made, and no more connections than its pool allows."""
    allowed: int = getattr(client.connection_pool, "max_connections", MAX_CONNECTIONS)
    return Client(client, min(allowed, MAX_CONNECTIONS))
