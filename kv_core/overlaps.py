"""Tell which keys are being written, for wrappers that keep copies.

A copy may be stale if two calls about its key overlapped and at least one of them wrote. Whoever keeps copies enters
a key before it touches primary or copy, trusts a copy only while nobody writes its key, and, being the last to leave
after an overlap, removes the copy.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from kv_core.forks import renew_after_fork

Address = tuple[str, str]
"""A collection and a key."""


class _Key:
    __slots__ = ("inside", "mixed", "writers")

    def __init__(self) -> None:
        self.inside = 0
        self.writers = 0
        self.mixed = False


class Overlaps:
    """The keys that calls are about right now, and those whose copy could not be removed."""

    def __init__(self, max_distrusted: int = 10_000) -> None:
        """Begin with nobody inside.

        Args:
            max_distrusted: How many keys are remembered whose copy could not be removed; beyond it no copy is trusted.
        """
        self._keys: dict[Address, _Key] = {}
        self._distrusted: set[Address] = set()
        self._max_distrusted = max_distrusted
        self._distrust_all = False
        self._everything = 0
        self._lock = threading.Lock()
        renew_after_fork(self)

    def enter(self, addresses: Iterable[Address], *, writing: bool) -> None:
        """Begin a call about these keys."""
        with self._lock:
            for address in addresses:
                key = self._keys.get(address)
                if key is None:
                    key = self._keys[address] = _Key()
                key.inside += 1
                key.writers += writing
                if self._everything or (key.inside > 1 and key.writers):
                    key.mixed = True

    def alone(self, address: Address) -> bool:
        """Say whether no other call overlapped in a way that matters since this one entered."""
        key = self._keys.get(address)
        return key is not None and not key.mixed

    def leave(self, addresses: Iterable[Address], *, writing: bool) -> list[Address]:
        """End a call about these keys, and return those whose copy has to be removed, by `purged` at the end."""
        purge: list[Address] = []
        with self._lock:
            for address in addresses:
                key = self._keys[address]
                if key.inside == 1 and key.mixed:
                    purge.append(address)
                    continue
                key.inside -= 1
                key.writers -= writing
                if not key.inside:
                    del self._keys[address]
        return purge

    def purged(self, addresses: Iterable[Address], *, writing: bool, removed: bool) -> None:
        """End the calls that `leave` held back, now that their copies were removed, or could not be."""
        with self._lock:
            for address in addresses:
                key = self._keys[address]
                key.inside -= 1
                key.writers -= writing
                if not key.inside:
                    del self._keys[address]
        self.trust(addresses) if removed else self.distrust(addresses)

    def trusted(self, address: Address) -> bool:
        """Say whether a copy under this key may be read."""
        if self._distrust_all or self._everything or address in self._distrusted:
            return False
        key = self._keys.get(address)
        return key is None or not (key.writers or key.mixed)

    def distrust(self, addresses: Iterable[Address]) -> None:
        """Remember that copies could not be removed."""
        with self._lock:
            self._distrusted.update(addresses)
            if len(self._distrusted) > self._max_distrusted:
                self._distrust_all = True
                self._distrusted.clear()

    def trust(self, addresses: Iterable[Address]) -> None:
        """Forget what was remembered of these keys: their copies were removed, or are right."""
        if self._distrusted:
            with self._lock:
                self._distrusted.difference_update(addresses)

    def enter_all(self) -> None:
        """Begin a call about every key."""
        with self._lock:
            self._everything += 1
            for key in self._keys.values():
                key.mixed = True

    def leave_all(self, *, removed: bool) -> None:
        """End a call about every key; without having *removed* all copies, none is trusted any more."""
        with self._lock:
            self._everything -= 1
            if not removed:
                self._distrust_all = True

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork, in which nobody else is inside."""
        self._lock = threading.Lock()
        self._keys.clear()
        self._everything = 0
