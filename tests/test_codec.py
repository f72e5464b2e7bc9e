"""Values are kept exactly or refused, and bytes that are no entry are never taken for one."""

import json
import sys
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kv_core import codec
from kv_core.entry import VERSION, Entry, Revision
from kv_core.errors import CorruptEntryError, DeserializationError, SerializationError, UnsupportedEntryVersionError

NOW = datetime(2025, 1, 2, 3, 4, 5, 678901, UTC)
TEXT = st.text(st.characters(codec="utf-8"))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary()
)
VALUES = st.dictionaries(
    TEXT,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
    ),
    max_size=5,
)


def entry(value, collection="c", key="k", **changes):
    return Entry(
        **{"collection": collection, "created_at": NOW, "key": key, "value": value, "version": VERSION} | changes
    )


@given(value=VALUES, collection=TEXT, key=TEXT)
def test_what_is_decoded_is_what_was_encoded(value, collection, key):
    """Any value comes back alike to the last bit, alone and in its entry, in either layout."""
    data = codec.encode(entry(value, collection, key, expires_at=NOW))
    back = codec.decode(data, collection, key)

    assert repr(back.value) == repr(value)
    assert (back.collection, back.key, back.created_at, back.expires_at) == (collection, key, NOW, NOW)
    assert repr(codec.decode_value(codec.encode_value(value))) == repr(value)


@given(value=VALUES)
def test_the_layout_tells_itself(value):
    """JSON begins with a brace, MessagePack does not; MessagePack is used exactly if there are bytes."""
    data = codec.encode(entry(value))

    assert (data[:1] != b"{") is codec.check_value(value) is (b"b'" in ascii_types(value))


def ascii_types(value):
    """Return b"b'" if there are bytes anywhere in a value."""
    match value:
        case dict():
            return b"".join(map(ascii_types, value.values()))
        case list():
            return b"".join(map(ascii_types, value))
        case bytes():
            return b"b'"
        case _:
            return b""


def test_the_layout_of_the_field():
    """An entry is JSON with these fields in this order, without an end if it has none."""
    assert codec.encode(entry({"n": 1})) == (
        b'{"collection":"c","created_at":"2025-01-02T03:04:05.678901Z","key":"k","value":{"n":1},"version":1}'
    )
    assert codec.encode(entry({}, expires_at=NOW)) == (
        b'{"collection":"c","created_at":"2025-01-02T03:04:05.678901Z","expires_at":"2025-01-02T03:04:05.678901Z",'
        b'"key":"k","value":{},"version":1}'
    )


@pytest.mark.faults(149)
def test_entries_of_the_field_are_read():
    """What py-key-value wrote is read: spaces, another order, null for no end, offsets, fields that we do not know."""
    text = json.dumps(
        {
            "version": 1,
            "value": {"é": [1, 2.5, None]},
            "key": "k",
            "expires_at": None,
            "created_at": "2025-01-02T04:04:05.678901+01:00",
            "collection": "c",
            "more": [],
        }
    )
    found = codec.decode(text.encode(), "c", "k")

    assert found.value == {"é": [1, 2.5, None]}
    assert found.expires_at is None
    assert found.created_at == NOW


class Sub(dict):
    """A dict, but not quite."""


def nested(depth, make):
    value = {}
    for _ in range(depth - 1):
        value = make(value)
    return value


