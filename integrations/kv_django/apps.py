"""Tell Django about the application; listing it in INSTALLED_APPS is needed for its system checks alone."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from typing_extensions import override


class KeyValueConfig(AppConfig):
    """The application `kv_django`."""

    name = "kv_django"
    verbose_name = "Key-value stores"

    @override
    def ready(self) -> None:
        import_module("kv_django.checks")
