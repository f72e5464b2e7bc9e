# Written by tools/mirror.py from kv_core/aio/testing/_ttl.py: change that file instead.
"""Times to live: never shorter than asked, cleared by a later put, and an expired entry is absent for everyone."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from time import monotonic
from typing import Any, Final

import pytest

from kv_core.errors import InvalidTTLError, MissingKeyError
from kv_core.sync._runtime import sleep
from kv_core.sync.protocols import Store
from kv_core.sync.testing._common import SHORT, Advance, Contract, call, contents, has, in_time, lacks
from kv_core.ttl import KEEP

BAD_TTLS: Final[dict[str, Any]] = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "-infinity": float("-inf"),
    "0": 0,
    "-1": -1,
    "-0.0": -0.0,
    "True": True,
    "False": False,
    "text": "5",
    "bytes": b"5",
    "dict": {},
    "KEEP": KEEP,
    "1e300": 1e300,
    "5,000 digits": 10**5000,
}
BEYOND: Final = SHORT + 0.05
MARGIN: Final = 0.002
"""What a server that counts whole milliseconds may be off by, in seconds."""


def between(left: float | None, ttl: float, since: float) -> bool:
    """Say whether the seconds left are right for a ttl that was given after *since* on the monotonic clock."""
    return left is not None and ttl - (monotonic() - since) - MARGIN <= left <= ttl + MARGIN


class TTLContract(Contract):
    """Times to live."""

    @pytest.mark.faults(47, 49)
    @pytest.mark.parametrize("ttl", BAD_TTLS.values(), ids=BAD_TTLS)
    def test_bad_ttls_are_refused(self, store: Store, ttl: Any) -> None:
        """A ttl that is not a positive, finite number of seconds is refused by every write; what is there stays."""
        store.put("key", {"old": True})

        with pytest.raises(InvalidTTLError):
            store.put("key", {"n": 1}, ttl=ttl)
        for many in (ttl, [ttl, 5], [5, ttl]):
            with pytest.raises(InvalidTTLError):
                store.put_many(["new", "key"], [{"n": 1}, {"n": 2}], ttl=many)
        for operation in has(store, ("put_if_present", "put_if_absent")):
            with pytest.raises(InvalidTTLError):
                getattr(store, operation)("new" if operation == "put_if_absent" else "key", {"n": 1}, ttl=ttl)
        if not lacks(store, "touch"):
            with pytest.raises(InvalidTTLError):
                store.touch("key", ttl=ttl)
        if not lacks(store, "increment"):
            with pytest.raises(InvalidTTLError):
                store.increment("new", initial=0, ttl=ttl)
        if ttl is not KEEP and not lacks(store, "get_with_revision", "put_if_unchanged"):
            found = store.get_with_revision("key")
            assert found is not None
            with pytest.raises(InvalidTTLError):
                store.put_if_unchanged("key", {"n": 1}, found[1], ttl=ttl)

        assert store.get_many(["key", "new"]) == [{"old": True}, None]
        assert store.ttl("key") == ({"old": True}, None)

    @pytest.mark.faults(50, 51, 52)
    @pytest.mark.parametrize(
        "ttl", [0.5, 1, 1.5, 1.9, 10, 10.0001, 60, 30 * 86400, 30 * 86400 + 1, 31 * 86400, 3650 * 86400, 1e9, 1e10]
    )
    def test_an_entry_has_all_of_its_ttl(self, store: Store, ttl: float) -> None:
        """What is left of a ttl just after the put is all of it: nothing is cut to a whole second."""
        since = monotonic()
        store.put("one", {"n": 1}, ttl=ttl)
        store.put_many(["two", "three"], [{"n": 2}, {"n": 3}], ttl=ttl)

        value, left = store.ttl("one")
        assert value == {"n": 1}
        assert between(left, ttl, since)
        found = store.ttl_many(["two", "three"])
        assert [value for value, _ in found] == [{"n": 2}, {"n": 3}]
        assert all(between(left, ttl, since) for _, left in found)
        assert contents(store, ["one", "two"]) == [{"n": 1}, {"n": 2}]

    @pytest.mark.faults(53)
    def test_a_later_put_clears_the_ttl(self, store: Store, advance: Advance) -> None:
        """A put without ttl makes the entry endless, whatever ttl it had; no ttl and None are the same."""
        keys = ["put", "none", "many", "given"]
        for key in [*keys, "present"]:
            store.put(key, {"n": 1}, ttl=SHORT)
        store.put("put", {"n": 2})
        store.put("none", {"n": 2}, ttl=None)
        store.put_many(["many"], [{"n": 2}])
        store.put_many(["given", "other"], [{"n": 2}, {"n": 2}], ttl=[None, 60])
        if has(store, ("put_if_present",)):
            store.put("present", {"n": 1}, ttl=60)
            assert store.put_if_present("present", {"n": 2}) is True
            keys.append("present")

        advance(BEYOND)

        assert store.get_many(keys) == [{"n": 2}] * len(keys)
        assert store.ttl_many(keys) == [({"n": 2}, None)] * len(keys)
        assert [store.ttl(key) for key in keys] == [({"n": 2}, None)] * len(keys)

    def test_a_later_put_sets_the_ttl(self, store: Store, advance: Advance) -> None:
        """A put with a ttl takes the place of a longer one, and of none."""
        store.put_many(["long", "endless"], [{"n": 1}, {"n": 1}], ttl=[60, None])
        store.put("long", {"n": 2}, ttl=SHORT)
        store.put("endless", {"n": 2}, ttl=SHORT)

        advance(BEYOND)

        assert store.get_many(["long", "endless"]) == [None, None]

    def test_each_key_has_its_own_ttl(self, store: Store, advance: Advance) -> None:
        """A bulk put takes one ttl for all, or one for each key."""
        since = monotonic()
        store.put_many(["a", "b", "c"], [{"n": 1}, {"n": 2}, {"n": 3}], ttl=[SHORT, None, 60])
        store.put_many(["d", "e"], [{"n": 4}, {"n": 5}], ttl=SHORT)

        advance(BEYOND)

        assert store.get_many(["a", "b", "c", "d", "e"]) == [None, {"n": 2}, {"n": 3}, None, None]
        assert (store.ttl("b"))[1] is None
        _, left = store.ttl("c")
        assert left is not None
        assert 60 - (monotonic() - since) - BEYOND - MARGIN <= left <= 60 - BEYOND + 2 * MARGIN

    @pytest.mark.faults(54)
    @pytest.mark.parametrize("ttl", [0.5, 1, 1.9])
    def test_the_moment_of_the_end(self, store: Store, advance: Advance, ttl: float) -> None:
        """A microsecond before its end an entry is there for every read, and at its end it is not."""
        if advance is sleep:
            pytest.skip("needs a clock that can be told: override the fixture `advance`")
        store.put("key", {"n": 1}, ttl=ttl)

        advance(ttl - 1e-6)
        assert store.get("key") == {"n": 1}
        assert store.get_many(["key"]) == [{"n": 1}]
        assert (store.ttl("key"))[0] == {"n": 1}
        assert (store.ttl_many(["key"]))[0][0] == {"n": 1}

        advance(1e-6)
        assert store.get("key") is None
        assert store.get_many(["key"]) == [None]
        assert store.ttl("key") == (None, None)
        assert store.ttl_many(["key"]) == [(None, None)]

    @pytest.mark.faults(56, 57)
    def test_an_expired_entry_is_absent(self, store: Store, advance: Advance) -> None:
        """For every operation an entry that has ended is not there, whether or not it was reaped."""
        keys = ["get", "delete", "many 1", "many 2", "absent", "present", "touch", "revision", "unchanged", "gone"]
        store.put_many(keys, [{"value": 1}] * len(keys), ttl=SHORT)
        store.put("counter", {"value": 1}, ttl=SHORT)
        store.put("new counter", {"value": 1}, ttl=SHORT)
        store.put("lives", {"value": 1}, ttl=60)
        revision: Any = None
        if has(store, ("get_with_revision",)):
            found = store.get_with_revision("unchanged")
            revision = None if found is None else found[1]

        advance(BEYOND)

        assert store.get("get") is None
        assert store.get_many(["get", "lives", "touch"]) == [None, {"value": 1}, None]
        assert store.ttl("get") == (None, None)
        assert store.ttl_many(["get", "touch"]) == [(None, None), (None, None)]
        assert store.delete("delete") is False
        assert store.delete_many(["many 1", "many 2", "none"]) == 0
        if not lacks(store, "keys"):
            assert store.keys() == ["lives"]
        if not lacks(store, "put_if_absent", "put_if_present"):
            assert store.put_if_present("present", {"n": 2}) is False
            assert store.put_if_absent("absent", {"n": 2}) is True
            assert store.ttl("absent") == ({"n": 2}, None)
            assert store.get("present") is None
        if not lacks(store, "touch"):
            assert store.touch("touch", ttl=60) is False
            assert store.get("touch") is None
        if not lacks(store, "get_with_revision", "put_if_unchanged", "delete_if_unchanged"):
            assert store.get_with_revision("revision") is None
            if revision is not None:
                assert store.put_if_unchanged("unchanged", {"n": 2}, revision) is False
                assert store.delete_if_unchanged("unchanged", revision) is False
        if not lacks(store, "increment"):
            with pytest.raises(MissingKeyError):
                store.increment("counter")
            assert store.increment("new counter", initial=10) == 11
            assert store.ttl("new counter") == ({"value": 11}, None)

    def test_touch_changes_when_an_entry_ends(self, store: Store, advance: Advance) -> None:
        """Touching sets, changes or takes away the ttl, keeps the value, and says whether there is an entry."""
        if lacks(store, "touch"):
            return
        values = [{"n": 1, "raw": b"\0"}] * 4

        def prolong() -> None:
            store.put_many(["longer", "endless", "shorter", "limited"], values, ttl=[SHORT, SHORT, 60, None])
            assert store.touch("longer", ttl=60) is True
            assert store.touch("endless", ttl=None) is True

        in_time(prolong)
        assert store.touch("shorter", ttl=SHORT) is True
        assert store.touch("limited", ttl=SHORT) is True
        assert store.touch("limited", ttl=SHORT, collection="other") is False
        assert store.touch("none", ttl=60) is False
        assert store.touch("none", ttl=None) is False
        advance(BEYOND)

        assert store.get_many(["longer", "endless", "shorter", "limited"]) == [*values[:2], None, None]
        assert store.ttl("endless") == (values[0], None)
        assert store.touch("endless", ttl=None) is True
        _, left = store.ttl("longer")
        assert left is not None
        assert left > 30
        assert store.get("none") is None

    def test_operations_without_ttl_leave_it(self, store: Store) -> None:
        """Reading, counting and failed writes leave the ttl that an entry has."""
        since = monotonic()
        store.put("key", {"value": 1}, ttl=60)

        call(store, "get")
        for operation in has(store, ("put_if_absent", "increment", "get_with_revision", "keys", "cull")):
            call(store, operation)

        assert between((store.ttl("key"))[1], 60, since)
