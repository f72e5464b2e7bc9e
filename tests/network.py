"""The stores that talk to a server, by the name of its kind: what the tests of sections 7 and 8 walk.

A new store is one entry of `NETWORK`. Its tests take a server from the fixtures `<name>_server` and `own_<name>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def by_url(url: str) -> dict[str, Any]:
    """Return the options of a store that takes its server's URL as it is."""
    return {"url": url}


@dataclass(frozen=True)
class NetworkStore:
    """How to make a store, on either side, for a server's URL."""

    module: str
    """Where it is, below `kv_core.aio` and `kv_core.sync`."""
    name: str
    """What its class is called."""
    options: Callable[[str], dict[str, Any]] = by_url
    """What the constructor takes for a URL as `Server.url` has it."""

    def make(self, side: str, url: str, **options: Any) -> Any:
        """Return a store of one side, `kv_core.aio` or its twin; `timeout=` and other options go with it."""
        kind = getattr(import_module(f"{side}.{self.module}"), self.name)
        return kind(**self.options(url), **options)


NETWORK = {
    "redis": NetworkStore("stores.redis", "RedisStore"),
}
