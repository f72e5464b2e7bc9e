# Written by tools/mirror.py from kv_core/aio/testing/_value.py: change that file instead.
"""Values: what you get is what you put, or `put` raised."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

import enum
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final
from uuid import UUID

import pytest

from kv_core.codec import MAX_DEPTH
from kv_core.errors import SerializationError
from kv_core.sync.protocols import Store
from kv_core.sync.testing._common import Contract, call, exact, has

VALUES: Final[dict[str, dict[str, Any]]] = {
    "empty": {},
    "integers": {"n": [0, -1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1]},
    "floats": {"x": [0.1, 1 / 3, -0.0, 0.0, 1.0, 1e16, 1e22, 5e-324, 1.7976931348623157e308, -2.5]},
    "whole float": {"x": 100.0},
    "constants": {"yes": True, "no": False, "none": None},
    "texts": {"t": ["", "\0", "é", "e\u0301", "🗝", "\u2028", "\x7f", "\r\n", '"', "\\", "</script>", "\ufeff"]},
    "texts like others": {"t": ["1", "1.0", "null", "true", "NaN", "2025-01-01T00:00:00Z", "b'x'", "AA=="]},
    "bytes": {"raw": bytes(range(256)), "empty": b"", "brace": b"{", "text": b"text"},
    "bytes inside": {"a": [{"b": [b"\xff", "x", None]}, b""], "n": 2**64 - 1, "x": -0.0},
    "nested": {"a": [[], {}, [[]], [{}], {"": {"": []}}], "b": {"c": {"d": [1, [2, [3]]]}}},
    "odd names": {"": 1, " ": 2, "\0": 3, "a.b": 4, "$set": 5, "_id": 6, "é": 7, "key": 8, "1": 9},
    "order": {"z": 1, "a": 2, "m": 3},
    "counter": {"value": 1},
    "like an entry": {"collection": "c", "created_at": "2025-01-01T00:00:00Z", "key": "k", "value": {}, "version": 1},
    "like an expired entry": {"expires_at": "2000-01-01T00:00:00Z", "value": {"value": 1}, "version": 99},
    "compression marker": {"__compressed_data__": "H4sIAAAA", "__compression_algorithm__": "gzip"},
    "encryption marker": {"__encrypted_data__": "gAAAAAB", "__encryption_version__": 1},
    "our markers": {"__kv_compressed__": b"\x1f\x8b", "__kv_encrypted__": b"", "__kv_x": 1},
    "many": {str(number): number for number in range(1000)},
}


class _Colour(enum.Enum):
    RED = 1


class _Number(enum.IntEnum):
    ONE = 1


class _Text(str):
    __slots__ = ()


class _Float(float):
    """As numpy's float64 is."""

    __slots__ = ()


@dataclass
class _Point:
    x: int = 1


def deep(levels: int) -> dict[str, Any]:
    """Return a dict that is nested so many levels deep."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"d": value}
    return value


def deep_list(levels: int) -> dict[str, Any]:
    """Return a dict with a list that is nested so many levels deep."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return {"d": value}


def circular() -> dict[str, Any]:
    """Return a dict that holds itself."""
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


def exploding() -> dict[str, Any]:
    """Return a dict that is small in memory, and a billion lists once it is written."""
    value: list[Any] = []
    for _ in range(30):
        value = [value, value]
    return {"v": value}


REFUSED: Final[dict[str, Any]] = {
    "nan": {"x": float("nan")},
    "infinity": {"x": float("inf")},
    "nested -infinity": {"x": [{"y": float("-inf")}]},
    "int key": {"a": {1: "x"}},
    "None key": {None: 1},
    "True key": {True: 1},
    "bytes key": {b"a": 1},
    "tuple key": {"a": [{("a",): 1}]},
    "str subclass key": {_Text("a"): 1},
    "set": {"x": {1}},
    "frozenset": {"x": frozenset({1})},
    "Decimal": {"x": Decimal("1.1")},
    "datetime": {"x": datetime(2025, 1, 1, tzinfo=UTC)},
    "date": {"x": date(2025, 1, 1)},
    "timedelta": {"x": timedelta(1)},
    "UUID": {"x": UUID(int=1)},
    "Enum": {"x": _Colour.RED},
    "IntEnum": {"x": _Number.ONE},
    "OrderedDict": {"x": OrderedDict(a=1)},
    "OrderedDict itself": OrderedDict(a=1),
    "str subclass": {"x": _Text("a")},
    "float subclass": {"x": _Float(1)},
    "dataclass": {"x": _Point()},
    "bytearray": {"x": bytearray(b"x")},
    "memoryview": {"x": memoryview(b"x")},
    "path": {"x": PurePosixPath("x")},
    "complex": {"x": 1j},
    "object": {"x": object()},
    "function": {"x": deep},
    "range": {"x": range(3)},
    "2**64": {"x": 2**64},
    "-2**63 - 1": {"x": -(2**63) - 1},
    "5,000 digits": {"x": 10**5000},
    "lone surrogate": {"x": "\ud800"},
    "lone surrogate key": {"\ud800": 1},
    "too deep": deep(MAX_DEPTH + 1),
    "100,000 deep": deep(100_000),
    "100,000 lists deep": deep_list(100_000),
    "circular": circular(),
    "a list": [1],
    "a str": "text",
    "None": None,
    "a number": 1,
    "bytes itself": b"x",
}


