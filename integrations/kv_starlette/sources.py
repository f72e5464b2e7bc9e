"""Find the stores' settings where an application keeps its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias, cast

from starlette.config import Config

from kv_core.errors import ConfigurationError
from kv_core.stack import SETTINGS

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
    if isinstance(settings, Mapping):
        return settings
    stores: Any
    url: Any
    if isinstance(settings, Config):
        stores, url = settings(SETTINGS, default=None), settings(URL, default=None)
    else:
        stores, url = getattr(settings, SETTINGS.lower(), None), getattr(settings, URL.lower(), None)
    if isinstance(stores, str):
        stores = _loaded(stores)
    if not stores and not url:
        kind = type(settings).__name__
        raise ConfigurationError(f"{kind} describes no stores: set {SETTINGS}, or {URL} for a single one.")
    return {"default": url, **(stores or {})} if url else stores


def _loaded(text: str) -> Mapping[str, Any]:
    try:
        stores = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{SETTINGS} is not JSON: {error}.") from None
    if not isinstance(stores, dict):
        raise ConfigurationError(f"{SETTINGS} is a JSON object of aliases to stacks, not {type(stores).__name__}.")
    return cast("dict[str, Any]", stores)
