"""Names of Memcached items: what the server can hold, never two addresses alike; times; nodes; generations."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kv_core import address
from kv_core.errors import CorruptEntryError
from kv_core.memcached_items import (
    DESTROYED,
    MAX_NAME,
    UNTOUCHED,
    Generation,
    Item,
    Rendezvous,
    exptime,
    generation,
    item_name,
    record_name,
)

COUNT = 1_000_000 if os.environ.get("KV_TEST_FULL") else 50_000
NOW = datetime(2025, 1, 1, tzinfo=UTC)
DAY = 86400
texts = st.text(st.characters(codec="utf-8"), max_size=300) | st.text("a :%~\n", max_size=300)


@pytest.mark.parametrize(
    ("collection", "key"),
    [("users", "ada"), ("users", "user:1"), ("a", ""), ("a", "100%"), ("ü", "é"), ("a", "k" * 247)],
)
def test_ordinary_names_are_those_of_py_key_value(collection, key):
    """What a server can hold is `collection::key`, in UTF-8."""
    assert item_name(collection, key) == f"{collection}::{key}".encode()


@pytest.mark.faults(6, 7, 9, 10)
@given(collection=texts.filter(bool), key=texts)
def test_every_name_can_be_held(collection, key):
    """A name has at most 250 bytes and no control character or space, whatever its address is."""
    for name in (item_name(collection, key), record_name(collection), item_name(collection, key, 150)):
        assert len(name) <= MAX_NAME
        assert not set(name) & {*range(33), 127}


@pytest.mark.faults(12)
def test_no_two_addresses_have_one_name():
    """Names that are hashed, for their length or for a space, are as many as the addresses."""
    long = "x" * 300
    names = set()
    for number in range(COUNT // 2):
        names.add(item_name(long, str(number)))
        names.add(item_name("a", f"b {number}"))

    assert len(names) == COUNT // 2 * 2


def test_no_key_reads_like_a_name_that_was_hashed():
    """Whoever may choose keys cannot meet a hashed name, nor a record: these have forms that no address has."""
    hashed = item_name("c", "k" * 300)

    assert hashed.startswith(b"::")
    for name in (hashed, record_name("c"), record_name("c" * 300), record_name("a b")):
        assert address.decode(name.decode()) is None
        assert name != item_name("c", name.decode())
    assert record_name("a:b") != record_name("a%3Ab")


@pytest.mark.faults(50, 51, 52)
@pytest.mark.parametrize(
    ("ttl", "told"),
    [
        (None, 0),
        (1e-6, 2),
        (0.5, 2),
        (1, 2),
        (1.5, 3),
        (30 * DAY - 1, 30 * DAY),
        (30 * DAY, int(NOW.timestamp()) + 30 * DAY + 1),
        (31 * DAY, int(NOW.timestamp()) + 31 * DAY + 1),
        (3650 * DAY, int(NOW.timestamp()) + 3650 * DAY + 1),
        (2**31 - 2 - NOW.timestamp(), 2**31 - 1),
        (2**31 - 1 - NOW.timestamp(), 0),
        (1e10, 0),
    ],
)
def test_what_the_server_is_told(ttl, told):
    """One second more than the ttl rounded up; a moment beyond 30 days; no end beyond what its 31 bits hold."""
    assert exptime(ttl, NOW) == told


def test_moments_are_rounded_up():
    """A clock between two seconds does not make an entry end early."""
    assert exptime(31 * DAY, NOW + timedelta(microseconds=1)) == int(NOW.timestamp()) + 31 * DAY + 2


def test_names_divide_evenly_and_stay_where_they_are():
    """Each of three nodes has a third; without one of them, only its own names move; order plays no part."""
    names = [b"users::%d" % number for number in range(3000)]
    nodes = ["a:1", "b:1", "c:1"]
    three = [nodes[Rendezvous(nodes).choose(name)] for name in names]
    two = [nodes[Rendezvous(nodes[:2]).choose(name)] for name in names]
    turned = [nodes[::-1][Rendezvous(nodes[::-1]).choose(name)] for name in names]

    assert all(850 < three.count(node) < 1150 for node in nodes)
    assert [before for before, after in zip(three, two, strict=True) if before != after].count("c:1") == three.count(
        "c:1"
    )
    assert sum(before != after for before, after in zip(three, two, strict=True)) == three.count("c:1")
    assert turned == three


def test_generations():
    """A record is read as it was written, and says which items are there."""
    first = UNTOUCHED.next()
    later = DESTROYED.next()

    for one in (first, later, DESTROYED):
        assert generation(Item(one.record(), 0)) == one
    assert generation(None) == UNTOUCHED
    assert [UNTOUCHED.holds(Item(b"", flags)) for flags in (0, 2, first.number)] == [True, True, False]
    assert [first.holds(Item(b"", flags)) for flags in (0, first.number, later.number)] == [True, True, False]
    assert [later.holds(Item(b"", flags)) for flags in (0, later.number, first.number)] == [False, True, False]
    assert not any(DESTROYED.holds(Item(b"", flags)) for flags in (0, first.number))
    with pytest.raises(CorruptEntryError):
        generation(Item(b"something else", 0))


def test_generations_are_chosen_at_random():
    """Each is 32 bits with the highest set, which no other client uses for types."""
    numbers = {UNTOUCHED.next().number for _ in range(1000)}

    assert len(numbers) > 990
    assert all(2**31 <= number < 2**32 for number in numbers)
    assert Generation(2**31, others=True).record() == b"2147483648+"
