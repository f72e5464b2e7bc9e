"""The entries of simple stores: a dict and its lock, which the twins of both sides share."""

from __future__ import annotations

import threading

from kv_core.forks import renew_after_fork


class SimpleTable:
    """Entries' bytes, by collection and key.

    Attributes:
        entries: The bytes.
        enough: At how many entries it is worth looking for those that have ended.
        lock: Held while what is there decides what is written.
    """

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], bytes] = {}
        self.enough = 64
        self.lock = threading.RLock()
        renew_after_fork(self)

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork."""
        self.lock = threading.RLock()
