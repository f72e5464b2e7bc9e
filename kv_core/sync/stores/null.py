# Written by tools/mirror.py from kv_core/aio/stores/null.py: change that file instead.
"""Keep nothing."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from kv_core.capabilities import BASIC, SEGMENTS, Promises
from kv_core.sync.stores.base import BaseStore
from kv_core.ttl import When


class NullStore(BaseStore):
    """A store that takes every entry that others would take, and forgets it at once: it switches a cache off.

    It refuses what others refuse: keys, values, ttls. Whatever is decided by what was put before (conditional puts,
    revisions, `touch`, `increment`) it does not have: a lock that everybody gets, or a limit that never counts, would
    be a lie. So what needs these, such as sessions, cannot be built on it.
    """

    _has: ClassVar[frozenset[str]] = (
        BASIC | SEGMENTS["Enumerate"] | SEGMENTS["Destroy"] | SEGMENTS["Cull"] | SEGMENTS["Ping"]
    )
    _promises = Promises(
        clock="none: nothing is kept",
        acknowledged="forgotten",
        largest="no limit",
        dropped="everything, at once",
    )

    @override
    def _read(self, collection: str, key: str) -> bytes | None:
        return None

    @override
    def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        return True

    @override
    def _remove(self, collection: str, key: str) -> bool:
        return False

    @override
    def _page(self, collection: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        return [], None

    @override
    def _collections(self) -> list[str]:
        return []

    @override
    def _clear(self, collection: str | None) -> bool:
        return False

    @override
    def _cull(self) -> int:
        return 0

    @override
    def _ping(self) -> None:
        return
