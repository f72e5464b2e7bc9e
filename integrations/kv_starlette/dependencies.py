"""Hand the application's stores to endpoints, over HTTP and WebSocket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import TypeAlias

from starlette.requests import HTTPConnection

from kv_core.aio.protocols import AsyncStore
from kv_core.errors import ConfigurationError
from kv_core.registry import Registry
from kv_core.sync.protocols import Store
from kv_starlette.lifespan import STATE

GetStore: TypeAlias = Callable[[HTTPConnection], Awaitable[AsyncStore]]
GetSyncStore: TypeAlias = Callable[[HTTPConnection], Awaitable[Store]]

_MISSING = (
    "This application has no stores. Pass lifespan=kv_lifespan(settings) to it, or call install_kv(app, settings) "
    "before it starts. In tests use `with TestClient(app)`: without `with`, and in httpx's ASGITransport, "
    "the lifespan does not run. A mounted application uses the stores of the one it is mounted in."
)


def registry_of(connection: HTTPConnection) -> Registry:
    """Return the stores of the application that serves a request or a WebSocket.

    Raises:
        ConfigurationError: The application has none.
    """
    registry = connection.scope.get("state", {}).get(STATE)
    if not isinstance(registry, Registry):
        raise ConfigurationError(_MISSING)
    return registry


# Nothing here waits. The dependencies are coroutines because FastAPI calls a plain function in a thread.


async def get_store(connection: HTTPConnection) -> AsyncStore:
    """Return the default store.

    Raises:
        ConfigurationError: The application has no stores, or none called `default`.
        StoreClosedError: The application has ended.
    """
    return registry_of(connection).astore()


async def get_sync_store(connection: HTTPConnection) -> Store:
    """Return the default store for a `def` endpoint: the twin of what `get_store` returns, with the same data.

    Raises:
        ConfigurationError: The application has no stores, or none called `default`.
        StoreClosedError: The application has ended.
    """
    return registry_of(connection).store()


@cache
def store(alias: str) -> GetStore:
    """Return a dependency like `get_store` for another alias.

    The same alias gives the same dependency, so `app.dependency_overrides[store("sessions")]` reaches it.
    """
    if alias == "default":
        return get_store

    async def get_named_store(connection: HTTPConnection) -> AsyncStore:
        return registry_of(connection).astore(alias)

    return get_named_store


@cache
def sync_store(alias: str) -> GetSyncStore:
    """Return a dependency like `get_sync_store` for another alias; the same one for the same alias."""
    if alias == "default":
        return get_sync_store

    async def get_named_sync_store(connection: HTTPConnection) -> Store:
        return registry_of(connection).store(alias)

    return get_named_sync_store
