"""The servers that the tests talk to: each kind is a subclass of `Kind`, listed here."""

from servers.base import Kind, NotAvailableError, Server
from servers.elasticsearch import Elasticsearch
from servers.memcached import Memcached, MemcachedNodes
from servers.mongodb import MongoDB
from servers.redis import Redis, Valkey
from servers.redis_sets import Cluster, Sentinel

__all__ = ["EMBEDDED", "KINDS", "Kind", "NotAvailableError", "Server"]

EMBEDDED = ("memory", "disk", "multi_disk", "simple", "null")
"""Backends that need no server."""

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Redis(),
        Cluster(Redis()),
        Sentinel(Redis()),
        Valkey(),
        Cluster(Valkey()),
        Sentinel(Valkey()),
        Memcached(),
        MemcachedNodes(),
        MongoDB(),
        Elasticsearch(),
    )
}
"""Kinds of servers by the name that is in `KV_TEST_<NAME>_URL`, in the fixtures and in the summary."""
