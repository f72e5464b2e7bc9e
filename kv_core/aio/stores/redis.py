"""Keep entries in Redis."""

from __future__ import annotations

from typing import ClassVar

from kv_core.aio._drivers import redis as driver
from kv_core.aio._drivers.resp import Library
from kv_core.aio.stores._redis import RedisBase


class RedisStore(RedisBase[driver.Redis | driver.RedisCluster]):
    """A store on Redis, on one server, on a Redis Cluster, or behind Redis Sentinel.

    A URL begins with `redis://`, `rediss://` (TLS) or `unix://`. Several nodes are named by
    `redis+cluster://host:6379,host2:6379` or `redis+sentinel://host:26379,host2:26379/mymaster/0`,
    with TLS by `rediss+cluster://` and `rediss+sentinel://`.

    The server ends entries, by its own clock and to the millisecond, rounded up. An acknowledged write is in the
    memory of one server: what a crash or a failover may lose is set by its persistence and replication.
    With a `maxmemory` policy that evicts, the server may drop entries; else it refuses writes (`StoreFullError`).
    On a cluster a bulk operation is one round trip to each node, and may fail in part (`PartialFailureError`).
    """

    _library: ClassVar[Library[driver.Redis | driver.RedisCluster]] = driver.LIBRARY
