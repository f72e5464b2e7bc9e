"""Write what py-key-value keeps on disk to a file: `python write_disk.py`.

It runs in an environment that has `py-key-value-aio[disk]` in the version whose layout is to be kept.
"""

import asyncio
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from key_value.aio.stores.disk import DiskStore

FAR = 3_000_000_000
"""A ttl that ends after those who read this, in seconds."""

GRACE = {"name": "Grace", "tags": ["navy", None, True, 1.5], "nested": {"é": {"deep": [{}]}}}


async def write(folder: str) -> None:
    async with DiskStore(directory=folder) as store:
        await store.put("ada", {"name": "Ada", "born": 1815}, collection="users")
        await store.put("grace", GRACE, collection="users", ttl=FAR)
        await store.put("a::b c/ü", {"text": 'line\n"quoted" \u2028 🗝'})
        await store.put_many(["1", "2"], [{"n": 2**53 + 1}, {}], collection="many", ttl=FAR)
        await store.put("gone", {"n": 1}, collection="users", ttl=0.01)


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        asyncio.run(write(folder))
        path = Path(__file__).with_name(f"disk-{version('py-key-value-aio')}.sql")
        with closing(sqlite3.connect(Path(folder, "cache.db"))) as connection:
            path.write_text("\n".join(connection.iterdump()) + "\n", encoding="utf-8")
