"""Use the stacks of `KV_STORES` in Django: as caches, for sessions, and directly in views."""

from __future__ import annotations

from kv_core.errors import MissingDependencyError

try:
    import django  # noqa: F401 # pyright: ignore[reportUnusedImport] - before what needs it, to say what to install
except ImportError as error:
    raise MissingDependencyError("kv_django needs Django: pip install 'kvstack[django]'") from error

from kv_django._stacks import aclose_stores, astores, close_stores, stores

__all__ = ["aclose_stores", "astores", "close_stores", "stores"]
