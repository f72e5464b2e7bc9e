"""Each stack of an application is built once a side, on first use, and closed once."""

import asyncio
import threading

import pytest

from kv_core.errors import ConfigurationError, StoreClosedError
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
