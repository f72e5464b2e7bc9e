"""An address is one place: no two of them share a name, and a name tells its address."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kv_core import address
from kv_core.errors import InvalidCollectionError, InvalidKeyError

ALPHABET = st.sampled_from(":%ab3A25/_é\0")
JOINED = st.text(ALPHABET, min_size=2, max_size=12)
COLLECTION = st.text(ALPHABET, min_size=1, max_size=8) | st.text(st.characters(codec="utf-8"), min_size=1)
KEY = st.text(ALPHABET, max_size=8) | st.text(st.characters(codec="utf-8"))


def naive(collection, key):
    """What does not work: joining without escaping."""
    return f"{collection}::{key}"


def all_splits(joined):
    """Return every address that reads as *joined* once it is joined by `::`, `:` or nothing."""
    return sorted(
        {
            (joined[:end], joined[end + len(separator) :])
            for separator in ("::", ":", "")
            for end in range(1, len(joined) + 1)
            if joined[end:].startswith(separator)
        }
    )


def collisions(encode, places):
    """Return the names that *encode* gives to more than one of these addresses."""
    names = {}
    for place in places:
        names.setdefault(encode(*place), set()).add(place)
    return {name: sharing for name, sharing in names.items() if len(sharing) > 1}


@pytest.mark.faults(1)
@given(joined=JOINED)
def test_addresses_have_names_of_their_own(joined):
    """Addresses that read alike once joined have different names."""
    assert collisions(address.encode, all_splits(joined)) == {}


@pytest.mark.faults(1)
def test_the_property_finds_what_does_not_work():
    """The same property fails for the naive encoding, so it can fail."""
    found = []

    @given(joined=JOINED)
    def search(joined):
        if collisions(naive, all_splits(joined)):
            found.append(joined)

    search()

    assert found
    assert collisions(naive, all_splits("a::b::c"))["a::b::c"] == {("a", "b::c"), ("a::b", "c")}


@pytest.mark.faults(1)
@given(collection=COLLECTION, key=KEY)
def test_a_name_tells_its_address(collection, key):
    """Decoding an encoded address gives it back, and the name is itself an encoded one."""
    name = address.encode(collection, key)

    assert address.decode(name) == (collection, key)


@given(name=st.text(ALPHABET, max_size=12) | st.text(st.characters(codec="utf-8")))
def test_a_name_that_is_decoded_is_encoded_so(name):
    """Whatever decodes is exactly what encoding its address gives; other names are nobody's."""
    place = address.decode(name)

    assert place is None or address.encode(*place) == name


@pytest.mark.parametrize(
    ("collection", "key", "name"),
    [
        ("users", "42", "users::42"),
        ("users", "", "users::"),
        ("users", "a::b", "users::a::b"),
        ("users", ":x", "users:::x"),
        ("a::b", "c", "a%3A%3Ab::c"),
        ("100%", "k", "100%25::k"),
        ("a%3Ab", "k", "a%253Ab::k"),
        ("é ☃", "ü%:", "é ☃::ü%:"),
    ],
)
def test_names_are_as_the_field_has_them(collection, key, name):
    """Ordinary addresses are joined by `::`; only colons and percent signs of the collection are escaped."""
    assert address.encode(collection, key) == name
    assert address.decode(name) == (collection, key)


@pytest.mark.parametrize(
    "name", ["", "plain", "::key", "a:b::c", "a%::c", "a%3::c", "a%3a::c", "a%41::c", "%FF::c", "%zz::c"]
)
def test_other_names_are_nobodys(name):
    """A name that no address has is not decoded."""
    assert address.decode(name) is None


@given(text=st.text(st.characters(codec="utf-8")), separator=st.sampled_from([":", "__", "/", "::", "é", "-%"]))
def test_what_is_escaped_can_be_read_back(text, separator):
    """Escaped text holds no character of the separator, and unescaping gives the text back."""
    escaped = address.escape(text, separator)

    assert not set(escaped) & (set(separator) - set("%"))
    assert address.unescape(escaped) == text


@pytest.mark.faults(9, 12)
@given(name=st.text(st.characters(codec="utf-8"), max_size=300), limit=st.integers(48, 250))
def test_short_names_stay_and_long_ones_fit(name, limit):
    """A name that fits stays; one that does not is cut to fit, in bytes, and still tells how it begins."""
    short = address.shorten(name, limit)

    assert len(short.encode()) <= limit
    if len(name.encode()) <= limit:
        assert short == name
    else:
        digest = short.rpartition("~")[2]
        assert len(digest) * 4 == 160
        assert int(digest, 16) >= 0


@pytest.mark.faults(12)
def test_long_names_do_not_collide():
    """Long names that differ in their last character, or in one that is cut away, stay apart."""
    names = [f"{'é' * 300}{number}" for number in range(5000)] + [f"{number:04}{'x' * 300}" for number in range(5000)]

    assert len({address.shorten(name, 100) for name in names}) == len(names)


@pytest.mark.faults(18)
@pytest.mark.parametrize("key", [1, b"x", None, {"$ne": None}, ["a"], type("Text", (str,), {})("x"), True, 1.5])
def test_keys_are_text(key):
    """Only a str itself is a key, and not one of a subclass."""
    with pytest.raises(InvalidKeyError, match="str") as caught:
        address.check_key(key)
    assert isinstance(caught.value, TypeError)
    with pytest.raises(InvalidCollectionError):
        address.check_collection(key)


@pytest.mark.faults(5, 8)
@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\ud83d\ude00"])
def test_lone_surrogates_are_refused(text):
    """Text that UTF-8 cannot encode is neither a key nor a collection, and the error can be printed."""
    with pytest.raises(InvalidKeyError) as key:
        address.check_key(text)
    with pytest.raises(InvalidCollectionError) as collection:
        address.check_collection(text)

    for error in (key.value, collection.value):
        assert f"{error} {error!r} {error.key} {error.collection}".encode()


@given(text=st.text(st.characters(codec="utf-8")))
def test_all_other_text_is_a_key(text):
    """Any text that UTF-8 can encode is a key, and unless it is empty a collection."""
    address.check_key(text)
    address.check_keys([text, text])
    assume(text)
    address.check_collection(text)


@pytest.mark.faults(5)
def test_an_empty_collection_is_refused():
    """The empty collection is not the default one."""
    with pytest.raises(InvalidCollectionError, match="default"):
        address.check_collection("")


@pytest.mark.faults(20)
@pytest.mark.parametrize("keys", ["abc", b"abc", None, 3, {"a"}, iter("a"), {"a": 1}.keys()])
def test_keys_come_in_a_sequence(keys):
    """A bare str above all, but also sets and iterators, are not sequences of keys."""
    with pytest.raises(InvalidKeyError, match="sequence"):
        address.check_keys(keys)
