"""The extension: it reads an application's settings, and finds the stores of the application that runs."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from flask import Flask, current_app, has_app_context
from typing_extensions import override
from werkzeug.local import LocalProxy

from kv_core.errors import ConfigurationError
from kv_core.registry import Registry
from kv_core.settings import stacks_from
from kv_core.sync.protocols import Store

NAME: Final = "kv"

_OUTSIDE: Final = (
    "There is no current application, so nobody knows whose stores are meant. In a view there is one; elsewhere write "
    "`with app.app_context():`, or use app.extensions[{name!r}]."
)
_NOT_THERE: Final = (
    "The application {app!r} has no stores under {name!r}: call KV(app){hint}, or kv.init_app(app) in its factory."
)


class OutsideAppError(ConfigurationError, RuntimeError):
    """The current application's stores were asked for where there is no current application, or it has none."""


class KVStores:
    """The stores of one application, at `app.extensions["kv"]`.

    Two applications have stores of their own, even with equal settings. They open when they are first used, so that a
    server may load the application before it forks.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        _open.add(registry)

    @property
    def default(self) -> Store:
        """The store of the alias `default`."""
        return self.registry.store()

    def __getitem__(self, alias: str) -> Store:
        return self.registry.store(alias)

    def __contains__(self, alias: object) -> bool:
        return alias in self.registry.specs

    def __iter__(self) -> Iterator[str]:
        return iter(self.registry.specs)

    def __len__(self) -> int:
        return len(self.registry.specs)

    def close(self) -> None:
        """Close the stores; it happens by itself when the process ends."""
        self.registry.close()

    @override
    def __repr__(self) -> str:
        return f"KVStores({', '.join(map(repr, self.registry.specs.values()))})"


class KV:
    """The extension: `kv = KV(app)`, or `kv = KV()` and `kv.init_app(app)` in an application factory.

    It keeps nothing of an application, so one `KV` serves any number of them: `kv.store` and `kv["alias"]` belong to
    the application that runs.
    """

    def __init__(self, app: Flask | None = None, *, name: str = NAME, config_prefix: str = "KV") -> None:
        """Make the extension.

        Args:
            app: The application, where there is one already.
            name: Where the stores are in `app.extensions`.
            config_prefix: What the settings' names begin with: `KV_STORES`, and `KV_URL`.

        Raises:
            ConfigurationError: Something is wrong in the application's settings; `.problems` lists all of it.
        """
        self.name = name
        self.config_prefix = config_prefix
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read and check an application's settings, and give it its stores; nothing is connected.

        `KV_STORES` is a mapping of aliases to stacks, or its JSON; `KV_URL` is the default store's URL where
        `KV_STORES` has none.

        Raises:
            ConfigurationError: Something is wrong in the settings; `.problems` lists all of it.
                Or the application has stores of this name.
        """
        if self.name in app.extensions:
            raise ConfigurationError(
                f"The application {app.name!r} has stores under {self.name!r} already: call init_app once, "
                "or give the other KV a name= and a config_prefix= of its own."
            )
        setting = f"{self.config_prefix}_STORES"
        registry = Registry(self._stacks(app, setting), setting=setting)
        if hosts := ", ".join(registry.plain_hosts):
            app.logger.warning("%s: values and passwords go to %s without TLS", setting, hosts)
        app.extensions[self.name] = KVStores(registry)

    @property
    def store(self) -> Store:
        """The current application's default store.

        Raises:
            OutsideAppError: There is no current application, or it has no stores.
        """
        return self.stores.default

    def __getitem__(self, alias: str) -> Store:
        """Return a store of the current application."""
        return self.stores[alias]

    @property
    def stores(self) -> KVStores:
        """All stores of the current application.

        Raises:
            OutsideAppError: There is no current application, or it has no stores.
        """
        return _stores_of_current_app(self.name)

    def close(self) -> None:
        """Close the current application's stores; it happens by itself when the process ends."""
        self.stores.close()

    def _stacks(self, app: Flask, setting: str) -> Mapping[str, Any]:
        config = cast("dict[str, Any]", app.config)
        where = f"The settings of the application {app.name!r}"
        stacks: Mapping[str, Any] = stacks_from(
            config.get(setting), config.get(f"{self.config_prefix}_URL"), setting=setting, where=where
        )
        return stacks


def _stores_of_current_app(name: str) -> KVStores:
    if not has_app_context():
        raise OutsideAppError(_OUTSIDE.format(name=name))
    stores = current_app.extensions.get(name)
    if not isinstance(stores, KVStores):
        hint = "" if name == NAME else f", name={name!r}"
        raise OutsideAppError(_NOT_THERE.format(app=current_app.name, name=name, hint=hint))
    return stores


current_kv: KVStores = cast("KVStores", LocalProxy(lambda: _stores_of_current_app(NAME)))
"""The stores of the application that runs, when they have the usual name."""

_open: weakref.WeakSet[Registry] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for registry in list(_open):
        registry.close()
