# Written by tools/mirror.py from kv_core/aio/testing/_address.py: change that file instead.
"""Keys and collections: any text is a key, and an address is one place."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from typing import Any, Final

import pytest
from typing_extensions import override

from kv_core.errors import InvalidCollectionError, InvalidKeyError
from kv_core.sync.protocols import Store
from kv_core.sync.testing._common import KEYED, PLACED, Contract, call, contents, has, lacks


class _Evil(str):
    """Text that is shown as other text."""

    __slots__ = ()

    @override
    def __format__(self, spec: str) -> str:
        return "other"


KEYS: Final = {
    "empty": "",
    "line breaks": "a\r\nflush_all",
    "space": " ",
    "tab": "\t",
    "NUL": "a\0b",
    "DEL": "\x7f",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "250": "k" * 250,
    "251": "k" * 251,
    "1024": "k" * 1024,
    "65536": "k" * 65_536,
    "480 bytes": "é" * 240,
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "emoji": "🗝",
    "upper": "Key",
    "lower": "key",
    "separators": "::",
    "separator inside": "a::b",
    "colon": ":",
    "percent": "%",
    "escaped": "%3A%25",
    "glob": "*?[ab]\\",
    "path": "../../etc/passwd",
    "hash tag": "{a}b",
    "quotes": "'\"`",
    "dollar": "$where.x",
}
BAD_KEYS: Final[dict[str, Any]] = {
    "int": 1,
    "bytes": b"x",
    "None": None,
    "dict": {"$ne": None},
    "list": ["a"],
    "str subclass": _Evil("x"),
    "lone surrogate": "\ud800",
    "surrogate inside": "a\udfffb",
}
COLLECTIONS: Final = (
    *("Users", "users", "*", "[ab]", "a", "b", "\\", "?", "a:b", "a%3Ab", "a%b", ":", "::", "%", " ", "\0", "\r\n"),
    *("\u00e9", "e\u0301", "🗝", "{x}", "c" * 300),
)


def splits(text: str) -> list[tuple[str, str]]:
    """Return every collection and key that read as *text* once they are joined by `::`, `:` or nothing."""
    found = {
        (text[:end], text[end + len(separator) :])
        for separator in ("::", ":", "")
        for end in range(1, len(text) + 1)
        if text[end:].startswith(separator)
    }
    return sorted(found)


class AddressContract(Contract):
    """Keys and collections."""

    @pytest.mark.faults(5, 6, 7, 9, 10, 14)
    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    def test_any_text_is_a_key(self, store: Store, key: str) -> None:
        """A key of any text and length takes a value, gives it back by every read, and can be deleted."""
        other = f"{key}x"
        store.put(other, {"other": True})
        assert store.delete(key) is False

        store.put(key, {"key": "flush_all"})

        assert store.get(key) == {"key": "flush_all"}
        assert store.get_many([key, other]) == [{"key": "flush_all"}, {"other": True}]
        assert store.ttl(key) == ({"key": "flush_all"}, None)
        assert store.ttl_many([key]) == [({"key": "flush_all"}, None)]
        store.put_many([key], [{"key": "again"}])
        assert store.get(key) == {"key": "again"}
        if not lacks(store, "keys"):
            assert sorted(store.keys()) == sorted([key, other])
        assert store.delete(key) is True
        assert store.get(key) is None
        assert store.get(other) == {"other": True}

    @pytest.mark.faults(14)
    def test_no_two_keys_are_one(self, store: Store) -> None:
        """Keys that look alike, differ in case or in composition hold values of their own."""
        keys = list(KEYS.values())
        store.put_many(keys, [{"n": number} for number in range(len(keys))])

        assert contents(store, keys) == [{"n": number} for number in range(len(keys))]

    @pytest.mark.faults(9, 12)
    def test_no_two_long_keys_are_one(self, store: Store) -> None:
        """Keys too long for some backends, which differ in one place or in their length, hold values of their own."""
        long = "k" * 300
        keys = [f"{long[:at]}{mark}{long[at:]}" for at in (0, 1, 100, 200, 249, 250, 251, 299, 300) for mark in "aé\n"]
        keys += [long * times for times in range(1, 10)]
        store.put_many(keys, [{"n": number} for number in range(len(keys))])

        assert contents(store, keys) == [{"n": number} for number in range(len(keys))]

    @pytest.mark.faults(8, 18)
    @pytest.mark.parametrize("operation", KEYED)
    def test_what_is_not_text_is_no_key(self, store: Store, operation: str) -> None:
        """Every operation refuses a key that is not exactly a str, or that UTF-8 cannot encode."""
        if lacks(store, operation):
            return
        for kind, key in BAD_KEYS.items():
            with pytest.raises(InvalidKeyError) as caught:
                call(store, operation, key)

            assert not isinstance(caught.value, InvalidCollectionError), kind
            assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False), kind

    @pytest.mark.faults(18)
    def test_one_bad_key_refuses_the_whole_bulk(self, store: Store) -> None:
        """A bulk write with one bad key writes nothing."""
        bad: Any = ["good", None]
        with pytest.raises(InvalidKeyError):
            store.put_many(bad, [{"n": 1}, {"n": 2}])

        assert store.get("good") is None

    @pytest.mark.faults(5, 8, 18)
    @pytest.mark.parametrize("operation", PLACED)
    def test_what_is_not_text_is_no_collection(self, store: Store, operation: str) -> None:
        """Every operation refuses a collection that is empty, not exactly a str, or not encodable."""
        if lacks(store, operation):
            return
        for collection in [*(bad for bad in BAD_KEYS.values() if bad is not None), ""]:
            with pytest.raises(InvalidCollectionError):
                call(store, operation, collection=collection)

    @pytest.mark.faults(13, 14, 24)
    def test_collections_are_apart(self, store: Store) -> None:
        """One key in collections that look alike holds values of their own, and each is deleted alone."""
        for collection in COLLECTIONS:
            store.put("key", {"in": collection}, collection=collection)

        assert [store.get("key", collection=name) for name in COLLECTIONS] == [{"in": name} for name in COLLECTIONS]
        assert store.get("key") is None
        assert store.delete("key", collection="Users") is True
        assert store.get("key", collection="users") == {"in": "users"}

    def test_none_is_the_default_collection(self, store: Store) -> None:
        """No collection, None and the name that the store tells are one collection, for every operation."""
        name = store.default_collection
        store.put("key", {"n": 1})

        assert store.get("key", collection=name) == {"n": 1}
        assert store.get("key", collection=None) == {"n": 1}
        store.put("key", {"n": 2}, collection=name)
        assert store.get("key") == {"n": 2}
        for operation in has(store, ("get_with_revision", "keys", "iter_keys", "put_if_present", "touch")):
            assert call(store, operation), operation
        assert store.delete("key", collection=name) is True
        assert store.get("key") is None

    @pytest.mark.faults(1)
    @pytest.mark.parametrize("joined", ["a::b::c", "a:::b", "::a::", "a%3A%3Ab::c", "a__b__c", "a/b:c"])
    def test_addresses_never_alias(self, store: Store, joined: str) -> None:
        """Two addresses that read alike once joined are two places."""
        places = splits(joined)
        for collection, key in places:
            assert store.get(key, collection=collection) is None, (collection, key)
            store.put(key, {"at": [collection, key]}, collection=collection)

        for collection, key in places:
            assert store.get(key, collection=collection) == {"at": [collection, key]}
