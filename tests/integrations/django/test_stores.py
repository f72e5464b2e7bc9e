"""`kv_django.stores` and `astores`: lazy, rebuilt when settings change, closed when they are old."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

import kv_django
from kv_core.errors import ConfigurationError, StoreClosedError


def connections(client: Any) -> int:
    """Return how many connections the server has beside the one that asks."""
    return len(client.client_list()) - 1


def wait_for(client: Any, count: int) -> int:
    """Return the number of connections once it is *count*, or after a second."""
    for _ in range(100):
        if connections(client) == count:
            break
        time.sleep(0.01)
    return connections(client)


def test_stores_are_a_mapping_of_aliases(settings: Any) -> None:
    """Both sides of an alias are one stack; what is not there is not there."""
    settings.KV_STORES = {"default": "memory://", "other": {"LOCATION": "kv:default", "WRAPPERS": ["statistics"]}}
    kv_django.stores["default"].put("key", {"n": 1})

    assert kv_django.stores["other"].get("key") == {"n": 1}
    assert asyncio.run(kv_django.astores["other"].get("key")) == {"n": 1}
    assert kv_django.stores["default"] is kv_django.stores["default"]
    assert list(kv_django.stores) == ["default", "other"]
    assert len(kv_django.astores) == 2
    assert "nowhere" not in kv_django.stores
    assert kv_django.stores.get("nowhere") is None
    assert repr(kv_django.stores) == "<kv_django.stores: default, other>"
    with pytest.raises(ConfigurationError, match="Did you mean 'default'"):
        kv_django.stores["defualt"]


def test_no_settings_are_no_stores(settings: Any) -> None:
    """Without KV_STORES there are none, and asking for one says so."""
    del settings.KV_STORES

    assert list(kv_django.stores) == []
    with pytest.raises(ImproperlyConfigured, match="KV_STORES"):
        kv_django.stores["default"]


def test_every_problem_is_told_at_once(settings: Any) -> None:
    """Bad settings are Django's ImproperlyConfigured, with all that is wrong."""
    settings.KV_STORES = {"default": "redsi://host", "other": {"LOCATION": "memory://", "WRAPPERS": ["retyr"]}}
    with pytest.raises(ImproperlyConfigured) as caught:
        kv_django.stores["default"]

    assert "redis" in str(caught.value)
    assert "retry" in str(caught.value)


def test_changed_settings_make_new_stores(settings: Any) -> None:
    """What is asked for after a change is new, what was made before is closed, and caches move along."""
    settings.KV_STORES = {"default": "memory://"}
    settings.CACHES = {"default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default"}}
    old, cache = kv_django.stores["default"], caches["default"]
    cache.set("key", 1)
    with override_settings(KV_STORES={"default": "memory://", "more": "memory://"}):
        assert list(kv_django.stores) == ["default", "more"]
        assert cache.get("key") is None
        cache.set("key", 2)
        with pytest.raises(StoreClosedError):
            old.get("key")

    assert cache.get("key") is None
    with override_settings(SECRET_KEY="other", TIME_ZONE="UTC"):
        cache.set("key", 3)
    assert cache.get("key") == 3


def test_caches_alone_change_without_the_stores(settings: Any) -> None:
    """Overriding CACHES leaves what KV_STORES describes as it is."""
    settings.KV_STORES = {"default": "memory://"}
    kv_django.stores["default"].put("key", {"n": 1})
    with override_settings(CACHES={"default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "memory://"}}):
        caches["default"].set("key", 1)

    assert kv_django.stores["default"].get("key") == {"n": 1}


def test_equal_descriptions_are_one_stack(settings: Any) -> None:
    """Two aliases with one description share a store, in collections of their own; another option is another store."""
    backend = {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "memory://"}
    settings.CACHES = {
        "default": {**backend, "KEY_PREFIX": "a"},
        "b": {**backend, "KEY_PREFIX": "b"},
        "c": {**backend, "OPTIONS": {"STORE": {"timeout": 1.0}}},
    }
    caches["default"].set("key", 1)

    assert caches["default"].store is caches["b"].store
    assert caches["default"].store is not caches["c"].store
    assert caches["b"].get("key") is None
    assert caches["default"].collection == "cache:a"
    assert caches["c"].collection == "cache"


def test_an_inline_stack_may_refer_to_stores(settings: Any) -> None:
    """A cache may wrap a stack of KV_STORES; they share what they keep."""
    settings.KV_STORES = {"default": "memory://"}
    settings.CACHES = {
        "default": {
            "BACKEND": "kv_django.cache.KeyValueCache",
            "LOCATION": "kv:default",
            "OPTIONS": {"WRAPPERS": [{"wrapper": "prefix_keys", "prefix": "p"}]},
        }
    }
    caches["default"].set("key", 1)

    assert kv_django.stores["default"].keys("cache") == ["p::1:key"]


@pytest.mark.faults(121)
def test_closing_ends_connections(settings: Any, own_redis: Any) -> None:
    """Both functions end every connection of both sides; what is asked for later opens new ones."""
    import redis

    settings.KV_STORES = {"default": own_redis.url}
    settings.CACHES = {
        "default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default"},
        "inline": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": own_redis.url},
    }

    async def use() -> None:
        for alias in caches:
            caches[alias].set("key", 1)
            assert await caches[alias].aget("key") == 1
        assert connections(client) == 4
        await kv_django.aclose_stores()
        assert wait_for(client, 0) == 0
        assert await caches["default"].aget("key") == 1
        assert wait_for(client, 1) == 1
        kv_django.close_stores()
        await asyncio.sleep(0.05)

    with redis.Redis.from_url(own_redis.url) as client:
        asyncio.run(use())
        assert wait_for(client, 0) == 0
        caches["default"].set("key", 1)
        assert wait_for(client, 1) == 1
        kv_django.close_stores()
        assert wait_for(client, 0) == 0


def test_closing_reaches_loops_in_other_threads(settings: Any, own_redis: Any) -> None:
    """Settings that change in one thread close the connections of a loop that runs in another."""
    import redis

    settings.KV_STORES = {"default": own_redis.url}
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(kv_django.astores["default"].put("key", {"n": 1}), loop).result(5)
    with redis.Redis.from_url(own_redis.url) as client:
        assert wait_for(client, 1) == 1
        settings.KV_STORES = {"default": "memory://"}
        assert wait_for(client, 0) == 0
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_importing_needs_no_settings() -> None:
    """The package can be imported before Django is configured, and without being an installed application."""
    code = """
import kv_django, kv_django.cache, kv_django.sessions, kv_django.errors
from django.conf import settings
assert not settings.configured
settings.configure(SECRET_KEY="x", KV_STORES={"default": "memory://"}, SESSION_ENGINE="kv_django.sessions",
    CACHES={"default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default"}})
from django.core.cache import cache
cache.set("key", (1,))
assert cache.get("key") == (1,)
session = kv_django.sessions.SessionStore()
session["a"] = 1
session.save()
assert kv_django.sessions.SessionStore(session.session_key)["a"] == 1
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
