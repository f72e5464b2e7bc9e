"""What a store keeps for a key: the value, when it was put, when it ends, and its address."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

from msgspec import Meta, Struct
from typing_extensions import override

VERSION: Final = 1
"""The version of the layout that this library writes."""

Moment = Annotated[datetime, Meta(tz=True)]


class Entry(Struct, kw_only=True, omit_defaults=True, gc=False):
    """An entry as it is written: these fields, in this order.

    The layout is the one of py-key-value, so what that library wrote without wrappers is read as it stands.
    """

    collection: str
    created_at: Moment | None = None
    expires_at: Moment | None = None
    key: str
    value: dict[str, Any]
    version: int = 0  # never the default, so that it is always written


class Revision(NamedTuple):
    """A state of an entry, as `get_with_revision` saw it; opaque to users, of use only with the store it came from."""

    token: bytes | str | int
    expires_at: datetime | None = None

    @override
    def __repr__(self) -> str:
        return "Revision(…)"
