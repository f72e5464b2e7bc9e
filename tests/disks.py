"""Both stores that keep their entries on disk, for the tests of what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from kv_core.aio.stores.disk import DiskStore as AsyncDiskStore
from kv_core.aio.stores.multi_disk import MultiDiskStore as AsyncMultiDiskStore
from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.stores.multi_disk import MultiDiskStore

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Disk:
    """One of them.

    Attributes:
        aio: Its class on the async side.
        sync: Its class on the sync side.
        below: Where the default collection's database is, below the store's directory.
    """

    aio: Any
    sync: Any
    below: str

    def folder(self, directory: Path) -> Path:
        """Return the directory of the default collection's database."""
        return directory / self.below

    def imports(self, side: str) -> str:
        """Return the statement that imports its class as `Store`, for a program that a test starts."""
        kind = getattr(self, side)
        return f"from {kind.__module__} import {kind.__name__} as Store"


each_disk = pytest.mark.parametrize(
    "disk",
    [
        pytest.param(Disk(AsyncDiskStore, DiskStore, ""), id="disk"),
        pytest.param(Disk(AsyncMultiDiskStore, MultiDiskStore, "default_collection"), id="multi_disk"),
    ],
)
