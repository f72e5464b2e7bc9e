"""Tell which keys are being written, for wrappers that keep copies.

A copy may be stale if two calls about its key overlapped and at least one of them wrote. Whoever keeps copies enters
a key before it touches primary or copy, trusts a copy only while nobody writes its key, and, being the last to leave
after an overlap, removes the copy. A copy that could not be removed is in doubt until it was removed or replaced.
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
    """The keys that calls are about right now, and those whose copies are in doubt."""

    def __init__(self, max_remembered: int = 10_000) -> None:
        """Begin with nobody inside.

        Args:
            max_remembered: How many keys in doubt are remembered. Beyond it every key is in doubt but for as many
                whose copy was removed or replaced since.
        """
        self._keys: dict[Address, _Key] = {}
        self._max_remembered = max_remembered
        self._doubts = 0  # how many there were: each has a number
        self._in_doubt: dict[Address, int] = {}
        self._all_in_doubt = 0
        self._settled: dict[Address, None] = {}  # while all are in doubt: those that are not
        self._everything = 0
        self._lock = threading.Lock()
        renew_after_fork(self)

    # Calls ----------------------------------------------------------------------------------------------------------

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
                key = self._keys.get(address)
                if key is not None and key.inside == 1 and key.mixed:
                    purge.append(address)
                else:
                    self._release(address, writing)
        return purge

    def purged(self, addresses: Iterable[Address], *, writing: bool, removed: bool) -> None:
        """End the calls that `leave` held back, now that their copies were removed, or could not be."""
        with self._lock:
            for address in addresses:
                if removed:
                    self._settle(address)
                else:
                    self._doubt(address)
                self._release(address, writing)  # last: until now nobody trusted the copy

    def _release(self, address: Address, writing: bool) -> None:
        key = self._keys.get(address)
        if key is None:  # forked inside a call
            return
        key.inside -= 1
        key.writers -= writing
        if not key.inside:
            del self._keys[address]

    def enter_all(self) -> int:
        """Begin a call about every key, and return the number of the latest doubt."""
        with self._lock:
            self._everything += 1
            for key in self._keys.values():
                key.mixed = True
            return self._doubts

    def leave_all(self, *, removed: bool, since: int | None = None) -> None:
        """End a call about every key.

        Args:
            removed: Whether the copies that the call was about were removed. If not, all are in doubt.
            since: What `enter_all` returned, if every copy was removed: earlier doubts are settled.
        """
        with self._lock:
            self._everything -= 1
            if not removed:
                self._doubt_all()
            elif since == self._doubts:
                self._in_doubt.clear()
                self._settled.clear()
                self._all_in_doubt = 0

    # Doubts ---------------------------------------------------------------------------------------------------------

    def trusted(self, address: Address) -> bool:
        """Say whether a copy under this key may be read."""
        if self._everything or self.doubt(address):
            return False
        key = self._keys.get(address)
        return key is None or not (key.writers or key.mixed)

    def doubt(self, address: Address) -> int:
        """Return the number of the doubt about a copy, 0 if there is none."""
        if not (self._in_doubt or self._all_in_doubt):
            return 0
        return self._in_doubt.get(address) or (0 if address in self._settled else self._all_in_doubt)

    def distrust(self, addresses: Iterable[Address]) -> None:
        """Remember that copies could not be removed."""
        with self._lock:
            for address in addresses:
                self._doubt(address)

    def trust(self, addresses: Iterable[Address]) -> None:
        """Forget doubts about these keys, as one who is inside may: their copies were removed, or are right."""
        if self._in_doubt or self._all_in_doubt:
            with self._lock:
                for address in addresses:
                    self._settle(address)

    def settle(self, doubts: dict[Address, int]) -> None:
        """Forget these doubts, as one who is not inside may after removing the copies; not those that came since."""
        with self._lock:
            for address, doubt in doubts.items():
                if self.doubt(address) == doubt:
                    self._settle(address)

    def _doubt(self, address: Address) -> None:
        self._doubts += 1
        self._in_doubt[address] = self._doubts
        if len(self._in_doubt) > self._max_remembered:
            self._doubt_all()

    def _doubt_all(self) -> None:
        self._doubts += 1
        self._all_in_doubt = self._doubts
        self._settled.clear()
        self._in_doubt.clear()

    def _settle(self, address: Address) -> None:
        self._in_doubt.pop(address, None)
        if self._all_in_doubt:
            self._settled[address] = None
            if len(self._settled) > self._max_remembered:
                del self._settled[next(iter(self._settled))]

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork, in which nobody else is inside."""
        self._lock = threading.Lock()
        self._keys.clear()
        self._everything = 0


class Ahead:
    """The keys that a second store alone has as they were written last."""

    def __init__(self, most: int = 10_000) -> None:
        """Begin with none.

        Args:
            most: How many there may be.
        """
        self._numbers: dict[Address, int] = {}
        self._most = most
        self._writes = 0
        self._lock = threading.Lock()
        renew_after_fork(self)

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return bool(self._numbers)

    def number(self, address: Address) -> int:
        """Return the number of the write that put a key ahead, 0 if it is not."""
        return self._numbers.get(address, 0)

    def any(self, addresses: Iterable[Address]) -> bool:
        """Say whether one of these is ahead."""
        return bool(self._numbers) and any(address in self._numbers for address in addresses)

    def has_room(self, addresses: Iterable[Address]) -> bool:
        """Say whether these may all be ahead."""
        with self._lock:
            return len(self._numbers) + sum(address not in self._numbers for address in addresses) <= self._most

    def add(self, addresses: Iterable[Address]) -> None:
        """Note that these were written to the second store alone."""
        with self._lock:
            self._writes += 1
            self._numbers.update(dict.fromkeys(addresses, self._writes))

    def remove(self, addresses: Iterable[Address]) -> None:
        """Note that the first store has these."""
        with self._lock:
            for address in addresses:
                self._numbers.pop(address, None)

    def catch_up(self, address: Address, number: int) -> None:
        """Note that the first store has what write *number* put ahead; a later one may have come meanwhile."""
        with self._lock:
            if self._numbers.get(address) == number:
                del self._numbers[address]

    def remove_all(self, collection: str | None) -> None:
        """Note that a collection, or all of them (None), was destroyed."""
        with self._lock:
            self._numbers = {
                address: number
                for address, number in self._numbers.items()
                if collection is not None and address[0] != collection
            }

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork."""
        self._lock = threading.Lock()
