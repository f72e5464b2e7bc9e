"""What it brings to send many tasks' gets and puts together, and what a lone caller pays for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis

from benchmarks._harness import Bench, Operation, Rival
from kv_core.aio.stores.redis import RedisStore
from kv_core.aio.wrappers.coalesce import CoalesceWrapper

VALUE: dict[str, Any] = {"name": "Ada", "age": 36, "admin": True, "score": 0.5, "note": None}
DATA = b'{"name":"Ada","age":36,"admin":true,"score":0.5,"note":null}'
MANY = (10, 50, 500)
FASTER = {("get", 50): 5.0}
LONE = 1.05
"""What a lone caller may pay, times the same call without the wrapper."""


def main(bench: Bench) -> None:
    """Measure one caller, and many at once."""
    if bench.redis is None:
        print("\nCoalesceWrapper: skipped, there is no redis-server")
        return
    raw: Any = Redis.from_url(bench.redis, max_connections=2 * max(MANY))  # it refuses what is more than its pool
    bare = RedisStore(url=bench.redis)
    stack = CoalesceWrapper(RedisStore(url=bench.redis))
    names = [f"user:{number}" for number in range(max(MANY))]

    async def fill() -> None:
        await raw.mset(dict.fromkeys(names, DATA))
        await bare.put_many(names, [VALUE] * len(names))

    bench.run(fill)
    bench.title("CoalesceWrapper on Redis: one caller")
    for what, ours, without, client in (
        ("get", lambda: stack.get(names[0]), lambda: bare.get(names[0]), lambda: raw.get(names[0])),
        ("put", lambda: stack.put(names[0], VALUE), lambda: bare.put(names[0], VALUE), lambda: raw.set("raw", DATA)),
    ):
        bench.compare(
            f"one {what}",
            _alone(ours),
            Rival("without the wrapper", _alone(without), at_most=LONE),
            Rival("redis.asyncio", _alone(client)),
        )
    bench.title("CoalesceWrapper on Redis: many callers at once, a call")
    for count in MANY:
        few = names[:count]
        for what, ours, without, client in (
            ("get", stack.get, bare.get, raw.get),
            ("put", _put(stack), _put(bare), lambda name: raw.set(f"raw:{name}", DATA)),
        ):
            bench.compare(
                f"{count} {what}s",
                _at_once(ours, few),
                Rival("redis.asyncio", _at_once(client, few), faster=FASTER.get((what, count))),
                Rival("without the wrapper", _at_once(without, few)),
                calls=count,
            )
    for one in (stack.close, bare.close, raw.aclose):
        bench.run(one)


def _put(store: Any) -> Callable[[str], Awaitable[Any]]:
    return lambda name: store.put(name, VALUE)


def _alone(call: Callable[[], Awaitable[Any]]) -> Operation:
    async def alone() -> None:
        await call()

    return alone


def _at_once(call: Callable[[str], Awaitable[Any]], names: list[str]) -> Operation:
    async def at_once() -> None:
        found = await asyncio.gather(*[call(name) for name in names])
        assert len(found) == len(names)

    return at_once
