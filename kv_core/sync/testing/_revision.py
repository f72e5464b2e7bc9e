# Written by tools/mirror.py from kv_core/aio/testing/_revision.py: change that file instead.
"""Revisions: written or deleted only if nothing has changed since it was read."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from kv_core.entry import Revision
from kv_core.errors import InvalidRevisionError
from kv_core.sync._runtime import gather
from kv_core.sync.protocols import Store
from kv_core.sync.testing._common import SHORT, Advance, Contract, in_time, lacks
from kv_core.sync.testing._ttl import BEYOND, between

OPERATIONS = ("get_with_revision", "put_if_unchanged", "delete_if_unchanged")


def read(store: Store, key: str = "key", collection: str | None = None) -> tuple[dict[str, Any], Revision]:
    """Return the value and the revision of an entry that is there."""
    found = store.get_with_revision(key, collection=collection)
    assert found is not None
    return found


class RevisionContract(Contract):
    """Revisions."""

    def test_put_if_unchanged(self, store: Store) -> None:
        """A revision is good for one write; then it is out of date."""
        if lacks(store, *OPERATIONS):
            return
        store.put("key", {"n": 1})
        value, revision = read(store)
        assert value == {"n": 1}

        assert store.put_if_unchanged("key", {"n": 2}, revision) is True
        assert store.put_if_unchanged("key", {"n": 3}, revision) is False

        assert store.get("key") == {"n": 2}
        _, newer = read(store)
        assert store.put_if_unchanged("key", {"n": 4}, newer) is True

    def test_delete_if_unchanged(self, store: Store) -> None:
        """An entry is deleted at its revision, and not at an earlier one."""
        if lacks(store, *OPERATIONS):
            return
        store.put("key", {"n": 1})
        _, old = read(store)
        store.put("key", {"n": 2})

        assert store.delete_if_unchanged("key", old) is False
        assert store.get("key") == {"n": 2}
        _, new = read(store)
        assert store.delete_if_unchanged("key", new) is True
        assert store.get("key") is None
        assert store.delete_if_unchanged("key", new) is False
        assert store.put_if_unchanged("key", {"n": 3}, new) is False
        assert store.get("key") is None
        assert store.get_with_revision("key") is None

    @pytest.mark.parametrize("change", ["put", "put_many", "put_if_present", "increment", "delete and put"])
    def test_every_write_changes_the_revision(self, store: Store, change: str) -> None:
        """Whatever writes another value puts a revision out of date, back to an earlier value included."""
        if lacks(store, *OPERATIONS) or (change in {"put_if_present", "increment"} and lacks(store, change)):
            return
        store.put("key", {"value": 1})
        _, revision = read(store)

        match change:
            case "put":
                store.put("key", {"value": 2})
            case "put_many":
                store.put_many(["other", "key"], [{"value": 2}, {"value": 2}])
            case "put_if_present":
                store.put_if_present("key", {"value": 2})
            case "increment":
                store.increment("key")
            case _:
                store.delete("key")
                store.put("key", {"value": 2})

        assert store.put_if_unchanged("key", {"value": 3}, revision) is False
        assert store.delete_if_unchanged("key", revision) is False
        assert store.get("key") == {"value": 2}

    def test_a_revision_belongs_to_its_address(self, store: Store) -> None:
        """The revision of one entry is not that of another key or collection."""
        if lacks(store, *OPERATIONS):
            return
        store.put_many(["key", "other"], [{"n": 1}, {"n": 2}])
        store.put("key", {"n": 3}, collection="other")
        _, revision = read(store)

        assert store.put_if_unchanged("other", {"n": 4}, revision) is False
        assert store.delete_if_unchanged("key", revision, collection="other") is False
        assert store.put_if_unchanged("none", {"n": 4}, revision) is False
        assert store.get_many(["other", "none"]) == [{"n": 2}, None]

    def test_the_ttl_is_kept_or_given(self, store: Store) -> None:
        """Without a ttl the entry keeps its own; a ttl takes its place, and None takes it away."""
        if lacks(store, *OPERATIONS):
            return
        since = monotonic()
        store.put_many(["kept", "given", "cleared"], [{"n": 1}] * 3, ttl=60)
        store.put_many(["endless", "limited"], [{"n": 1}] * 2)

        assert store.put_if_unchanged("kept", {"n": 2}, (read(store, "kept"))[1])
        assert store.put_if_unchanged("given", {"n": 2}, (read(store, "given"))[1], ttl=100.5)
        assert store.put_if_unchanged("cleared", {"n": 2}, (read(store, "cleared"))[1], ttl=None)
        assert store.put_if_unchanged("endless", {"n": 2}, (read(store, "endless"))[1])
        assert store.put_if_unchanged("limited", {"n": 2}, (read(store, "limited"))[1], ttl=60)

        assert between((store.ttl("kept"))[1], 60, since)
        assert between((store.ttl("given"))[1], 100.5, since)
        assert store.ttl("cleared") == ({"n": 2}, None)
        assert store.ttl("endless") == ({"n": 2}, None)
        assert between((store.ttl("limited"))[1], 60, since)

    def test_a_kept_ttl_still_ends(self, store: Store, advance: Advance) -> None:
        """An entry that keeps its ttl ends when it would have."""
        if lacks(store, *OPERATIONS):
            return

        def keep_one() -> None:
            store.put("key", {"n": 1}, ttl=SHORT)
            found = store.get_with_revision("key")
            assert found is not None
            assert store.put_if_unchanged("key", {"n": 2}, found[1])

        in_time(keep_one)

        advance(BEYOND)

        assert store.get("key") is None

    @pytest.mark.parametrize("revision", [None, 1, "text", b"bytes", ("token", None)], ids=repr)
    def test_only_revisions_are_revisions(self, store: Store, revision: Any) -> None:
        """What `get_with_revision` did not return is refused."""
        if lacks(store, *OPERATIONS):
            return
        store.put("key", {"n": 1})

        with pytest.raises(InvalidRevisionError):
            store.put_if_unchanged("key", {"n": 2}, revision)
        with pytest.raises(InvalidRevisionError):
            store.delete_if_unchanged("key", revision)

        assert store.get("key") == {"n": 1}

    def test_a_revision_shows_nothing(self, store: Store) -> None:
        """What a revision looks like tells nothing of the value."""
        if lacks(store, *OPERATIONS):
            return
        store.put("key", {"secret": "canary-7f3a"})

        assert "canary" not in repr((read(store))[1])

    def test_no_update_is_lost(self, store: Store) -> None:
        """Many that read, change and write if unchanged, again where they lose, all count."""
        if lacks(store, *OPERATIONS):
            return
        store.put("key", {"list": []})

        def add(number: int) -> bool:
            while True:
                value, revision = read(store)
                if store.put_if_unchanged("key", {"list": [*value["list"], number]}, revision):
                    return True

        gather(*[add(number) for number in range(20)])

        value, _ = read(store)
        assert sorted(value["list"]) == list(range(20))
