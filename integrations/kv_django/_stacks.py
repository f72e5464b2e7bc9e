"""Read stacks from Django's settings, hold one of each in this process, and end them when the settings change."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar, cast

from django.conf import settings
from django.core.signals import setting_changed
from typing_extensions import override

from kv_core.aio.protocols import AsyncStore
from kv_core.errors import ConfigurationError, Problem
from kv_core.forks import renew_after_fork
from kv_core.kinds import WRAPPERS
from kv_core.registry import Registry
from kv_core.settings import SETTINGS, parse_stacks
from kv_core.signing import Signer
from kv_core.stack import Part, StackSpec
from kv_core.sync.protocols import Store
from kv_django._options import THIS_CACHE
from kv_django.errors import StoresImproperlyConfiguredError

S = TypeVar("S")

CLOSING_TIMEOUT: Final = 5.0
"""How long closing waits for event loops in other threads, in seconds."""

_REREAD: Final = frozenset(("SECRET_KEY", "SECRET_KEY_FALLBACKS", "KV_SESSION_STORE"))


class Stack:
    """A stack on both sides, each built when it is first used."""

    def __init__(self, spec: StackSpec, registry: Registry) -> None:
        """Describe a stack; stacks that it refers to are those of *registry*."""
        self.spec = spec
        self.private = _private(spec)
        """Whether nothing outside this process can write what the stack reads."""
        self._registry = registry
        self._lock = threading.RLock()
        renew_after_fork(self)
        self._store: Store | None = None
        self._astore: AsyncStore | None = None

    @property
    def store(self) -> Store:
        """The stack for threads."""
        if self._store is None:
            with self._lock:
                if self._store is None:
                    self._store = self._named(self.spec)
        return self._store

    @property
    def astore(self) -> AsyncStore:
        """The stack for event loops."""
        if self._astore is None:
            with self._lock:
                if self._astore is None:
                    self._astore = self._anamed(self.spec)
        return self._astore

    @property
    def described_collection(self) -> str | None:
        """The default collection that the settings give the stack, if they do."""
        spec = self.spec
        while isinstance(spec.store, StackSpec):
            spec = spec.store
        return spec.store.options.get("default_collection")

    @property
    def used_by_loops(self) -> bool:
        """Whether there may be something to close in an event loop."""
        return self._astore is not None

    def close(self) -> None:
        """Close the stack for threads; one of the registry is closed with the registry."""
        if self._store is not None and not self._registered(self.spec):
            self._store.close()

    async def aclose(self) -> None:
        """Close the stack for event loops; one of the registry is closed with the registry."""
        if self._astore is not None and not self._registered(self.spec):
            await self._astore.close()

    def renew_lock(self) -> None:
        """Replace the lock, which another thread may have held when this process was forked."""
        self._lock = threading.RLock()

    def _registered(self, spec: StackSpec) -> bool:
        return spec.alias in self._registry.specs

    def _named(self, spec: StackSpec) -> Store:
        return self._registry.store(spec.alias) if self._registered(spec) else spec.build_sync(self._named)

    def _anamed(self, spec: StackSpec) -> AsyncStore:
        return self._registry.astore(spec.alias) if self._registered(spec) else spec.build_async(self._anamed)


class Stacks:
    """The stacks of this process: those of `KV_STORES` by alias, and those that `CACHES` describes in place.

    `generation` changes whenever what was handed out before is not to be used any more.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._lock = threading.RLock()
        renew_after_fork(self)
        self._registry: Registry | None = None
        self._by_alias: dict[str, Stack] = {}
        self._inline: dict[object, tuple[Mapping[str, Any], Stack]] = {}
        self._signers: dict[str, Signer] = {}

    def registry(self) -> Registry:
        """Return the registry of `KV_STORES`.

        Raises:
            StoresImproperlyConfiguredError: The setting is wrong.
        """
        with self._lock:
            if self._registry is None:
                with _translated():
                    self._registry = Registry(getattr(settings, SETTINGS, {}))
            return self._registry

    def named(self, alias: str) -> Stack:
        """Return the stack of an alias.

        Raises:
            StoresImproperlyConfiguredError: `KV_STORES` is wrong, or has no such alias.
        """
        found = self._by_alias.get(alias)
        if found is None:
            with self._lock, _translated():
                registry = self.registry()
                found = self._by_alias.setdefault(alias, Stack(registry.spec(alias), registry))
        return found

    def described(self, description: Mapping[str, Any], *, evict: int = 1) -> Stack:
        """Return the stack of a description in `CACHES`; equal descriptions are one stack.

        Args:
            description: The description.
            evict: How many entries a memory store evicts at once.

        Raises:
            StoresImproperlyConfiguredError: The description, or `KV_STORES`, is wrong.
        """
        key = frozen(description), evict
        found = self._inline.get(key)
        if found is None:
            with self._lock:
                registry = self.registry()
                stack = Stack(_evicting(read_inline(description), evict), registry)
                found = self._inline.setdefault(key, (description, stack))
        return found[1]

    def signer(self, purpose: str) -> Signer:
        """Return what signs with `SECRET_KEY`, and verifies with `SECRET_KEY_FALLBACKS` too."""
        found = self._signers.get(purpose)
        if found is None:
            secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
            found = self._signers[purpose] = Signer(secrets, purpose=purpose)
        return found

    def reread(self) -> None:
        """Let everything that is derived from settings be derived anew; stores stay open."""
        with self._lock:
            self._signers = {}
            self.generation += 1

    def close(self, *, inline_only: bool = False) -> None:
        """Close the stores, those of `CACHES` only or all; what is asked for later is built anew."""
        registry, ended = self._take(inline_only=inline_only)
        for stack in ended:
            stack.close()
        if registry is not None:
            registry.close()
        if any(stack.used_by_loops for stack in ended):
            _finish(_aclose(registry, ended))

    async def aclose(self) -> None:
        """Close all stores; what is asked for later is built anew."""
        registry, ended = self._take()
        for stack in ended:
            stack.close()
        await _aclose(registry, ended)

    def _take(self, *, inline_only: bool = False) -> tuple[Registry | None, list[Stack]]:
        with self._lock:
            ended, self._inline = [stack for _, stack in self._inline.values()], {}
            registry = None
            if not inline_only:
                ended += self._by_alias.values()
                registry, self._registry, self._by_alias = self._registry, None, {}
            self.reread()
        return registry, ended

    def renew_lock(self) -> None:
        """Replace the lock, which another thread may have held when this process was forked."""
        self._lock = threading.RLock()


