"""Write what py-key-value keeps in Memcached to a file: `python write_memcached.py localhost 11211`, on an empty one.

It runs in an environment that has `py-key-value-aio[memcached]` in the version whose layout is to be kept.
"""

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path

from aiomcache import Client
from key_value.aio.stores.memcached import MemcachedStore
from values import VALUES

TTL = 2_000_000_000  # 0.4 sends it as the moment that it is, in 2033
PLAIN = {key: value for key, value in VALUES.items() if " " not in key}  # it keeps no others


async def write(host: str, port: int) -> list[dict[str, object]]:
    async with MemcachedStore(host=host, port=port, default_collection="default_collection") as store:
        for key, value in PLAIN.items():
            await store.put(key, value)
            await store.put(key, value, collection="users", ttl=TTL)
        await store.put_many(["many1", "many2"], [{"n": 1}, {"n": 2}], collection="bulk")
        await store.put_many(["many3", "many4"], [{"n": 3}, {"n": 4}], collection="bulk", ttl=TTL)
    places = [(collection, key) for key in PLAIN for collection in ("default_collection", "users")]
    places += [("bulk", f"many{number}") for number in range(1, 5)]
    client = Client(host, port)
    kept = []
    for collection, key in sorted(places):
        name = f"{collection}::{key}"
        data = await client.get(name.encode())
        assert data is not None, name
        ends = collection == "users" or key in {"many3", "many4"}
        kept.append({"name": name, "data": data.decode(), "ends": ends})
    await client.close()
    return kept


if __name__ == "__main__":
    release = version("py-key-value-aio")
    entries = asyncio.run(write(sys.argv[1], int(sys.argv[2])))
    kept = {"writer": f"py-key-value-aio {release}", "store": "MemcachedStore", "entries": entries}
    path = Path(__file__).with_name(f"memcached-{release}.json")
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=True) + "\n")
