"""A machine that makes any operation on a store, in any order, and compares what it finds with a plain dict."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, precondition, rule

from kv_core import errors
from kv_core.ttl import KEEP

if TYPE_CHECKING:
    from stores import Handle

SHORT = 0.01
"""A ttl that the machine waits for, in seconds; a server may need as long again to drop the entry."""

keys = st.sampled_from(("c", "b::c"))  # few places and values, so that many steps meet in one
many_keys = st.lists(keys, max_size=3)
collections = st.sampled_from((None, "a", "a::b"))
numbers = st.sampled_from((1, 0, -1, 2**53 + 1, 2**63 - 1, -(2**63)))
others = st.sampled_from(({}, {"value": "1"}, {"n": [1, {"b": b"\xff"}], "x": -0.0}, {"value": 1, "é🗝": None}))
values = numbers.map(lambda number: {"value": number}) | others
ttls = st.none() | st.sampled_from((100, 1000.5, 1e6))
refused = st.sampled_from(
    (
        ("get", (1,), {}, errors.InvalidKeyError),
        ("put", ("\ud800", {}), {}, errors.InvalidKeyError),
        ("put", ("k", {"x": {1}}), {}, errors.SerializationError),
        ("put", ("k", {"x": float("nan")}), {}, errors.SerializationError),
        ("put", ("k", {}), {"ttl": 0}, errors.InvalidTTLError),
        ("put", ("k", {}), {"collection": ""}, errors.InvalidCollectionError),
        ("put_many", (["k", "K"], [{}]), {}, errors.BatchLengthError),
        ("put_many", (["k", "K"], [{}, {1: 2}]), {}, errors.SerializationError),
        ("delete_many", ("k",), {}, errors.InvalidKeyError),
    )
)

Place = tuple[str | None, str]


@dataclass
class Kept:
    """What a store should have for a key."""

    value: dict[str, Any]
    ends: float | None
    serial: int


def same(one: object, other: object) -> bool:
    """Say whether two values are alike to the last bit."""
    return repr(one) == repr(other)


class StoreMachine(RuleBasedStateMachine):
    """Operations on a store, and the dict that says what they should answer."""

    revisions = Bundle("revisions")

    def __init__(self, store: Handle) -> None:
        super().__init__()
        self.store = store
        self.can = store.can
        self.kept: dict[Place, Kept] = {}
        self.serials = count()
        self.unsure: set[int] = set()
        self.prefix = ""

    # What there is ----------------------------------------------------------------------------------------------------

    def keep(self, place: Place, value: dict[str, Any], ttl: float | None) -> None:
        self.kept[place] = Kept(value, None if ttl is None else time.monotonic() + ttl, next(self.serials))

    def ask(self, operation: str, *arguments: Any, collection: str | None = None, **options: Any) -> Any:
        return self.store.call(operation, *arguments, collection=self.named(collection), **options)

    def named(self, collection: str | None) -> str | None:
        """Return a collection as this run calls it."""
        return f"{self.prefix}{collection or ''}" if self.prefix else collection

    def right(self, found: tuple[Any, float | None], place: Place) -> None:
        """Check a value and its remaining ttl."""
        kept = self.kept.get(place)
        value, left = found
        assert same(value, kept and kept.value), place
        if kept is None or kept.ends is None:
            assert left is None, place
        else:
            assert left == pytest.approx(kept.ends - time.monotonic(), abs=5), place

    @initialize()
    def begin(self) -> None:
        """Begin with nothing: where nothing can be destroyed, in collections that nobody has used."""
        if "destroy" in self.can:
            self.store.call("destroy")
        else:
            self.prefix = uuid4().hex[:8]

    def teardown(self) -> None:
        """Look into every place that there was."""
        for collection in {place[0] for place in self.kept}:
            there = [key for where, key in self.kept if where == collection]
            found = self.ask("ttl_many", [*there, "none"], collection=collection)
            for key, one in zip([*there, "none"], found, strict=True):
                self.right(one, (collection, key))

    # Reads ------------------------------------------------------------------------------------------------------------

    @rule(key=keys, collection=collections)
    def get(self, key, collection):
        kept = self.kept.get((collection, key))
        found = self.ask("get", key, collection=collection)
        assert same(found, kept and kept.value)
        if found is not None:
            found["live"] = True  # what was returned is the caller's
            assert same(self.ask("get", key, collection=collection), kept and kept.value)

    @rule(keys=many_keys, collection=collections)
    def get_many(self, keys, collection):
        wanted = [self.kept[collection, key].value if (collection, key) in self.kept else None for key in keys]
        assert same(self.ask("get_many", keys, collection=collection), wanted)

    @rule(key=keys, collection=collections)
    def ttl(self, key, collection):
        self.right(self.ask("ttl", key, collection=collection), (collection, key))

    @rule(keys=many_keys, collection=collections)
    def ttl_many(self, keys, collection):
        for key, found in zip(keys, self.ask("ttl_many", keys, collection=collection), strict=True):
            self.right(found, (collection, key))

    # Writes -----------------------------------------------------------------------------------------------------------

    @rule(key=keys, collection=collections, value=values, ttl=ttls)
    def put(self, key, collection, value, ttl):
        given = {name: list(inner) if type(inner) is list else inner for name, inner in value.items()}
        self.ask("put", key, given, collection=collection, ttl=ttl)
        given["live"] = True  # what was put is the store's
        self.keep((collection, key), value, ttl)

    @rule(entries=st.lists(st.tuples(keys, values, ttls), max_size=4), collection=collections)
    def put_many(self, entries, collection):
        keys, values, ttls = (list(column) for column in zip(*entries, strict=True)) if entries else ([], [], [])
        self.ask("put_many", keys, values, collection=collection, ttl=ttls)
        for key, value, ttl in entries:
            self.keep((collection, key), value, ttl)

    @rule(key=keys, collection=collections)
    def delete(self, key, collection):
        assert self.ask("delete", key, collection=collection) is (self.kept.pop((collection, key), None) is not None)

    @rule(keys=many_keys, collection=collections)
    def delete_many(self, keys, collection):
        wanted = sum([self.kept.pop((collection, key), None) is not None for key in keys])
        assert self.ask("delete_many", keys, collection=collection) == wanted

    @rule(key=keys, collection=collections, value=values, then=st.sampled_from(("touch", "put_if_present", "delete")))
    def end(self, key, collection, value, then):
        """Put an entry, wait for its end, and do what it takes an entry for."""
        self.ask("put_many", [key], [value], collection=collection, ttl=SHORT)
        time.sleep(2 * SHORT)
        self.kept.pop((collection, key), None)
        if then in self.can:
            arguments = {"touch": (key,), "put_if_present": (key, value), "delete": (key,)}[then]
            options = {"ttl": 1000} if then == "touch" else {}
            assert self.ask(then, *arguments, collection=collection, **options) is False

    @precondition(lambda self: "put_if_absent" in self.can)
    @rule(key=keys, collection=collections, value=values, ttl=ttls)
    def put_if_absent(self, key, collection, value, ttl):
        won = self.ask("put_if_absent", key, value, collection=collection, ttl=ttl)
        assert won is ((collection, key) not in self.kept)
        if won:
            self.keep((collection, key), value, ttl)

    @precondition(lambda self: "put_if_present" in self.can)
    @rule(key=keys, collection=collections, value=values, ttl=ttls)
    def put_if_present(self, key, collection, value, ttl):
        won = self.ask("put_if_present", key, value, collection=collection, ttl=ttl)
        assert won is ((collection, key) in self.kept)
        if won:
            self.keep((collection, key), value, ttl)

    # Revisions --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: "get_with_revision" in self.can)
    @rule(target=revisions, key=keys, collection=collections)
    def get_with_revision(self, key, collection):
        kept = self.kept.get((collection, key))
        found = self.ask("get_with_revision", key, collection=collection)
        if kept is None:
            assert found is None
            return multiple()
        assert same(found[0], kept.value)
        return (collection, key), kept.serial, found[1]

    def unchanged(self, place: Place, serial: int) -> bool:
        return place in self.kept and self.kept[place].serial == serial

    @precondition(lambda self: "put_if_unchanged" in self.can)
    @rule(read=revisions, value=values, ttl=ttls | st.just(KEEP))
    def put_if_unchanged(self, read, value, ttl):
        (collection, key), serial, revision = read
        if serial in self.unsure:
            return
        won = self.ask("put_if_unchanged", key, value, revision, collection=collection, ttl=ttl)
        assert won is self.unchanged((collection, key), serial)
        if won:
            before = self.kept[collection, key].ends
            self.keep((collection, key), value, None if ttl is KEEP else ttl)
            if ttl is KEEP:
                self.kept[collection, key].ends = before

    @precondition(lambda self: "delete_if_unchanged" in self.can)
    @rule(read=revisions)
    def delete_if_unchanged(self, read):
        (collection, key), serial, revision = read
        if serial in self.unsure:
            return
        won = self.ask("delete_if_unchanged", key, revision, collection=collection)
        assert won is self.unchanged((collection, key), serial)
        if won:
            del self.kept[collection, key]

    # Touching and counting --------------------------------------------------------------------------------------------

    @precondition(lambda self: "touch" in self.can)
    @rule(key=keys, collection=collections, ttl=ttls)
    def touch(self, key, collection, ttl):
        kept = self.kept.get((collection, key))
        assert self.ask("touch", key, collection=collection, ttl=ttl) is (kept is not None)
        if kept is not None:
            kept.ends = None if ttl is None else time.monotonic() + ttl
            self.unsure.add(kept.serial)  # it may be another revision now, or the same

    @precondition(lambda self: "increment" in self.can)
    @rule(key=keys, collection=collections, amount=numbers, initial=st.none() | numbers, ttl=ttls)
    def increment(self, key, collection, amount, initial, ttl):
        kept = self.kept.get((collection, key))
        start = initial if kept is None else kept.value.get("value")
        wrong: type[Exception] | None = None
        if initial is not None and not -(2**63) <= initial + amount < 2**63:
            wrong = errors.CounterOverflowError
        elif start is None and kept is None:
            wrong = errors.MissingKeyError
        elif kept is not None and (len(kept.value) != 1 or type(start) is not int or not -(2**63) <= start < 2**63):
            wrong = errors.NotACounterError
        elif not -(2**63) <= start + amount < 2**63:
            wrong = errors.CounterOverflowError
        if wrong is not None:
            with pytest.raises(wrong):
                self.ask("increment", key, amount, collection=collection, initial=initial, ttl=ttl)
            return
        total = self.ask("increment", key, amount, collection=collection, initial=initial, ttl=ttl)
        assert total == start + amount
        if kept is None:
            self.keep((collection, key), {"value": total}, ttl)
        else:
            self.unsure.add(kept.serial)  # adding nothing may leave the revision
            self.kept[collection, key] = Kept({"value": total}, kept.ends, next(self.serials))

    # All of it --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: "keys" in self.can)
    @rule(collection=collections, limit=st.none() | st.integers(0, 3))
    def list_keys(self, collection, limit):
        wanted = sorted(key for where, key in self.kept if where == collection)
        found = self.store.call("keys", self.named(collection), limit=limit)
        assert len(found) == min(len(wanted), len(wanted) if limit is None else limit)
        assert set(found) <= set(wanted)
        assert sorted(self.store.call("iter_keys", self.named(collection))) == wanted

    @precondition(lambda self: "collections" in self.can)
    @rule()
    def list_collections(self):
        default = self.store.store.default_collection
        wanted = {default if where is None else where for where, _ in self.kept}
        found = self.store.call("collections")
        assert len(found) == len(wanted)
        assert set(found) == wanted

    @precondition(lambda self: "destroy_collection" in self.can)
    @rule(collection=collections)
    def destroy_collection(self, collection):
        name = self.named(collection) or self.store.store.default_collection
        gone = [place for place in self.kept if place[0] == collection]
        told = self.store.call("destroy_collection", name)
        assert told is bool(gone) or (told is True and "destroy_collection" in self.store.unsure)
        for place in gone:
            del self.kept[place]

    @precondition(lambda self: "cull" in self.can)
    @rule()
    def cull(self):
        assert self.store.call("cull") >= 0

    @rule(call=refused)
    def refuse(self, call):
        operation, arguments, options, error = call
        with pytest.raises(error):
            self.store.call(operation, *arguments, **options)