class StoresByAlias(Mapping[str, S], Generic[S]):
    """The stacks of `KV_STORES` on one side, by alias, each built when it is first asked for."""

    def __init__(self, side: str, of: Callable[[Stack], S]) -> None:
        self._side = side
        self._of = of

    @override
    def __getitem__(self, alias: str) -> S:
        return self._of(stacks.named(alias))

    @override
    def __contains__(self, alias: object) -> bool:
        return alias in stacks.registry().specs

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(stacks.registry().specs)

    @override
    def __len__(self) -> int:
        return len(stacks.registry().specs)

    @override
    def get(self, alias: str, default: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - as Mapping types it
        """Return a stack, or *default* where there is no such alias."""
        return self[alias] if alias in self else default  # noqa: SIM401 - this is `get`

    @override
    def __repr__(self) -> str:
        return f"<kv_django.{self._side}: {', '.join(self) or 'none'}>"


class _translated:  # noqa: N801 - a context manager that reads as a word
    """Let a configuration error be Django's as well."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigurationError) and not isinstance(error, StoresImproperlyConfiguredError):
            raise StoresImproperlyConfiguredError(error.message, problems=error.problems) from error


def read_inline(description: Mapping[str, Any]) -> StackSpec:
    """Read a stack that is described in `CACHES`; it may refer to those of `KV_STORES`.

    Raises:
        StoresImproperlyConfiguredError: It is wrong; `.problems` lists all of it.
    """
    alias = "…"  # as in THIS_CACHE
    try:
        return parse_stacks({**getattr(settings, SETTINGS, {}), alias: description}, setting="CACHES")[alias]
    except ConfigurationError as error:
        raise StoresImproperlyConfiguredError(problems=[_as_written(problem) for problem in error.problems]) from error


def _as_written(problem: Problem) -> Problem:
    path = problem.path
    for name in ("['STORE']", "['WRAPPERS']"):  # which stand in a cache's OPTIONS
        if path.startswith(THIS_CACHE + name):
            path = f"{THIS_CACHE}['OPTIONS']{path.removeprefix(THIS_CACHE)}"
    return problem._replace(path=path)


def _evicting(spec: StackSpec, evict: int) -> StackSpec:
    if evict == 1 or isinstance(spec.store, StackSpec) or spec.store.name != "memory":
        return spec
    return replace(spec, store=replace(spec.store, options={**spec.store.options, "_evict": evict}))


def frozen(value: Any) -> object:
    """Return something hashable that is equal for equal settings; an object that cannot be hashed stands for itself."""
    if isinstance(value, Mapping):
        return "mapping", frozenset((key, frozen(item)) for key, item in cast("Any", value).items())
    if isinstance(value, list | tuple):
        return "sequence", tuple(frozen(item) for item in cast("Any", value))
    try:
        hash(value)
    except TypeError:
        return "object", id(value)
    return type(value), value  # pyright: ignore[reportUnknownVariableType] - whatever it is


def _private(spec: StackSpec) -> bool:
    inside = _private(spec.store) if isinstance(spec.store, StackSpec) else spec.store.name == "memory"
    return inside and all(_keeps_private(wrapper) for wrapper in spec.wrappers)


def _keeps_private(wrapper: Part) -> bool:
    return wrapper.kind is WRAPPERS.get(wrapper.name) and all(
        _private(option) if isinstance(option, StackSpec) else not hasattr(option, "put")
        for option in wrapper.options.values()
    )


async def _aclose(registry: Registry | None, ended: list[Stack]) -> None:
    for stack in ended:
        await stack.aclose()
    if registry is not None:
        await registry.aclose()


def _finish(closing: Any) -> None:
    """Run *closing* to its end, or leave it to the loop that runs in this thread."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(asyncio.wait_for(closing, CLOSING_TIMEOUT))
        return
    task = loop.create_task(closing)
    _finishing.add(task)
    task.add_done_callback(_finishing.discard)


_finishing: set[asyncio.Task[None]] = set()


def _on_setting_changed(*, setting: str, **_: object) -> None:
    if setting in (SETTINGS, "CACHES"):
        stacks.close(inline_only=setting == "CACHES")
    elif setting in _REREAD:
        stacks.reread()


stacks: Final = Stacks()
stores: Final[StoresByAlias[Store]] = StoresByAlias("stores", lambda stack: stack.store)
"""The stacks of `KV_STORES` for threads, by alias."""
astores: Final[StoresByAlias[AsyncStore]] = StoresByAlias("astores", lambda stack: stack.astore)
"""The stacks of `KV_STORES` for event loops, by alias."""


def close_stores() -> None:
    """Close the stores of this process; what is asked for later is built anew.

    Those of event loops are closed too; where a loop runs in this thread, soon after.
    """
    stacks.close()


async def aclose_stores() -> None:
    """Close the stores of this process, on both sides; what is asked for later is built anew."""
    await stacks.aclose()


setting_changed.connect(_on_setting_changed, dispatch_uid="kv_django.stores")
