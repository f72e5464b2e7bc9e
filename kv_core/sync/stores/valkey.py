# Written by tools/mirror.py from kv_core/aio/stores/valkey.py: change that file instead.
"""Keep entries in Valkey."""

from __future__ import annotations

from typing import ClassVar

from kv_core.sync._drivers import valkey as driver
from kv_core.sync._drivers.resp import Library
from kv_core.sync.stores._redis import RedisBase


class ValkeyStore(RedisBase[driver.Valkey | driver.ValkeyCluster]):
    """A store on Valkey, on one server, on a cluster, or behind sentinels.

    A URL begins with `valkey://`, `valkeys://` (TLS) or `unix://`. Several nodes are named by
    `valkey+cluster://host:6379,host2:6379` or `valkey+sentinel://host:26379,host2:26379/mymaster/0`,
    with TLS by `valkeys+cluster://` and `valkeys+sentinel://`.

    The server ends entries, by its own clock and to the millisecond, rounded up. An acknowledged write is in the
    memory of one server: what a crash or a failover may lose is set by its persistence and replication.
    With a `maxmemory` policy that evicts, the server may drop entries; else it refuses writes (`StoreFullError`).
    On a cluster a bulk operation is one round trip to each node, and may fail in part (`PartialFailureError`).
    """

    _library: ClassVar[Library[driver.Valkey | driver.ValkeyCluster]] = driver.LIBRARY
