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

FAR = 3_000_000_000
"""A ttl that ends after those who read this, in seconds."""

VALUES = {
    "greeting": {"text": "hello"},
    "empty": {},
    "texts": {"t": ["", "é", "e\u0301", "🗝", "\u2028", "\0", "\r\n", '"', "\\", "</script>", "null", "1"]},
    "numbers": {"n": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)], "x": [0.1, -0.0, 1e16, 1e-7, 5e-324, 1.0]},
    "constants": {"yes": True, "no": False, "none": None},
    "nested": {"a": [[], {}, [[1, [2, {"b": {"c": []}}]]]], "": {"": 1}, "a.b": {"$set": 2}},
    "counter": {"value": 41},
    "like an entry": {"collection": "c", "key": "k", "value": {"value": 1}, "version": 1},
    "user:1": {"name": "Ada", "tags": ["a", "b"], "age": 36},
    "a::b": {"n": 1},
    "": {"n": 2},
    "é🗝": {"n": 3},
    "percent%20": {"n": 4},
}


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
