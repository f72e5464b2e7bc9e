"""redis-py for event loops. The twin is `kv_core/sync/_drivers/redis.py`."""

# redis-py publishes half of its types.
# mypy: disable-error-code="no-untyped-call"
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from kv_core.aio._drivers.resp import Library
from kv_core.errors import MissingDependencyError
from kv_core.redis_options import REDIS

try:
    from redis import exceptions as errors
    from redis.asyncio import Redis, RedisCluster, connection, sentinel
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.connection import HiredisRespSerializer
    from redis.crc import key_slot
    from redis.utils import HIREDIS_AVAILABLE
except ImportError as error:
    raise MissingDependencyError("RedisStore needs redis-py: pip install 'kvstack[redis]'") from error

__all__ = ["LIBRARY", "Redis", "RedisCluster"]

LIBRARY: Library[Redis | RedisCluster] = Library(
    dialect=REDIS,
    errors=errors,
    redis=Redis,
    cluster=RedisCluster,
    connection=connection,
    manager=sentinel.Sentinel,
    managed=(sentinel.SentinelManagedConnection, sentinel.SentinelManagedSSLConnection),
    pools=(connection.ConnectionPool, sentinel.SentinelConnectionPool),
    parsers=connection.URL_QUERY_ARGUMENT_PARSERS,
    no_retry=lambda: Retry(NoBackoff(), 0),
    slot=key_slot,
    pack=HiredisRespSerializer().pack if HIREDIS_AVAILABLE else None,
)
