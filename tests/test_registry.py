"""Each stack of an application is built once a side, on first use, and closed once."""

import asyncio
import threading

import pytest
from redis import Redis as Raw

from kv_core.errors import ConfigurationError, StoreAuthenticationError, StoreClosedError
from kv_core.registry import Registry

SETTINGS = {"default": "memory://", "sessions": "memory://"}


def test_a_stack_is_built_once():
    """Sixteen threads that ask at once get one object."""
    registry = Registry(SETTINGS)
    found = []
    barrier = threading.Barrier(16)

    def ask():
        barrier.wait()
        found.append(registry.store())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(store) for store in found}) == 1
    assert registry.store("sessions") is not registry.store()
    assert registry.astore() is registry.astore()


def test_an_unknown_alias_says_what_there_is():
    """The error names the setting and the nearest alias."""
    with pytest.raises(ConfigurationError, match=r"no store 'session' in KV_STORES. Did you mean 'sessions'"):
        Registry(SETTINGS).store("session")


def test_closing():
    """After closing nothing is handed out, and what was handed out is closed; closing twice is fine."""
    registry = Registry(SETTINGS)
    store = registry.store()
    registry.close()
    registry.close()

    with pytest.raises(StoreClosedError):
        store.get("key")
    with pytest.raises(StoreClosedError):
        registry.store("sessions")


def test_closing_both_sides():
    """Aclose closes what either side has built."""

    async def main():
        registry = Registry(SETTINGS)
        sync, async_ = registry.store(), registry.astore()
        await registry.aclose()
        await registry.aclose()
        with pytest.raises(StoreClosedError):
            sync.get("key")
        with pytest.raises(StoreClosedError):
            await async_.get("key")

    asyncio.run(main())


@pytest.mark.faults(121)
def test_one_url_with_different_options_is_two_pools(own_redis):
    """Aliases of one server with logins or timeouts of their own share neither connections nor rights."""
    with Raw.from_url(own_redis.url) as raw:
        raw.acl_setuser(
            "reader", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@read", "+@connection"]
        )
        settings = {
            "default": {"LOCATION": own_redis.url, "STORE": {"timeout": 2}},
            "patient": {"LOCATION": own_redis.url, "STORE": {"timeout": 9}},
            "reader": {"LOCATION": own_redis.url.replace("://", "://reader:secret@")},
        }
        registry = Registry(settings)
        try:
            registry.store().put("key", {"n": 1})
            assert registry.store("reader").get("key") == {"n": 1}
            with pytest.raises(StoreAuthenticationError):
                registry.store("reader").put("key", {"n": 2})
            assert registry.store("patient").get("key") == {"n": 1}
            users = [client["user"] for client in raw.client_list()]
        finally:
            registry.close()

    assert sorted(users) == ["default", "default", "default", "reader"]  # one of them is raw's
