"""Key-value stores in Starlette and FastAPI: opened and closed with the application, injected into endpoints."""

from typing import TYPE_CHECKING, Any

from kv_core.errors import MissingDependencyError

try:
    import starlette  # noqa: F401 # pyright: ignore[reportUnusedImport] - before what needs it, to say what to install
except ImportError as error:
    raise MissingDependencyError("kv_starlette needs Starlette: pip install 'kvstack[starlette]'") from error

from kv_starlette.dependencies import get_store, get_sync_store, registry_of, store, sync_store
from kv_starlette.error_handlers import add_error_handlers
from kv_starlette.lifespan import KVState, compose, install_kv, kv_lifespan

if TYPE_CHECKING:
    from kv_starlette.settings import KVSettings

__all__ = [
    "KVSettings",
    "KVState",
    "add_error_handlers",
    "compose",
    "get_store",
    "get_sync_store",
    "install_kv",
    "kv_lifespan",
    "registry_of",
    "store",
    "sync_store",
]


def __getattr__(name: str) -> Any:
    if name == "KVSettings":  # pydantic-settings is needed for this name alone
        from kv_starlette.settings import KVSettings

        return KVSettings
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
