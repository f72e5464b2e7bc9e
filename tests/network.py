"""The stores of `stores.STORES` that talk to a server, for sections 7 and 8 of the faults.

A test takes a server from the fixtures `<name>_server` and `own_<name>`, and makes as many stores of it as it wants.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stores import STORES, Case, Place


@dataclass(frozen=True)
class NetworkStore:
    """One of them."""

    case: Case

    def make(self, side: str, url: str, **options: Any) -> Any:
        """Return a store of one side, `kv_core.aio` or its twin, for a server's URL.

        All of them see the same entries of that server; `timeout=`, `default_collection=` and others go with it.
        """
        place = Place(Path(), url, "kvnetwork")
        return self.case.load(side.rpartition(".")[2])(**self.case.options(place), **options)


NETWORK = {name: NetworkStore(case) for name, case in STORES.items() if case.server}
"""By the name of the server's kind."""

SETS = {
    name: NetworkStore(Case(name, "redis.RedisStore", lambda place: {"url": place.url}, server=f"{name}_server"))
    for name in ("redis_cluster", "redis_sentinel")
}
"""The stores on several servers, for what is about loops, threads and processes."""

DROPPED = pytest.mark.filterwarnings("ignore:unclosed (<socket|transport):ResourceWarning")
"""pymongo leaves a socket to the garbage collector when connecting was cancelled."""

EACH = [pytest.param(name, marks=DROPPED if name == "mongodb" else ()) for name in NETWORK]
"""The same as parameters of a fixture, for tests that end calls half-way."""
