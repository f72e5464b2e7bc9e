"""Hold the stacks of an application: each alias is built once a side, when it is first asked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from kv_core.aio.protocols import AsyncStore
from kv_core.errors import ConfigurationError, StoreClosedError
from kv_core.options import did_you_mean
from kv_core.stack import SETTINGS, StackSpec, parse_stacks
from kv_core.sync.protocols import Store


class Registry:
    """The stacks of one application, on both sides. Two registries share nothing, even with equal settings."""

    def __init__(self, settings: Mapping[str, Any], *, setting: str = SETTINGS) -> None:
        """Read and check the settings; nothing is connected.

        Args:
            settings: The mapping of aliases, as `kv_core.stack` describes it.
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
        """Close the stacks for threads, last made first; closing twice is closing once."""
        with self._lock:
            self._closed = True
            stores, self._stores = list(self._stores.values()), {}
        for store in reversed(stores):
            store.close()

    async def aclose(self) -> None:
        """Close the stacks of both sides, last made first; closing twice is closing once."""
        with self._lock:
            self._closed = True
            stores, self._astores = list(self._astores.values()), {}
        for store in reversed(stores):
            await store.close()
        self.close()

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
