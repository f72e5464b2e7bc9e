"""Hold the stacks of an application: each alias is built once a side, when it is first asked for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from typing import Any

from typing_extensions import override

from kv_core.aio.protocols import AsyncStore
from kv_core.errors import ConfigurationError, StoreClosedError, StoreTimeoutError
from kv_core.forks import renew_after_fork
from kv_core.options import did_you_mean
from kv_core.settings import SETTINGS, parse_stacks
from kv_core.stack import StackSpec
from kv_core.sync.protocols import Store


class Registry:
    """The stacks of one application, on both sides. Two registries share nothing, even with equal settings."""

    def __init__(self, settings: Mapping[str, Any], *, setting: str = SETTINGS) -> None:
        """Read and check the settings; nothing is connected.

        Args:
            settings: The mapping of aliases, as `kv_core.settings` describes it.
            setting: What the mapping is called where it came from, for error texts.

        Raises:
            ConfigurationError: Something is wrong; `.problems` lists all of it.
        """
        self._setting = setting
        self.specs: Mapping[str, StackSpec] = parse_stacks(settings, setting=setting)
        self._stores: dict[str, Store] = {}
        self._astores: dict[str, AsyncStore] = {}
        self._lock = threading.RLock()
        self._closed = False
        renew_after_fork(self)

    @property
    def plain_hosts(self) -> list[str]:
        """The hosts beyond this machine that its stores speak to without TLS."""
        return sorted({host for spec in self.specs.values() for host in spec.plain_hosts})

    def spec(self, alias: str = "default") -> StackSpec:
        """Return how a stack is described.

        Raises:
            ConfigurationError: There is no such alias.
        """
        found = self.specs.get(alias)
        if found is None:
            hint = did_you_mean(alias, self.specs)
            raise ConfigurationError(f"There is no store {alias!r} in {self._setting}. {hint}")
        return found

    def store(self, alias: str = "default") -> Store:
        """Return a stack for threads.

        Raises:
            ConfigurationError: There is no such alias.
            StoreClosedError: The registry was closed.
        """
        found = self._stores.get(alias)
        if found is None:
            with self._lock:
                found = self._stores.get(alias)
                if found is None:
                    self._check_open()
                    found = self.spec(alias).build_sync(self._named)
                    self._stores[alias] = found
        return found

    def astore(self, alias: str = "default") -> AsyncStore:
        """Return a stack for event loops.

        Raises:
            ConfigurationError: There is no such alias.
            StoreClosedError: The registry was closed.
        """
        found = self._astores.get(alias)
        if found is None:
            with self._lock:
                found = self._astores.get(alias)
                if found is None:
                    self._check_open()
                    found = self.spec(alias).build_async(self._anamed)
                    self._astores[alias] = found
        return found

    def close(self) -> None:
        """Close the stacks for threads, last made first; closing twice is closing once.

        One that cannot be closed does not keep the others open; its error is raised at the end.
        """
        with self._lock:
            self._closed = True
            stores, self._stores = self._stores, {}
        with ExitStack() as closing:
            for store in stores.values():
                closing.callback(store.close)

    async def aclose(self, *, timeout: float | None = None) -> None:
        """Close the stacks of both sides, last made first; closing twice is closing once.

        One that cannot be closed does not keep the others open; its error is raised at the end.

        Args:
            timeout: How long each stack for event loops may take, in seconds.

        Raises:
            StoreTimeoutError: One took longer.
        """
        with self._lock:
            self._closed = True
            stores, self._astores = self._astores, {}
        async with AsyncExitStack() as closing:
            closing.callback(self.close)
            for alias, store in stores.items():
                closing.push_async_callback(_close, alias, store, timeout)

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork."""
        self._lock = threading.RLock()

    def _named(self, spec: StackSpec) -> Store:
        return self.store(spec.alias) if self.specs.get(spec.alias) is spec else spec.build_sync(self._named)

    def _anamed(self, spec: StackSpec) -> AsyncStore:
        return self.astore(spec.alias) if self.specs.get(spec.alias) is spec else spec.build_async(self._anamed)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError("The application's stores were closed; make a new registry.")

    @override
    def __repr__(self) -> str:
        return f"Registry({', '.join(map(repr, self.specs.values()))})"


async def _close(alias: str, store: AsyncStore, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await store.close()
    except TimeoutError as error:
        raise StoreTimeoutError(f"The store {alias!r} did not close within {seconds} s.") from error
