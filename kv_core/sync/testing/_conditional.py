# Written by tools/mirror.py from kv_core/aio/testing/_conditional.py: change that file instead.
"""Conditional puts: written if there is an entry, or if there is none, in one step."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from time import monotonic

import pytest

from kv_core.sync._runtime import gather
from kv_core.sync.protocols import Store
from kv_core.sync.testing._common import Contract, lacks
from kv_core.sync.testing._ttl import between


class ConditionalContract(Contract):
    """Conditional puts."""

    def test_put_if_absent(self, store: Store) -> None:
        """The first is kept with its ttl; a second one is not, and changes neither value nor ttl."""
        if lacks(store, "put_if_absent"):
            return
        since = monotonic()

        assert store.put_if_absent("key", {"n": 1}, ttl=60) is True
        assert store.put_if_absent("key", {"n": 2}) is False
        assert store.put_if_absent("key", {"n": 2}, ttl=5) is False
        assert store.put_if_absent("key", {"n": 3}, collection="other") is True

        value, left = store.ttl("key")
        assert value == {"n": 1}
        assert between(left, 60, since)
        assert store.ttl("key", collection="other") == ({"n": 3}, None)
        assert store.delete("key") is True
        assert store.put_if_absent("key", {}) is True
        assert store.put_if_absent("key", {"n": 4}) is False

    def test_put_if_present(self, store: Store) -> None:
        """What is there is replaced, value and ttl; what is not there is not made."""
        if lacks(store, "put_if_present"):
            return
        since = monotonic()

        assert store.put_if_present("key", {"n": 1}) is False
        assert store.get("key") is None
        store.put("key", {}, ttl=5)
        assert store.put_if_present("key", {"n": 2}, ttl=60) is True
        assert store.put_if_present("key", {"n": 3}, collection="other") is False

        value, left = store.ttl("key")
        assert value == {"n": 2}
        assert between(left, 60, since)
        assert store.put_if_present("key", {"n": 4}) is True
        assert store.ttl("key") == ({"n": 4}, None)
        assert store.delete("key") is True
        assert store.put_if_present("key", {"n": 5}) is False
        assert store.get("key") is None

    @pytest.mark.parametrize("race", range(3))
    def test_one_of_many_is_first(self, store: Store, race: int) -> None:
        """Of thirty that put if absent, one wins, and its value is the one that is kept."""
        if lacks(store, "put_if_absent"):
            return

        won = gather(*[store.put_if_absent(f"race {race}", {"n": number}, ttl=60) for number in range(30)])

        assert won.count(True) == 1
        assert store.get(f"race {race}") == {"n": won.index(True)}
