"""Know the stores and wrappers that settings can name, ours and those of other distributions.

Others add theirs by entry points of the groups `kvstack.stores` (named by URL scheme) and `kvstack.wrappers`
(named as in settings); each loads a `Kind`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final

from kv_core.errors import ConfigurationError
from kv_core.options import load_object
from kv_core.url import Location, path_of


@dataclass(frozen=True)
class Kind:
    """A store or a wrapper, on both sides.

    Attributes:
        aio: The dotted path of its class on the async side.
        sync: The same on the sync side.
        options: What a URL says beyond its query, as constructor options; None: the store takes the URL as `url=`,
            with the options that are not its own.
    """

    aio: str
    sync: str
    options: Callable[[Location], dict[str, Any]] | None = None

    def load_async(self) -> Any:
        """Import the class of the async side."""
        return load_object(self.aio, "stack")

    def load_sync(self) -> Any:
        """Import the class of the sync side."""
        return load_object(self.sync, "stack")


def _kind(path: str, options: Callable[[Location], dict[str, Any]] | None = None) -> Kind:
    return Kind(f"kv_core.aio.{path}", f"kv_core.sync.{path}", options)


def _memory(location: Location) -> dict[str, Any]:
    name = path_of(location).strip("/")
    return {"name": name} if name else {}


def _directory(location: Location) -> dict[str, Any]:
    return {"directory": path_of(location)} if location.address or location.path else {}


def _no_place(location: Location) -> dict[str, Any]:
    if location.address or location.path:
        raise ConfigurationError(f"{location.scheme}:// has no host and no path, only options, after a question mark.")
    return {}


_FORMS: Final = ("", "s", "+unix", "+cluster", "s+cluster", "+sentinel", "s+sentinel")
_ELASTICSEARCH = _kind("stores.elasticsearch.ElasticsearchStore")
_MONGODB = _kind("stores.mongodb.MongoDBStore")
_REDIS = _kind("stores.redis.RedisStore")
_VALKEY = _kind("stores.valkey.ValkeyStore")
_MEMCACHED = _kind("stores.memcached.MemcachedStore")

STORES: Final = {
    "memory": _kind("stores.memory.MemoryStore", _memory),
    "simple": _kind("stores.simple.SimpleStore", _no_place),
    "null": _kind("stores.null.NullStore", _no_place),
    "disk": _kind("stores.disk.DiskStore", _directory),
    "multi-disk": _kind("stores.multi_disk.MultiDiskStore", _directory),
    "elasticsearch": _ELASTICSEARCH,
    "elasticsearchs": _ELASTICSEARCH,
    "mongodb": _MONGODB,
    "mongodb+srv": _MONGODB,
    "unix": _REDIS,
    **{f"redis{form}": _REDIS for form in _FORMS},
    **{f"valkey{form}": _VALKEY for form in _FORMS},
    "memcached": _MEMCACHED,
    "memcacheds": _MEMCACHED,
}
"""Stores by URL scheme."""

WRAPPERS: Final = {
    "circuit_breaker": _kind("wrappers.circuit_breaker.CircuitBreakerWrapper"),
    "coalesce": _kind("wrappers.coalesce.CoalesceWrapper"),
    "compression": _kind("wrappers.compression.CompressionWrapper"),
    "default_value": _kind("wrappers.default_value.DefaultValueWrapper"),
    "fallback": _kind("wrappers.fallback.FallbackWrapper"),
    "fernet": _kind("wrappers.encryption.fernet.FernetEncryptionWrapper"),
    "limit_size": _kind("wrappers.limit_size.LimitSizeWrapper"),
    "logging": _kind("wrappers.logging.LoggingWrapper"),
    "passthrough_cache": _kind("wrappers.passthrough_cache.PassthroughCacheWrapper"),
    "prefix_collections": _kind("wrappers.prefix_collections.PrefixCollectionsWrapper"),
    "prefix_keys": _kind("wrappers.prefix_keys.PrefixKeysWrapper"),
    "read_only": _kind("wrappers.read_only.ReadOnlyWrapper"),
    "retry": _kind("wrappers.retry.RetryWrapper"),
    "single_collection": _kind("wrappers.single_collection.SingleCollectionWrapper"),
    "statistics": _kind("wrappers.statistics.StatisticsWrapper"),
    "timeout": _kind("wrappers.timeout.TimeoutWrapper"),
    "ttl_clamp": _kind("wrappers.ttl_clamp.TTLClampWrapper"),
}
"""Wrappers by their name in settings."""


def stores() -> dict[str, Kind]:
    """Return every kind of store by URL scheme."""
    return {**_others("kvstack.stores"), **STORES}


def wrappers() -> dict[str, Kind]:
    """Return every kind of wrapper by its name in settings."""
    return {**_others("kvstack.wrappers"), **WRAPPERS}


@cache
def _others(group: str) -> dict[str, Kind]:
    return {point.name: point.load() for point in entry_points(group=group)}
