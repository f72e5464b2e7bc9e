"""Say what becomes of an entry that was looked at."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")


class Action(Enum):
    """What to do with an entry other than to write it."""

    LEAVE = "leave"
    DROP = "drop"


class Written(NamedTuple):
    """An entry's bytes to keep, and when it ends."""

    data: bytes
    expires_at: datetime | None


Decision: TypeAlias = tuple[T, Written | Literal[Action.LEAVE, Action.DROP]]
"""What to answer, and what to do with the entry."""
