"""List the operations of the protocol, and tell which of them a stack really has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar, cast

from kv_core.errors import UnsupportedOperationError


class Promises(NamedTuple):
    """How far a store's promises go, in a few words each, as the documentation lists them.

    Attributes:
        clock: Whose clock ends entries.
        acknowledged: What has happened to a write that was acknowledged.
        largest: The largest entry, as it is sent.
        dropped: What may go before its end.
    """

    clock: str
    acknowledged: str
    largest: str
    dropped: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What wrappers and tests need to know of an operation.

    Attributes:
        name: The method's name.
        writes: It changes what is stored.
        reads_value: It returns stored values, or depends on them.
        writes_value: It carries a value.
        has_ttl: It carries a ttl.
        bulk: It takes several keys.
        repeatable: Making it twice leaves what making it once leaves, so it may be repeated after an unknown outcome.
        through: The operation by which it can be made one key at a time, or from which its answer can be taken.
    """

    name: str
    writes: bool = False
    reads_value: bool = False
    writes_value: bool = False
    has_ttl: bool = False
    bulk: bool = False
    repeatable: bool = False
    through: str | None = None


OPERATIONS: Final = {
    operation.name: operation
    for operation in (
        Operation("get", reads_value=True, repeatable=True),
        Operation("get_many", reads_value=True, bulk=True, repeatable=True, through="get"),
        Operation("ttl", reads_value=True, repeatable=True, through="get"),
        Operation("ttl_many", reads_value=True, bulk=True, repeatable=True, through="ttl"),
        Operation("put", writes=True, writes_value=True, has_ttl=True, repeatable=True),
        Operation("put_many", writes=True, writes_value=True, has_ttl=True, bulk=True, repeatable=True, through="put"),
        Operation("delete", writes=True, repeatable=True),
        Operation("delete_many", writes=True, bulk=True, through="delete"),
        Operation("put_if_absent", writes=True, writes_value=True, has_ttl=True),
        Operation("put_if_present", writes=True, writes_value=True, has_ttl=True),
        Operation("get_with_revision", reads_value=True, repeatable=True),
        Operation("put_if_unchanged", writes=True, writes_value=True, has_ttl=True),
        Operation("delete_if_unchanged", writes=True),
        Operation("touch", writes=True, has_ttl=True),
        Operation("increment", writes=True, reads_value=True, writes_value=True, has_ttl=True),
        Operation("keys", repeatable=True),
        Operation("iter_keys", repeatable=True),
        Operation("collections", repeatable=True),
        Operation("destroy_collection", writes=True),
        Operation("destroy", writes=True),
        Operation("cull", writes=True),
        Operation("ping", repeatable=True),
    )
}
"""Every operation, by name: the one list that stores, wrappers and tests walk."""

BASIC: Final = frozenset(("get", "get_many", "ttl", "ttl_many", "put", "put_many", "delete", "delete_many"))
"""What every store has."""

SEGMENTS: Final = {
    "KeyValue": BASIC,
    "ConditionalPut": frozenset(("put_if_absent", "put_if_present")),
    "Revisions": frozenset(("get_with_revision", "put_if_unchanged", "delete_if_unchanged")),
    "Touch": frozenset(("touch",)),
    "Increment": frozenset(("increment",)),
    "Enumerate": frozenset(("keys", "iter_keys", "collections")),
    "Destroy": frozenset(("destroy_collection", "destroy")),
    "Cull": frozenset(("cull",)),
    "Ping": frozenset(("ping",)),
    "Store": frozenset(OPERATIONS),
}
"""The operations of each protocol, by the name that both sides share."""

_SAID: Final = {
    "get": ("read an entry", ""),
    "get_many": ("read many entries in one call", "get for each key"),
    "ttl": ("tell how long an entry has left", "get for its value alone"),
    "ttl_many": ("tell how long many entries have left", "ttl for each key"),
    "put": ("keep an entry", ""),
    "put_many": ("put many entries in one call", "put for each key"),
    "delete": ("delete an entry", ""),
    "delete_many": ("delete many entries in one call", "delete for each key"),
    "put_if_absent": ("put an entry only where there is none", "put, which overwrites"),
    "put_if_present": ("put an entry only where there is one", "put, which also makes one"),
    "get_with_revision": ("tell one state of an entry from the next", "get for its value alone"),
    "put_if_unchanged": ("put an entry only if nobody has changed it", "put, which overwrites"),
    "delete_if_unchanged": ("delete an entry only if nobody has changed it", "delete, whoever changed it"),
    "touch": ("change an entry's ttl alone", "get and put, where nobody else writes the key"),
    "increment": ("add to a counter in one step", "get and put, where nobody else writes the key"),
    "keys": ("list the keys of a collection", "an entry of your own that lists them"),
    "iter_keys": ("go through the keys of a collection", "an entry of your own that lists them"),
    "collections": ("list the collections", "an entry of your own that lists them"),
    "destroy_collection": ("delete a whole collection", "delete_many for its keys"),
    "destroy": ("delete every collection at once", "destroy_collection for each, where there is one"),
    "cull": ("be told to remove entries that have ended", "it as it is, since they are never read"),
    "ping": ("ask whether its backend answers", "get for any key"),
}
"""What cannot be done where an operation is missing, and what to use instead ("": nothing)."""

ALL: Final = frozenset(OPERATIONS)

S = TypeVar("S")


def capabilities(store: object) -> frozenset[str]:
    """Return the names of the operations that *store*, with all its wrappers, really has."""
    told = getattr(store, "_capabilities", None)
    if told is not None:
        return cast("frozenset[str]", told())
    return frozenset(name for name in OPERATIONS if callable(getattr(store, name, None)))


def require(store: object, segment: Callable[..., S]) -> S:
    """Return *store* narrowed to *segment*, a protocol such as `AsyncTouch`.

    Raises:
        UnsupportedOperationError: The stack lacks one of its operations; the text names the part that lacks it.
    """
    wanted = SEGMENTS[segment.__name__.removeprefix("Async")]
    for name in sorted(wanted - capabilities(store)):
        raise unsupported(store, name)
    return cast("S", store)


def withdrawn(name: str) -> Any:
    """Return a method that raises because its class does not have the operation *name*."""

    def method(self: object, *_: Any, **__: Any) -> Any:
        raise unsupported(self, name)

    method.__name__ = name
    method.__dict__["kv_withdrawn"] = True
    return method


def is_withdrawn(kind: type, name: str) -> bool:
    """Say whether a class withdraws an operation."""
    return hasattr(getattr(kind, name), "kv_withdrawn")


def unsupported(store: object, operation: str) -> UnsupportedOperationError:
    """Return the error that says which part of the stack lacks *operation*."""
    culprit = store
    inner = getattr(culprit, "key_value", None)
    while inner is not None and operation not in capabilities(inner):
        culprit, inner = inner, getattr(inner, "key_value", None)
    name = type(culprit).__name__
    does, instead = _SAID[operation]
    wrapper = hasattr(culprit, "key_value")
    who = f"With {name} a stack" if wrapper else name
    others = f"a stack without {name}" if wrapper else "another store"
    use = f"{instead}, or {others}" if instead else others
    return UnsupportedOperationError(f"{who} cannot {does} ({operation}). Use {use}.")
