"""Every scheme of `KV_STORES` builds its store in a Django project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.core.checks import run_checks
from locations import location

import kv_django
from kv_core.kinds import STORES


@pytest.mark.parametrize("scheme", STORES)
def test_a_location(settings: Any, scheme: str, tmp_path: Path) -> None:
    """Views have it on both sides, a cache may stand on it, and a check names options that it does not know."""
    described: dict[str, Any] = {"LOCATION": location(scheme, tmp_path), "STORE": {"timeout": 0.25}}
    settings.KV_STORES = {"default": described}
    settings.CACHES = {"default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default"}}

    assert type(kv_django.stores["default"]) is STORES[scheme].load_sync()
    assert type(kv_django.astores["default"]) is STORES[scheme].load_async()
    assert caches["default"].store is kv_django.stores["default"]
    assert not [found for found in run_checks() if found.id == "kv_django.E001"]

    settings.KV_STORES = {"default": described | {"STORE": {"timeuot": 1}}}
    [found] = [found for found in run_checks() if found.id == "kv_django.E001"]
    assert found.hint == "Did you mean 'timeout'?"
