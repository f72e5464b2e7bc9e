"""Addresses become `_id`s of which no two are alike, whatever their length; documents say what they are."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kv_core.errors import CorruptEntryError, EntryTooLargeError
from kv_core.mongodb_documents import LARGEST, bounds, check_size, ending, identify, read

TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.text("ab:%~;", max_size=6)
LENGTHS = st.sampled_from([1, 1, 1, 100, 400, 401])


@st.composite
def addresses(draw):
    """Return two addresses that come from one text, split in two places."""
    text = draw(TEXT) * draw(LENGTHS)
    cuts = [draw(st.integers(1, max(1, len(text)))) for _ in range(2)]
    return [(text[:cut] or "c", text[cut:].removeprefix(draw(st.sampled_from(["", ":", "::", ":~"])))) for cut in cuts]


@pytest.mark.faults(1, 12)
@given(addresses())
def test_no_two_addresses_share_an_id(pair):
    """An `_id` belongs to one address, and lies within the bounds of its collection and of no other."""
    one, other = pair
    assert (identify(*one) == identify(*other)) == (one == other)
    for collection, key in pair:
        inside = bounds(one[0])
        assert (inside["$gt"] < identify(collection, key) < inside["$lt"]) == (collection == one[0])


def test_a_careless_id_is_found_out():
    """The check above has something to find: joining with a colon alone would not do."""

    @settings(max_examples=10_000, phases=[Phase.generate], database=None)
    @given(addresses())
    def check(pair):
        one, other = pair
        assert (":".join(one) == ":".join(other)) == (one == other)

    with pytest.raises(AssertionError):
        check()


@pytest.mark.faults(9, 12)
@pytest.mark.parametrize("length", [400, 401, 65_536])
def test_long_names(length):
    """A long name becomes a digest of 160 bits, which no short name can imitate; an `_id` stays short."""
    for collection, key in (("c", "k" * length), ("c" * length, "k"), ("é" * length, "é" * length), ("%" * length, "")):
        name = identify(collection, key)
        assert len(name.encode()) <= 2 * 400 + 3
        digest = name.partition(":~")[2]
        if digest:
            assert len(digest) == 2 * hashlib.blake2b(digest_size=20).digest_size
            assert identify(collection, f"~{digest}") != name
            assert identify(collection, digest) != name
        head = name.partition(":")[0]
        assert identify(head, key) != name or head == collection


@pytest.mark.faults(50)
@pytest.mark.parametrize(("microsecond", "wanted"), [(0, 0), (1, 1000), (999, 1000), (1000, 1000), (998_001, 999_000)])
def test_an_end_is_rounded_up(microsecond, wanted):
    """MongoDB's dates have milliseconds: an end is never cut."""
    at = datetime(2025, 1, 1, 0, 0, 0, microsecond, UTC)

    assert ending(at)["expires_at"] == at.replace(microsecond=wanted)
    assert ending(None) == {}


@pytest.mark.faults(42)
def test_the_largest_entry_depends_on_the_key():
    """Collection and key stand in the document beside the entry, so they count."""
    check_size(LARGEST - 2048 - 2, "c", "k")
    for size, collection, key in ((LARGEST - 2048 - 1, "c", "k"), (1, "c", "k" * LARGEST), (1, "é" * LARGEST, "k")):
        with pytest.raises(EntryTooLargeError) as caught:
            check_size(size, collection, key)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "document", [{}, {"entry": b"", "revision": "1"}, {"entry": b"", "revision": b"1", "expires_at": 7}]
)
def test_other_documents_are_no_entries(document):
    """A document without what an entry has is an error that names the address."""
    with pytest.raises(CorruptEntryError, match="'k' in 'c'"):
        read(document, "c", "k")
