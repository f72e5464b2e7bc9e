"""Use the stacks of `KV_STORES` in Django: as caches, for sessions, and directly in views."""

from __future__ import annotations

from kv_django._stacks import aclose_stores, astores, close_stores, stores

__all__ = ["aclose_stores", "astores", "close_stores", "stores"]
