# Written by tools/mirror.py from tests/aio/adapters/conftest.py: change that file instead.
"""The stores that adapters stand on."""

from urllib.parse import urlsplit

import pytest
from redis import Redis as Raw

from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.stores.redis import RedisStore


@pytest.fixture(params=["memory", "disk", "redis"])
def store(request, tmp_path):
    """An empty store of each kind."""
    if request.param == "memory":
        store = MemoryStore()
    elif request.param == "disk":
        store = DiskStore(directory=tmp_path / "kv")
    else:
        url = urlsplit(request.getfixturevalue("redis_server").url)._replace(path="/9").geturl()
        with Raw.from_url(url) as raw:
            raw.flushdb()
        store = RedisStore(url=url)
    yield store
    store.close()