class ValueContract(Contract):
    """Values."""

    @pytest.mark.faults(28, 37, 45)
    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_values_come_back_exactly(self, store: Store, value: dict[str, Any]) -> None:
        """Every kind of value comes back alike to the last bit, by every read and after every write."""
        store.put("one", value)
        store.put_many(["two", "three"], [value, value], ttl=[None, 60])

        assert exact(store.get("one")) == exact(value)
        assert exact(store.get_many(["two", "three"])) == exact([value, value])
        assert exact((store.ttl("three"))[0]) == exact(value)
        assert exact([found for found, _ in store.ttl_many(["one", "two"])]) == exact([value, value])
        if has(store, ("put_if_absent",)):
            assert store.put_if_absent("four", value) is True
            assert exact(store.get("four")) == exact(value)
        if has(store, ("get_with_revision",)):
            found = store.get_with_revision("one")
            assert found is not None
            assert exact(found[0]) == exact(value)

    @pytest.mark.faults(32)
    def test_a_tuple_comes_back_as_a_list(self, store: Store) -> None:
        """A tuple is taken, and comes back as a list: the one exception."""
        store.put("key", {"t": (1, ("a", b"b"), ())})

        assert exact(store.get("key")) == exact({"t": [1, ["a", b"b"], []]})

    @pytest.mark.faults(34)
    @pytest.mark.parametrize("value", [deep(MAX_DEPTH), deep_list(MAX_DEPTH - 2)], ids=["dicts", "lists"])
    def test_the_greatest_depth_comes_back(self, store: Store, value: dict[str, Any]) -> None:
        """A value that is nested as deep as is allowed comes back."""
        store.put("key", value)

        assert store.get("key") == value

    @pytest.mark.faults(29, 30, 32, 33, 34, 35)
    @pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
    def test_other_values_are_refused(self, store: Store, value: Any) -> None:
        """What would not come back exactly is refused by every write, and what is stored stays."""
        store.put("key", {"old": True})
        writes = has(store, ("put", "put_if_present", "put_if_absent"))

        for operation in writes:
            key = "new" if operation == "put_if_absent" else "key"
            with pytest.raises(SerializationError) as caught:
                getattr(store, operation)(key, value)
            assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)
        with pytest.raises(SerializationError):
            store.put_many(["new", "key"], [{"fine": True}, value])
        if has(store, ("get_with_revision", "put_if_unchanged")):
            found = store.get_with_revision("key")
            assert found is not None
            with pytest.raises(SerializationError):
                store.put_if_unchanged("key", value, found[1])

        assert store.get_many(["key", "new"]) == [{"old": True}, None]

    def test_a_value_that_grows_is_refused(self, store: Store) -> None:
        """A value that is small in memory, but a billion lists once it is written, is refused in time."""
        with pytest.raises(SerializationError):
            store.put("key", exploding())

        assert store.get("key") is None

    def test_no_error_shows_a_value(self, store: Store) -> None:
        """An error about a value names its key and holds nothing of the value."""
        canary = "canary-7f3a"
        for value in ({"x": [canary, {canary}]}, {canary: object()}, {"x": canary + "\ud800"}):
            with pytest.raises(SerializationError) as caught:
                store.put("key", value)

            error: BaseException | None = caught.value
            while error is not None:
                assert canary not in f"{error} {error!r} {error.args}"
                error = error.__cause__

    @pytest.mark.faults(41)
    def test_values_are_never_live(self, store: Store) -> None:
        """Changing a value after it was put, or after it was returned, does not change the store."""
        value: dict[str, Any] = {"list": [1], "dict": {"a": 1}}
        store.put("key", value)
        store.put_many(["other"], [value])
        value["list"].append(2)
        value["dict"]["b"] = 2

        for _ in range(2):
            one = store.get("key")
            [two] = store.get_many(["other"])
            three, _ = store.ttl("key")
            [(four, _)] = store.ttl_many(["other"])
            for found in (one, two, three, four):
                assert found is not None
                assert found == {"list": [1], "dict": {"a": 1}}
                found["list"].append(3)
                found["new"] = True

    @pytest.mark.faults(42)
    @pytest.mark.parametrize(
        "value", [{"text": "é" * 2**19}, {"raw": bytes(range(256)) * 2**12}], ids=["text", "bytes"]
    )
    def test_a_mebibyte_comes_back(self, store: Store, value: dict[str, Any]) -> None:
        """A value of 1 MiB comes back, alone and among others."""
        store.put("large", value)
        store.put("small", {"n": 1})

        assert store.get("large") == value
        assert store.get_many(["small", "large"]) == [{"n": 1}, value]

    def test_a_put_replaces_the_whole_value(self, store: Store) -> None:
        """A later value takes the place of an earlier one; nothing is merged."""
        store.put("key", {"a": 1, "b": {"c": 2}})
        store.put("key", {"b": {}})

        assert store.get("key") == {"b": {}}

    def test_an_absent_key_is_none(self, store: Store) -> None:
        """What was never put is None for every read, and cannot be deleted."""
        assert store.get("none") is None
        assert store.get_many(["none", "nil"]) == [None, None]
        assert store.ttl("none") == (None, None)
        assert store.ttl_many(["none"]) == [(None, None)]
        assert store.delete("none") is False
        assert store.delete_many(["none", "nil"]) == 0
        for operation in has(store, ("get_with_revision", "put_if_present", "touch")):
            assert not call(store, operation, "none"), operation
