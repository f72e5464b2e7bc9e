"""Django's cache API on our backend, against Django's own backends and django-redis."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, Any

from benchmarks._harness import Rival

if TYPE_CHECKING:
    from benchmarks._harness import Bench

VALUE = {"id": 12345, "name": "Ada Lovelace", "email": "ada@example.org", "active": True, "score": 0.75}
MANY = {f"many:{number}": VALUE for number in range(100)}
AT_ONCE = 50


def main(bench: Bench) -> None:
    from django.conf import settings

    ours = {"BACKEND": "kv_django.cache.KeyValueCache"}
    caches: dict[str, Any] = {
        "default": {**ours, "LOCATION": "memory://"},
        "locmem": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    }
    if bench.redis is not None:
        caches["redis"] = {**ours, "LOCATION": bench.redis}
        caches["coalesced"] = {**caches["redis"], "OPTIONS": {"WRAPPERS": ["coalesce"]}, "KEY_PREFIX": "coalesced"}
        caches["django"] = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": bench.redis}
        if importlib.util.find_spec("django_redis"):
            caches["django-redis"] = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": bench.redis}
    settings.configure(SECRET_KEY="a key for benchmarks", CACHES=caches)  # noqa: S106 - it guards nothing
    _memory(bench)
    if bench.redis is not None:
        _redis(bench, "django-redis" in caches)
        _at_once(bench, "django-redis" in caches)
    import kv_django

    bench.run(kv_django.aclose_stores)


def _memory(bench: Bench) -> None:
    from django.core.cache import caches

    bench.title("Django cache in memory")
    ours, locmem = caches["default"], caches["locmem"]
    for cache in (ours, locmem):
        cache.set("key", VALUE)
        cache.set("text", "some text")
        cache.set("count", 1)
    calls: dict[str, Any] = {
        "set": lambda cache: lambda: cache.set("key", VALUE),
        "get": lambda cache: lambda: cache.get("key"),
        "set of a str": lambda cache: lambda: cache.set("text", "some text"),
        "get of a str": lambda cache: lambda: cache.get("text"),
        "incr": lambda cache: lambda: cache.incr("count"),
    }
    for name, call in calls.items():
        bench.compare(name, call(ours), Rival("LocMemCache", call(locmem), at_most=1.5))

    def both(cache: Any) -> Any:
        def call() -> None:
            cache.set("key", VALUE)
            cache.get("key")

        return call

    bench.compare("set and get", both(ours), Rival("LocMemCache", both(locmem), at_most=1.5))


def _redis(bench: Bench, with_django_redis: bool) -> None:
    from django.core.cache import caches

    bench.title("Django cache on Redis, sync")
    calls: dict[str, Any] = {
        "set": lambda cache: lambda: cache.set("key", VALUE),
        "get": lambda cache: lambda: cache.get("key"),
        "get_many of 100": lambda cache: lambda: cache.get_many(MANY),
        "set_many of 100": lambda cache: lambda: cache.set_many(MANY),
        "incr": lambda cache: lambda: cache.incr("count"),
    }
    for cache in caches.all():
        cache.set_many({**MANY, "key": VALUE, "count": 1}, timeout=None)
    for name, call in calls.items():
        bulk = "many" in name
        rivals = [Rival("Django's RedisCache", call(caches["django"]), faster=1.0 if bulk else 1.6)]
        if with_django_redis:
            rivals.append(Rival("django-redis", call(caches["django-redis"]), at_most=1.0 if bulk else 1.1))
        bench.compare(name, call(caches["redis"]), *rivals)


def _at_once(bench: Bench, with_django_redis: bool) -> None:
    from django.core.cache import caches

    bench.title(f"Django cache on Redis, async, {AT_ONCE} at once")

    def at_once(cache: Any, name: str) -> Any:
        async def call() -> None:
            if name == "aget":
                await asyncio.gather(*[cache.aget("key") for _ in range(AT_ONCE)])
            else:
                await asyncio.gather(*[cache.aset("key", VALUE) for _ in range(AT_ONCE)])

        return call

    for name in ("aset", "aget"):
        rivals = [Rival("Django's RedisCache", at_once(caches["django"], name))]
        if with_django_redis:
            rivals.append(Rival("django-redis", at_once(caches["django-redis"], name), faster=1.6))
        bench.compare(name, at_once(caches["redis"], name), *rivals, calls=AT_ONCE)
        if with_django_redis:
            rival = Rival("django-redis", at_once(caches["django-redis"], name), faster=5.0)
            bench.compare(f"{name}, with coalesce", at_once(caches["coalesced"], name), rival, calls=AT_ONCE)
