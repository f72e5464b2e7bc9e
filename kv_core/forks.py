"""Renew locks in a child after a fork: another thread of the parent may have held them."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Something with a lock."""

    def renew_lock(self) -> None:
        """Take a new lock."""
        ...


_live: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_after_fork(thing: Renewable) -> None:
    """Let *thing* take a new lock in every child that this process forks."""
    _live.add(thing)


def _after_fork_in_child() -> None:
    for thing in list(_live):
        thing.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
