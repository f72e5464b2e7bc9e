"""Find the stores' settings where an application keeps its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

from starlette.config import Config

from kv_core.settings import SETTINGS, stacks_from

URL: Final = "KV_URL"


class HasStores(Protocol):
    """An object with the attribute `kv_stores`, such as `KVSettings`; it may have `kv_url` too."""

    @property
    def kv_stores(self) -> Mapping[str, Any]:
        """The mapping of aliases to stacks."""
        ...


Settings: TypeAlias = Mapping[str, Any] | Config | HasStores


def stacks_of(settings: Settings) -> Mapping[str, Any]:
    """Return the mapping of aliases to stacks.

    Args:
        settings: The mapping itself; a Starlette `Config`, which is asked for `KV_STORES` (JSON) and `KV_URL`;
            or an object with the attribute `kv_stores`, or `kv_url`, or both.

    Raises:
        ConfigurationError: There are no settings for stores there, or they are not JSON.
    """
    stores: Any
    url: Any
    if isinstance(settings, Mapping):
        stores, url = settings, None
    elif isinstance(settings, Config):
        stores, url = settings(SETTINGS, default=None), settings(URL, default=None)
    else:
        stores, url = getattr(settings, SETTINGS.lower(), None), getattr(settings, URL.lower(), None)
    found: Mapping[str, Any] = stacks_from(stores, url, where=f"The settings in {type(settings).__name__}")
    return found
