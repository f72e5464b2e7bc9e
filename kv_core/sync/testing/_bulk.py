# Written by tools/mirror.py from kv_core/aio/testing/_bulk.py: change that file instead.
"""Bulk operations: one slot for each key, in the order of the keys."""
# ruff: noqa: S101 - asserting is what a contract does

from __future__ import annotations

from typing import Any

import pytest

from kv_core.errors import BatchLengthError, InvalidKeyError
from kv_core.sync.protocols import Store
from kv_core.sync.testing._common import Contract, contents


class BulkContract(Contract):
    """Bulk operations."""

    @pytest.mark.faults(20)
    @pytest.mark.parametrize(
        "keys",
        ["abc", "", b"abc", None, 5, {"a"}, {"a": 1}, iter(["a"])],
        ids=["text", "empty text", "bytes", "None", "number", "set", "dict", "iterator"],
    )
    def test_keys_are_a_sequence(self, store: Store, keys: Any) -> None:
        """What is not a sequence of keys, a single str above all, is refused by every bulk operation."""
        with pytest.raises(InvalidKeyError, match="sequence"):
            store.get_many(keys)
        with pytest.raises(InvalidKeyError, match="sequence"):
            store.ttl_many(keys)
        with pytest.raises(InvalidKeyError, match="sequence"):
            store.put_many(keys, [{"n": 1}] * 3)
        with pytest.raises(InvalidKeyError, match="sequence"):
            store.delete_many(keys)

    def test_any_sequence_will_do(self, store: Store) -> None:
        """Keys, values and ttls may come in tuples."""
        store.put_many(("a", "b"), ({"n": 1}, {"n": 2}), ttl=(None, 60))

        assert store.get_many(("a", "b")) == [{"n": 1}, {"n": 2}]
        assert store.delete_many(("a", "b")) == 2

    @pytest.mark.faults(21)
    def test_a_key_given_twice(self, store: Store) -> None:
        """A key given twice fills both slots when it is read, keeps its last value, and is deleted once."""
        store.put_many(["a", "b", "a"], [{"n": 1}, {"n": 2}, {"n": 3}], ttl=[60, None, None])

        assert store.get_many(["a", "a", "b"]) == [{"n": 3}, {"n": 3}, {"n": 2}]
        assert store.ttl_many(["a", "a"]) == [({"n": 3}, None)] * 2
        assert store.delete_many(["a", "a"]) == 1
        assert store.get_many(["a", "b"]) == [None, {"n": 2}]

    @pytest.mark.faults(22)
    def test_no_keys(self, store: Store) -> None:
        """Without keys there is nothing to do, and nothing is wrong."""
        assert store.get_many([]) == []
        assert store.ttl_many([]) == []
        store.put_many([], [])
        store.put_many([], [], ttl=[])
        store.put_many([], [], ttl=5)
        assert store.delete_many([]) == 0

    @pytest.mark.parametrize(
        ("values", "ttl"),
        [
            ([], None),
            ([{"n": 1}], None),
            ([{"n": 1}] * 3, None),
            ([{"n": 1}] * 2, []),
            ([{"n": 1}] * 2, [5]),
            ([{"n": 1}] * 2, [None, None, None]),
            ("ab", None),
            (None, None),
            ({"a": {}, "b": {}}, None),
        ],
    )
    def test_lengths_have_to_agree(self, store: Store, values: Any, ttl: Any) -> None:
        """As many values as keys, and as many ttls if there is one for each; else nothing is written."""
        with pytest.raises(BatchLengthError):
            store.put_many(["a", "b"], values, ttl=ttl)

        assert store.get_many(["a", "b"]) == [None, None]

    def test_a_thousand_entries(self, store: Store) -> None:
        """Bulk operations take a thousand keys, and keep their order with gaps among them."""
        keys = [f"key {number}" for number in range(1000)]
        values = [{"n": number} for number in range(1000)]
        store.put_many(keys, values)
        store.put_many(keys[:500], values[:500], ttl=60)
        gaps = [key for key in keys for key in (key, f"no {key}")]

        assert store.get_many(keys[::-1]) == values[::-1]
        assert store.get_many(gaps) == [found for value in values for found in (value, None)]
        ttls = store.ttl_many(keys)
        assert [value for value, _ in ttls] == values
        assert [left is not None for _, left in ttls] == [True] * 500 + [False] * 500
        assert store.delete_many([*keys[:700], "none"]) == 700
        assert store.get_many(keys) == [None] * 700 + values[700:]
        assert store.delete_many(keys) == 300

    def test_bulk_and_single_operations_agree(self, store: Store) -> None:
        """What is written alone is read in bulk, and the other way round, in one collection only."""
        store.put("alone", {"n": 1}, collection="here")
        store.put_many(["many", "too"], [{"n": 2}, {"n": 3}], collection="here")

        assert store.get_many(["many", "alone"], collection="here") == [{"n": 2}, {"n": 1}]
        assert contents(store, ["alone", "many", "too"], "here") == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert store.get_many(["alone", "many"]) == [None, None]
        assert store.delete_many(["alone", "many"]) == 0
        assert store.delete("many", collection="here") is True
        assert store.delete_many(["alone", "many", "too"], collection="here") == 2
