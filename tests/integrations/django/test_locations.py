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


@pytest.mark.faults(124)
@pytest.mark.parametrize(("url", "said"), [("redis://:s3cret@cache.example", 1), ("rediss://cache.example", 0)])
def test_a_host_without_tls_is_a_warning(settings: Any, url: str, said: int) -> None:
    """A check names the stack and the host, and no password."""
    settings.KV_STORES = {"default": url}
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

    assert [found.msg for found in run_checks() if found.id == "kv_django.W004"] == [
        "KV_STORES['default'] sends values and passwords to cache.example without TLS."
    ] * said
