"""The entries of simple stores: a dict under a lock, which the twins of both sides share."""

from __future__ import annotations

import threading

from kv_core.forks import renew_after_fork


class SimpleTable(dict[tuple[str, str], bytes]):
    """Entries' bytes by collection and key.

    Attributes:
        lock: Held by whoever decides by what is there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        renew_after_fork(self)

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork."""
        self.lock = threading.RLock()
