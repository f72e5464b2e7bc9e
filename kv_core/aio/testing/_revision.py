"""Revisions: written or deleted only if nothing has changed since it was read."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from kv_core.aio._runtime import gather
from kv_core.aio.protocols import AsyncStore
from kv_core.aio.testing._common import SHORT, Advance, Contract, in_time, lacks
from kv_core.aio.testing._ttl import BEYOND, between
from kv_core.entry import Revision
from kv_core.errors import InvalidRevisionError

OPERATIONS = ("get_with_revision", "put_if_unchanged", "delete_if_unchanged")


async def read(store: AsyncStore, key: str = "key", collection: str | None = None) -> tuple[dict[str, Any], Revision]:
    """Return the value and the revision of an entry that is there."""
    found = await store.get_with_revision(key, collection=collection)
    assert found is not None
    return found


class RevisionContract(Contract):
    """Revisions."""

    async def test_put_if_unchanged(self, store: AsyncStore) -> None:
        """A revision is good for one write; then it is out of date."""
        if await lacks(store, *OPERATIONS):
            return
        await store.put("key", {"n": 1})
        value, revision = await read(store)
        assert value == {"n": 1}

        assert await store.put_if_unchanged("key", {"n": 2}, revision) is True
        assert await store.put_if_unchanged("key", {"n": 3}, revision) is False

        assert await store.get("key") == {"n": 2}
        _, newer = await read(store)
        assert await store.put_if_unchanged("key", {"n": 4}, newer) is True

    async def test_delete_if_unchanged(self, store: AsyncStore) -> None:
        """An entry is deleted at its revision, and not at an earlier one."""
        if await lacks(store, *OPERATIONS):
            return
        await store.put("key", {"n": 1})
        _, old = await read(store)
        await store.put("key", {"n": 2})

        assert await store.delete_if_unchanged("key", old) is False
        assert await store.get("key") == {"n": 2}
        _, new = await read(store)
        assert await store.delete_if_unchanged("key", new) is True
        assert await store.get("key") is None
        assert await store.delete_if_unchanged("key", new) is False
        assert await store.put_if_unchanged("key", {"n": 3}, new) is False
        assert await store.get("key") is None
        assert await store.get_with_revision("key") is None

    @pytest.mark.parametrize("change", ["put", "put_many", "put_if_present", "increment", "delete and put"])
    async def test_every_write_changes_the_revision(self, store: AsyncStore, change: str) -> None:
        """Whatever writes another value puts a revision out of date, back to an earlier value included."""
        if await lacks(store, *OPERATIONS) or (
            change in {"put_if_present", "increment"} and await lacks(store, change)
        ):
            return
        await store.put("key", {"value": 1})
        _, revision = await read(store)

        match change:
            case "put":
                await store.put("key", {"value": 2})
            case "put_many":
                await store.put_many(["other", "key"], [{"value": 2}, {"value": 2}])
            case "put_if_present":
                await store.put_if_present("key", {"value": 2})
            case "increment":
                await store.increment("key")
            case _:
                await store.delete("key")
                await store.put("key", {"value": 2})

        assert await store.put_if_unchanged("key", {"value": 3}, revision) is False
        assert await store.delete_if_unchanged("key", revision) is False
        assert await store.get("key") == {"value": 2}

    async def test_a_revision_belongs_to_its_address(self, store: AsyncStore) -> None:
        """The revision of one entry is not that of another key or collection."""
        if await lacks(store, *OPERATIONS):
            return
        await store.put_many(["key", "other"], [{"n": 1}, {"n": 2}])
        await store.put("key", {"n": 3}, collection="other")
        _, revision = await read(store)

        assert await store.put_if_unchanged("other", {"n": 4}, revision) is False
        assert await store.delete_if_unchanged("key", revision, collection="other") is False
        assert await store.put_if_unchanged("none", {"n": 4}, revision) is False
        assert await store.get_many(["other", "none"]) == [{"n": 2}, None]

    async def test_the_ttl_is_kept_or_given(self, store: AsyncStore) -> None:
        """Without a ttl the entry keeps its own; a ttl takes its place, and None takes it away."""
        if await lacks(store, *OPERATIONS):
            return
        since = monotonic()
        await store.put_many(["kept", "given", "cleared"], [{"n": 1}] * 3, ttl=60)
        await store.put_many(["endless", "limited"], [{"n": 1}] * 2)

        assert await store.put_if_unchanged("kept", {"n": 2}, (await read(store, "kept"))[1])
        assert await store.put_if_unchanged("given", {"n": 2}, (await read(store, "given"))[1], ttl=100.5)
        assert await store.put_if_unchanged("cleared", {"n": 2}, (await read(store, "cleared"))[1], ttl=None)
        assert await store.put_if_unchanged("endless", {"n": 2}, (await read(store, "endless"))[1])
        assert await store.put_if_unchanged("limited", {"n": 2}, (await read(store, "limited"))[1], ttl=60)

        assert between((await store.ttl("kept"))[1], 60, since)
        assert between((await store.ttl("given"))[1], 100.5, since)
        assert await store.ttl("cleared") == ({"n": 2}, None)
        assert await store.ttl("endless") == ({"n": 2}, None)
        assert between((await store.ttl("limited"))[1], 60, since)

    async def test_a_kept_ttl_still_ends(self, store: AsyncStore, advance: Advance) -> None:
        """An entry that keeps its ttl ends when it would have."""
        if await lacks(store, *OPERATIONS):
            return

        async def keep_one() -> None:
            await store.put("key", {"n": 1}, ttl=SHORT)
            found = await store.get_with_revision("key")
            assert found is not None
            assert await store.put_if_unchanged("key", {"n": 2}, found[1])

        await in_time(keep_one)

        await advance(BEYOND)

        assert await store.get("key") is None

    @pytest.mark.parametrize("revision", [None, 1, "text", b"bytes", ("token", None)], ids=repr)
    async def test_only_revisions_are_revisions(self, store: AsyncStore, revision: Any) -> None:
        """What `get_with_revision` did not return is refused."""
        if await lacks(store, *OPERATIONS):
            return
        await store.put("key", {"n": 1})

        with pytest.raises(InvalidRevisionError):
            await store.put_if_unchanged("key", {"n": 2}, revision)
        with pytest.raises(InvalidRevisionError):
            await store.delete_if_unchanged("key", revision)

        assert await store.get("key") == {"n": 1}

    async def test_a_revision_shows_nothing(self, store: AsyncStore) -> None:
        """What a revision looks like tells nothing of the value."""
        if await lacks(store, *OPERATIONS):
            return
        await store.put("key", {"secret": "canary-7f3a"})

        assert "canary" not in repr((await read(store))[1])

    async def test_no_update_is_lost(self, store: AsyncStore) -> None:
        """Many that read, change and write if unchanged, again where they lose, all count."""
        if await lacks(store, *OPERATIONS):
            return
        await store.put("key", {"list": []})

        async def add(number: int) -> bool:
            while True:
                value, revision = await read(store)
                if await store.put_if_unchanged("key", {"list": [*value["list"], number]}, revision):
                    return True

        await gather(*[add(number) for number in range(20)])

        value, _ = await read(store)
        assert sorted(value["list"]) == list(range(20))
