"""Hold a description of a stack, and build the stack on either side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from typing_extensions import override

from kv_core.aio.protocols import AsyncStore
from kv_core.kinds import Kind
from kv_core.sync.protocols import Store
from kv_core.url import plain_hosts

Side = Literal["aio", "sync"]


@dataclass(frozen=True, eq=False, repr=False)
class Part:
    """A store or a wrapper of a stack, with its constructor options.

    A stack that an option names stands there as its `StackSpec`.
    """

    name: str
    kind: Kind
    options: Mapping[str, Any]
    _shared: dict[str, Any] = field(default_factory=dict[str, Any])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def build(self, side: Side, *inner: Any, named: Callable[[StackSpec], Any]) -> Any:
        """Construct it on one side, around what is inside, if it is a wrapper."""
        kind = self.kind.load_async() if side == "aio" else self.kind.load_sync()
        options = {
            name: named(option) if isinstance(option, StackSpec) else option for name, option in self.options.items()
        }
        if hasattr(kind, "_share"):
            with self._lock:
                if "shared" not in self._shared:
                    self._shared["shared"] = kind._share()
            options["_shared"] = self._shared["shared"]
        return kind(*inner, **options)


@dataclass(frozen=True, eq=False, repr=False)
class StackSpec:
    """A stack as settings describe it. What is built from one object shares its memory and its counters.

    Attributes:
        alias: What the settings call it.
        location: The store's URL, with its credentials left out.
        store: The store.
        wrappers: The wrappers, outermost first.
        eager: Whether the store is to be asked for a sign of life when the application starts.
    """

    alias: str
    location: str
    store: Part | StackSpec
    wrappers: tuple[Part, ...] = ()
    eager: bool = False

    def build_async(self, named: Callable[[StackSpec], AsyncStore] | None = None) -> AsyncStore:
        """Build the stack for event loops; nothing is connected yet.

        Args:
            named: How to get another stack that this one refers to; by default it is built anew.
        """
        stack: AsyncStore = self._build("aio", named or StackSpec.build_async)
        return stack

    def build_sync(self, named: Callable[[StackSpec], Store] | None = None) -> Store:
        """Build the stack for threads; nothing is connected yet.

        Args:
            named: How to get another stack that this one refers to; by default it is built anew.
        """
        stack: Store = self._build("sync", named or StackSpec.build_sync)
        return stack

    def _build(self, side: Side, named: Callable[[StackSpec], Any]) -> Any:
        stack = self.store.build(side, named=named) if isinstance(self.store, Part) else named(self.store)
        for wrapper in reversed(self.wrappers):
            stack = wrapper.build(side, stack, named=named)
        return stack

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the stack's parts, outermost first."""
        inside = (self.store.name,) if isinstance(self.store, Part) else (f"kv:{self.store.alias}",)
        return (*[wrapper.name for wrapper in self.wrappers], *inside)

    @property
    def plain_hosts(self) -> tuple[str, ...]:
        """The hosts beyond this machine that its stores speak to without TLS."""
        found = list(plain_hosts(self.location)) if isinstance(self.store, Part) else list(self.store.plain_hosts)
        for part in self.wrappers:
            for option in part.options.values():
                if isinstance(option, StackSpec):
                    found += option.plain_hosts
        return tuple(dict.fromkeys(found))

    @override
    def __repr__(self) -> str:
        return f"StackSpec({self.alias!r}: {' > '.join(self.parts)} at {self.location})"
