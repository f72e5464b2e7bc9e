"""Write what py-key-value keeps in Redis to a file: `python write_redis.py redis://localhost:6379/0`, on an empty one.

It runs in an environment that has `py-key-value-aio[redis]` in the version whose layout is to be kept.
"""

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path

from key_value.aio.stores.redis import RedisStore
from redis import Redis
from values import FAR, VALUES


async def write(url: str) -> None:
    store = RedisStore(url=url, default_collection="default_collection")
    async with store:
        for key, value in VALUES.items():
            await store.put(key, value)
            await store.put(key, value, collection="users", ttl=FAR)
        await store.put_many(["many 1", "many 2"], [{"n": 1}, {"n": 2}], collection="bulk")
        await store.put_many(["many 3", "many 4"], [{"n": 3}, {"n": 4}], collection="bulk", ttl=FAR)


def read(url: str) -> list[dict[str, object]]:
    with Redis.from_url(url, decode_responses=True) as client:
        return [
            {"name": name, "data": client.get(name), "ends": client.ttl(name) > 0} for name in sorted(client.keys())
        ]


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1]))
    release = version("py-key-value-aio")
    kept = {"writer": f"py-key-value-aio {release}", "store": "RedisStore", "entries": read(sys.argv[1])}
    path = Path(__file__).with_name(f"redis-{release}.json")
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=True) + "\n")
