"""redis-py's client for event loops. The twin is `kv_core/sync/_drivers/redis.py`."""

# redis-py publishes half of its types.
# mypy: disable-error-code="no-untyped-call"
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from kv_core.errors import ConfigurationError, MissingDependencyError
from kv_core.redis_options import MAX_CONNECTIONS, check_url, closed, known_options

try:
    from redis import exceptions as errors
    from redis.asyncio import Redis
    from redis.asyncio.connection import (
        URL_QUERY_ARGUMENT_PARSERS,
        AbstractConnection,
        Connection,
        ConnectionPool,
        SSLConnection,
        UnixDomainSocketConnection,
        parse_url,
    )
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError as error:
    raise MissingDependencyError("RedisStore needs redis-py: pip install 'kvstack[redis]'") from error

_KNOWN = known_options(Connection, SSLConnection, UnixDomainSocketConnection, parsers=URL_QUERY_ARGUMENT_PARSERS)
_BYTES: dict[str, Any] = {"NEVER_DECODE": True}  # values are bytes, however the client was configured


class _Marked(AbstractConnection):
    """A connection that marks what goes wrong before a command was sent."""

    @override
    async def connect(self) -> None:
        try:
            await super().connect()
        except BaseException as error:
            error.kv_unsent = True  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] - read by deadline.unsent
            raise


class _MarkedTCP(_Marked, Connection):
    pass


class _MarkedTLS(_Marked, SSLConnection):
    pass


class _MarkedUnix(_Marked, UnixDomainSocketConnection):
    pass


_MARKED: dict[Any, type[_Marked]] = {SSLConnection: _MarkedTLS, UnixDomainSocketConnection: _MarkedUnix}


__all__ = ["Client", "Redis", "borrow", "check", "connect", "errors"]


class Client:
    """A Redis client with a bounded number of connections."""

    def __init__(self, redis: Redis, max_connections: int = MAX_CONNECTIONS) -> None:
        self._redis = redis
        self._gate = asyncio.Semaphore(max_connections)
        self._closed = False

    async def execute(self, *command: Any) -> Any:
        """Send one command, and return its reply."""
        async with self._gate:
            if self._closed:
                raise closed("not_applied")
            try:
                return await self._send(*command)
            except Exception as error:
                if self._closed:
                    raise closed("unknown") from error
                raise
            finally:
                if self._closed:  # while this call was out: nobody else hangs up what it may have opened
                    await self._redis.connection_pool.disconnect()  # type: ignore[unreachable]  # close() ran meanwhile

    async def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands in one go, and return their replies; an error stands in its place."""
        async with self._gate:
            if self._closed:
                raise closed("not_applied")
            pipe = self._redis.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command, **_BYTES)  # pyright: ignore[reportUnusedCoroutine] - a pipeline only notes it
            try:
                return await pipe.execute(raise_on_error=False)
            except Exception as error:
                if self._closed:
                    raise closed("unknown") from error
                raise
            finally:
                if self._closed:
                    await self._redis.connection_pool.disconnect()  # type: ignore[unreachable]  # close() ran meanwhile

    async def _send(self, *command: Any) -> Any:
        return await self._redis.execute_command(*command, **_BYTES)

    async def close(self) -> None:
        """Close the connections; a call that is out ends with StoreClosedError."""
        self._closed = True
        await self._redis.aclose(close_connection_pool=True)


class _OwnClient(Client):
    """A client that we made: single commands go straight to a connection, past redis-py's retries, which are off.

    That takes off a tenth of what a `get` costs.
    """

    @override
    async def _send(self, *command: Any) -> Any:
        pool = self._redis.connection_pool
        connection: Any = await pool.get_connection()
        try:
            await connection.send_command(*command)
            return await connection.read_response(disable_decoding=True)
        except errors.ResponseError:
            raise
        except BaseException:
            await connection.disconnect(nowait=True)  # or the next caller might read this command's reply
            raise
        finally:
            await pool.release(connection)


def check(url: str) -> None:
    """Refuse a URL that cannot be connected to as it stands; nothing is sent."""
    check_url("RedisStore", url, _KNOWN)
    try:
        parse_url(url)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"RedisStore: an option in the URL has a value of the wrong kind: {error}") from None


def connect(url: str, timeout: float, credential_provider: object) -> Client:
    """Make a client; it connects when it is used."""
    del timeout  # here `within` ends what takes too long
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.pop("connection_class", None)
    limit = options.pop("max_connections", MAX_CONNECTIONS)
    if credential_provider is not None:
        options["credential_provider"] = credential_provider
    defaults: dict[str, Any] = {"protocol": 2, "socket_timeout": None, "socket_connect_timeout": None}
    pool: Any = ConnectionPool(
        connection_class=_MARKED.get(kind, _MarkedTCP),
        max_connections=2**31,  # the gate waits where the pool would raise
        retry=Retry(NoBackoff(), 0),
        **(defaults | options),
    )
    return _OwnClient(Redis(connection_pool=pool), limit)


def borrow(client: Redis) -> Client:
    """Use a client that the user made, and no more connections than its pool allows."""
    allowed: int = getattr(client.connection_pool, "max_connections", MAX_CONNECTIONS)
    return Client(client, min(allowed, MAX_CONNECTIONS))
