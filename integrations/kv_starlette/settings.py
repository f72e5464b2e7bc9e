"""Stores described in the environment, read by pydantic-settings."""

from __future__ import annotations

from typing import Any

from kv_core.errors import MissingDependencyError

try:
    from pydantic import Field
    from pydantic_settings import BaseSettings, SettingsConfigDict
except ImportError as error:
    raise MissingDependencyError("KVSettings needs pydantic-settings: pip install 'kvstack[fastapi]'") from error


class KVSettings(BaseSettings):
    """Settings with the stores in them; an application's own settings may inherit it.

    The environment says `KV_STORES__default__LOCATION=redis://…`, and `KV_STORES__default__WRAPPERS='["statistics"]'`
    as JSON; or everything at once, `KV_STORES='{"default": "redis://…"}'`; or `KV_URL=redis://…` for a single store.
    Aliases are read in small letters.

    Attributes:
        kv_stores: The mapping of aliases to stacks.
        kv_url: The default store's URL, where `kv_stores` has no default.
    """

    model_config = SettingsConfigDict(env_nested_delimiter="__", extra="ignore")

    kv_stores: dict[str, Any] = Field(default_factory=dict, repr=False)
    kv_url: str | None = Field(default=None, repr=False)