@pytest.mark.faults(29, 30, 32, 33, 34, 35)
@pytest.mark.parametrize(
    "value",
    [
        {"x": float("nan")},
        {"x": [float("-inf")]},
        {"x": {1: 1}},
        {"x": {1, 2}},
        {"x": 2**64},
        {"x": -(2**63) - 1},
        {"x": 10**5000},
        {"x": "\ud800"},
        {"\udfff": 1},
        {"x": bytearray(b"")},
        {"x": NOW},
        {"x": Sub()},
        Sub(),
        [],
        None,
        "text",
        nested(codec.MAX_DEPTH + 1, lambda inner: {"d": inner}),
        nested(100_000, lambda inner: {"d": inner}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_change_is_refused(value):
    """A value that would not come back exactly is refused, alone and in an entry, without showing it."""
    with pytest.raises(SerializationError):
        codec.encode_value(value)
    with pytest.raises(SerializationError) as caught:
        codec.encode(entry(value))
    assert caught.value.key == "k"
    assert caught.value.collection == "c"


def test_depth_and_width_have_bounds():
    """Values as deep and as wide as is allowed pass; one more level or container does not."""
    deepest = nested(codec.MAX_DEPTH, lambda inner: {"d": inner})
    assert codec.decode_value(codec.encode_value(deepest)) == deepest
    assert codec.decode(codec.encode(entry(deepest)), "c", "k").value == deepest
    assert codec.check_value({"w": [[]] * (codec.MAX_CONTAINERS - 1)}) is False
    with pytest.raises(SerializationError, match="containers"):
        codec.check_value({"w": [[]] * codec.MAX_CONTAINERS})


def test_deep_values_do_not_depend_on_the_callers_stack():
    """The greatest depth passes also for a caller that has used up most of its own stack."""
    deepest = nested(codec.MAX_DEPTH, lambda inner: {"d": inner})

    def down(levels):
        return down(levels - 1) if levels else codec.decode_value(codec.encode_value(deepest))

    depth = sys.getrecursionlimit() - len(__import__("inspect").stack()) - 300
    assert down(depth) == deepest


@pytest.mark.faults(41)
def test_a_tuple_becomes_a_list():
    """A tuple is taken anywhere in a value, and comes back as a list."""
    assert codec.decode_value(codec.encode_value({"t": (1, (b"", ()))})) == {"t": [1, [b"", []]]}


@pytest.mark.faults(46)
@given(data=st.binary(max_size=200))
def test_random_bytes_are_corrupt(data):
    """Any bytes are an entry of the address or a named error, and nothing else is raised."""
    with pytest.raises(DeserializationError):
        codec.decode(data, "c", "k")


@pytest.mark.faults(46)
@given(value=VALUES, data=st.data())
def test_changed_bytes_are_corrupt_or_an_entry(value, data):
    """An entry with changed bytes is a named error, or an entry of this address whose value could have been put."""
    whole = bytearray(codec.encode(entry(value)))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = codec.decode(bytes(whole[: data.draw(st.integers(1, len(whole)))]), "c", "k")
    except (CorruptEntryError, UnsupportedEntryVersionError) as error:
        assert (error.key, error.collection) == ("k", "c")  # noqa: PT017 - either outcome is right
    else:
        assert (found.collection, found.key) == ("c", "k")
        assert type(found.value) is dict


@pytest.mark.faults(27)
def test_an_entry_of_another_address_is_refused():
    """An entry is read only under the address that it carries."""
    data = codec.encode(entry({"n": 1}))
    for collection, key in (("c", "other"), ("other", "k"), ("k", "c"), ("", "")):
        with pytest.raises(CorruptEntryError, match="another address"):
            codec.decode(data, collection, key)


@pytest.mark.faults(149)
@pytest.mark.parametrize("version", [2, 3, 2**40])
def test_later_versions_are_named(version):
    """An entry of a later version says so, also if the rest of its layout is not known; earlier ones are read."""
    for data in (
        codec.encode(entry({}, version=version)),
        codec.encode(entry({"b": b""}, version=version)),
        json.dumps({"version": version, "new": "layout"}).encode(),
        msgspec.msgpack.encode({"version": version}),
    ):
        with pytest.raises(UnsupportedEntryVersionError, match=str(version)):
            codec.decode(data, "c", "k")
    assert codec.decode(codec.encode(entry({"n": 1}, version=1)), "c", "k").value == {"n": 1}


def test_no_error_shows_what_was_stored():
    """The error for stored bytes quotes nothing of them, nor does the error that it came from."""
    for data in (
        b'{"collection":"c","key":"k","value":"canary","version":1}',
        b'{"canary":',
        b"canary",
        b'{"value":{"canary":1}',
    ):
        with pytest.raises(CorruptEntryError) as caught:
            codec.decode(data, "c", "k")
        assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_dates_have_a_zone():
    """Moments come back in UTC whatever zone they were written in; without one they are corrupt."""
    offset = NOW.astimezone(timezone(timedelta(hours=5)))
    assert codec.decode(codec.encode(entry({}, created_at=offset, expires_at=offset)), "c", "k").expires_at == NOW
    with pytest.raises(CorruptEntryError):
        codec.decode(
            b'{"collection":"c","key":"k","value":{},"version":1,"expires_at":"2025-01-01T00:00:00"}', "c", "k"
        )


def test_fingerprints_are_as_redis_makes_them():
    """The fingerprint of bytes is their SHA-1 in hexadecimal, as a script on the server computes it."""
    assert codec.fingerprint(b"abc") == "a9993e364706816aba3e25717850c26c9cd0d89d"


def test_a_revision_shows_nothing():
    """A revision is opaque."""
    assert repr(Revision("a9993e", NOW)) == "Revision(…)"
