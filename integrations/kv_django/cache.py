"""A cache backend for Django on a stack of `KV_STORES`, or on one that `CACHES` describes in place.

An example::

CACHES = {
    "default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default"},
    "pages": {
        "BACKEND": "kv_django.cache.KeyValueCache",
        "LOCATION": "redis://cache.example:6379/0",
        "OPTIONS": {"STORE": {"timeout": 0.5}, "WRAPPERS": ["statistics"], "SERIALIZER": "json"},
    },
}
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from kv_django._cache_async import AsyncMethods
from kv_django._cache_sync import SyncMethods


class KeyValueCache(SyncMethods, AsyncMethods):
    """All of Django's cache methods: those for threads on the sync stack, each `a…` on the stack for event loops.

    `add`, `incr`, `decr`, `touch` and `set` with *nx* or *xx* are one step on the server, `…_many` one round trip.
    A cache is one collection of its stack (`OPTIONS["COLLECTION"]`, by default `cache:<KEY_PREFIX>`), and `clear`
    empties that alone. `incr` counts in signed 64 bits and keeps the expiry; `incr_version` keeps it too.
    Errors of the store pass through: an outage is not a miss.
    """

    @override
    def close(self, **kwargs: Any) -> None:
        """Do nothing: at the end of a request connections stay open for the next; see `kv_django.close_stores`."""

    @override
    async def aclose(self, **kwargs: Any) -> None:
        """Do nothing: at the end of a request connections stay open for the next; see `kv_django.aclose_stores`."""
