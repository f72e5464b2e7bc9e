# Written by tools/mirror.py from tests/aio/wrappers/test_fernet.py: change that file instead.
"""Values are kept encrypted, for their place and until their end."""

import base64
import json
import logging
import traceback
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet, MultiFernet
from redis import Redis as Raw

from kv_core.capabilities import ALL, capabilities
from kv_core.errors import ConfigurationError, DecryptionError, MissingKeyError, UnsupportedOperationError
from kv_core.settings import parse_stack
from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.stores.redis import RedisStore
from kv_core.sync.testing import StoreContract, ToldClock
from kv_core.sync.wrappers.compression import CompressionWrapper
from kv_core.sync.wrappers.default_value import DefaultValueWrapper
from kv_core.sync.wrappers.encryption.fernet import FernetEncryptionWrapper
from kv_core.sync.wrappers.fallback import FallbackWrapper
from kv_core.sync.wrappers.prefix_collections import PrefixCollectionsWrapper
from kv_core.sync.wrappers.prefix_keys import PrefixKeysWrapper
from kv_core.sync.wrappers.routing import CollectionRoutingWrapper
from kv_core.sync.wrappers.single_collection import SingleCollectionWrapper
from kv_core.sync.wrappers.ttl_clamp import TTLClampWrapper
from kv_core.ttl import KEEP

KEY, OLD = Fernet.generate_key(), Fernet.generate_key()
MARKERS = [
    {},
    {"__kv_encrypted__": 1, "data": b""},
    {"__encrypted_data__": "gAAA", "__encryption_version__": 1},
    {"__kv_compressed__": 1, "algorithm": "gzip", "data": b""},
    {"__kv_anything__": None},
]


class TestFernetEncryptionWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: FernetEncryptionWrapper(inner(), fernet=Fernet(KEY))


@pytest.fixture
def clock():
    """The clock by which the wrapper, and a disk, decide what has ended."""
    return ToldClock()


@pytest.fixture(params=["memory", "disk", "redis"])
def store(request, tmp_path, clock):
    """An empty store of each kind."""
    if request.param == "memory":
        store = MemoryStore(name=uuid4().hex)
    elif request.param == "disk":
        store = DiskStore(directory=tmp_path / "kv", _clock=clock)
    else:
        url = urlsplit(request.getfixturevalue("redis_server").url)._replace(path="/8").geturl()
        with Raw.from_url(url) as raw:
            raw.flushdb()
        store = RedisStore(url=url)
    yield store
    store.close()


def fernet(store, *keys, **options):
    return FernetEncryptionWrapper(store, fernet=MultiFernet([Fernet(key) for key in keys or (KEY,)]), **options)


def plant(store, source, target, collection=None, ttl=None):
    """Copy what is stored under a name to another, as somebody with access to the backend would."""
    store.put(target, store.get(source), collection=collection, ttl=ttl)


# Place ----------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(28, 37)
@pytest.mark.parametrize("value", MARKERS, ids=lambda value: next(iter(value), "empty"))
def test_a_users_marker_is_a_value(store, value):
    """A value that looks like one of ours comes back as it was, and is not in the store as it is."""
    stack = fernet(store, allow_plaintext_reads=True, allow_unbound_reads=True)
    stack.put("key", value)

    assert stack.get("key") == value
    assert store.get("key") != value


@pytest.mark.faults(63)
def test_a_copied_value_is_refused(store):
    """What was encrypted for one key or collection opens under no other, by any read."""
    stack = fernet(store)
    stack.put("admin", {"role": "admin"})
    stack.put("bob", {"role": "user"})
    plant(store, "admin", "bob")
    plant(store, "admin", "admin", collection="other")

    reads = [
        lambda: stack.get("bob"),
        lambda: stack.get("admin", collection="other"),
        lambda: stack.get_many(["admin", "bob"]),
        lambda: stack.ttl("bob"),
        lambda: stack.ttl_many(["bob"]),
        lambda: stack.get_with_revision("bob"),
        lambda: stack.touch("bob", ttl=5),
        lambda: stack.increment("bob", initial=0),
    ]
    for read in reads:
        with pytest.raises(DecryptionError, match="another address") as caught:
            read()
        assert "admin" not in str(caught.value).replace("'admin' in 'other'", "")
    assert stack.get("admin") == {"role": "admin"}


NAMES = {
    "PrefixKeys": PrefixKeysWrapper,
    "PrefixCollections": PrefixCollectionsWrapper,
    "SingleCollection": SingleCollectionWrapper,
    "both": lambda store, name: SingleCollectionWrapper(PrefixKeysWrapper(store, name), "all"),
}


@pytest.mark.faults(2, 63)
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("inside", [True, False], ids=["names inside", "names outside"])
def test_the_place_is_that_in_the_store(store, names, inside):
    """A tenant's token opens at no other tenant's place, wherever the prefixes are, and their order does not matter."""

    def tenant(name, *, inside):
        return fernet(names(store, name)) if inside else names(fernet(store), name)

    tenant("one", inside=inside).put("key", {"tenant": "one"})
    tenant("two", inside=inside).put("key", {"tenant": "two"})
    assert tenant("one", inside=not inside).get("key") == {"tenant": "one"}

    places = [(collection, key) for collection in store.collections() for key in store.keys(collection)]
    (one, two) = [store.get(key, collection=collection) for collection, key in places]
    store.put(places[0][1], two, collection=places[0][0])
    store.put(places[1][1], one, collection=places[1][0])
    for name in ("one", "two"):
        with pytest.raises(DecryptionError, match="'key' in 'default_collection'" if inside else "another"):
            tenant(name, inside=inside).get("key")


@pytest.mark.faults(64)
def test_plaintext_is_refused(store):
    """What somebody put unencrypted is refused, unless reading plaintext was asked for; then it can be moved over."""
    store.put("planted", {"role": "admin"})

    with pytest.raises(DecryptionError, match=r"'planted'.* is not encrypted"):
        fernet(store).get("planted")
    moving = fernet(store, allow_plaintext_reads=True)
    assert moving.get("planted") == {"role": "admin"}
    assert moving.rotate() == 1
    assert fernet(store).get("planted") == {"role": "admin"}


def test_py_key_values_tokens_are_read_when_asked_for(store):
    """What py-key-value encrypted opens behind an option, and is bound once it is rotated."""
    token = Fernet(KEY).encrypt(json.dumps({"n": 1}).encode())
    store.put("key", {"__encrypted_data__": base64.b64encode(token).decode(), "__encryption_version__": 1})

    with pytest.raises(DecryptionError):
        fernet(store).get("key")
    moving = fernet(store, allow_unbound_reads=True)
    assert moving.get("key") == {"n": 1}
    assert moving.rotate() == 1
    assert fernet(store).get("key") == {"n": 1}


# End ------------------------------------------------------------------------------------------------------------------


def dead(stack, key="key"):
    """Say whether an entry is absent for every read."""
    return (
        stack.get(key) is None
        and stack.get_many([key]) == [None]
        and stack.ttl(key) == (None, None)
        and stack.ttl_many([key]) == [(None, None)]
        and stack.get_with_revision(key) is None
        and stack.touch(key, ttl=60) is False
    )


@pytest.mark.faults(65)
def test_an_entry_that_is_kept_alive_is_absent(store, clock):
    """Whoever takes the ttl away in the backend gains nothing: the entry ends by what was sealed."""
    stack = fernet(store, _clock=clock)
    stack.put("key", {"n": 1}, ttl=60)
    plant(store, "key", "key")

    value, left = stack.ttl("key")
    assert (value, left) == ({"n": 1}, 60)
    clock.advance(59.999)
    assert stack.get("key") == {"n": 1}
    clock.advance(0.001)
    assert dead(stack)


@pytest.mark.faults(65)
def test_an_ended_entry_that_lies_there_can_be_put_again(store, clock):
    """put_if_absent and increment find nothing where the sealed expiry has passed, and end."""
    stack = fernet(store, _clock=clock)
    for key in ("absent", "counter", "missing", "other"):
        stack.put(key, {"value": 1}, ttl=60)
        plant(store, key, key)
    clock.advance(60)

    assert stack.put_if_absent("absent", {"n": 2}, ttl=30) is True
    assert stack.put_if_absent("absent", {"n": 3}) is False
    assert stack.increment("counter", 5, initial=10, ttl=30) == 15
    with pytest.raises(MissingKeyError):
        stack.increment("missing")
    found = stack.ttl_many(["absent", "counter"])
    assert [value for value, _ in found] == [{"n": 2}, {"value": 15}]
    assert all(29 < left <= 30 for _, left in found)
    nested = CompressionWrapper(stack, min_size_to_compress=0)
    assert nested.increment("other", initial=1) == 2


@pytest.mark.faults(65)
@pytest.mark.parametrize("compressed", [False, True])
def test_keeping_the_expiry_keeps_the_sealed_one(store, clock, compressed):
    """KEEP, and increment, seal anew with the expiry that was sealed, not with one that the backend tells."""
    sealed = fernet(store, _clock=clock)
    stack = CompressionWrapper(sealed, min_size_to_compress=0) if compressed else sealed
    stack.put("key", {"n": 1}, ttl=60)
    stack.put("counter", {"value": 1}, ttl=60)
    for key in ("key", "counter"):
        plant(store, key, key, ttl=1000)
    clock.advance(10)

    _, revision = stack.get_with_revision("key")
    assert stack.put_if_unchanged("key", {"n": 2}, revision, ttl=KEEP)
    assert stack.increment("counter") == 2
    for key in ("key", "counter"):
        plant(store, key, key)
    assert stack.ttl_many(["key", "counter"]) == [({"n": 2}, 50), ({"value": 2}, 50)]
    clock.advance(50)
    assert dead(stack)
    assert dead(stack, "counter")


def test_an_endless_entry_stays_endless(store, clock):
    """Without a ttl nothing is sealed that ends, and KEEP keeps it so."""
    stack = fernet(store, _clock=clock)
    stack.put("key", {"value": 1})
    _, revision = stack.get_with_revision("key")

    assert stack.put_if_unchanged("key", {"value": 2}, revision)
    assert stack.increment("key") == 3
    clock.advance(10**9)
    assert stack.ttl("key") == ({"value": 3}, None)


def test_touch_seals_the_new_expiry(store, clock):
    """Touching moves both ends, the store's and the sealed one, later, sooner or away."""
    stack = fernet(store, _clock=clock)
    stack.put_many(["later", "sooner", "endless"], [{"n": 1}, {"n": 2}, {"n": 3}], ttl=60)

    assert stack.touch("later", ttl=100)
    assert stack.touch("sooner", ttl=20)
    assert stack.touch("endless", ttl=None)
    assert stack.touch("none", ttl=20) is False

    lefts = [left for _, left in store.ttl_many(["later", "sooner"])]
    assert [99 < lefts[0] <= 100, 19 < lefts[1] <= 20] == [True, True]
    assert (store.ttl("endless"))[1] is None
    for key in ("later", "sooner"):
        plant(store, key, key)
    assert stack.ttl_many(["later", "sooner", "endless"]) == [({"n": 1}, 100), ({"n": 2}, 20), ({"n": 3}, None)]
    clock.advance(99)
    assert stack.get_many(["later", "sooner", "endless"]) == [{"n": 1}, None, {"n": 3}]


def test_ttl_is_the_shorter_one(store, clock):
    """Where the backend ends an entry sooner than was sealed, that is what is told."""
    stack = fernet(store, _clock=clock)
    stack.put("key", {"n": 1}, ttl=60)
    stack.put("endless", {"n": 2})
    for key in ("key", "endless"):
        plant(store, key, key, ttl=10)

    found = stack.ttl_many(["key", "endless"])
    assert [value for value, _ in found] == [{"n": 1}, {"n": 2}]
    assert all(9 < left <= 10 for _, left in found)


def test_counters_count(store, clock):
    """Counters work as without encryption, and nothing of them is readable in the store."""
    stack = fernet(store, _clock=clock)

    assert stack.increment("hits", initial=0, ttl=60) == 1
    assert stack.increment("hits", 41) == 42
    assert stack.get("hits") == {"value": 42}
    assert 59 < (store.ttl("hits"))[1] <= 60
    assert (store.get("hits")).keys() == {"__kv_encrypted__", "data"}


# Keys -----------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(66)
def test_keys_are_rotated(store):
    """During a rotation both keys read; after it the new one alone does, and nothing is lost, ttls neither."""
    numbers = [str(number) for number in range(20)]
    old = fernet(store, OLD)
    old.put_many(numbers, [{"n": number} for number in numbers])
    old.put_many(numbers, [{"n": number} for number in numbers], collection="limited", ttl=60)

    with pytest.raises(DecryptionError, match="these keys"):
        fernet(store, KEY).get("1")
    both, new = fernet(store, KEY, OLD), fernet(store, KEY)
    assert both.get("1") == {"n": "1"}
    assert both.rotate("limited") == 20
    assert both.rotate() == 20
    assert both.rotate() == 0
    for collection in ("default_collection", "limited"):
        assert new.get_many(numbers, collection=collection) == [{"n": number} for number in numbers]
    assert 59 < (new.ttl("1", collection="limited"))[1] <= 60
    with pytest.raises(DecryptionError):
        old.get("1")


@pytest.mark.faults(66)
def test_a_rotation_leaves_what_it_cannot_read_and_goes_on(store, caplog):
    """One bad entry does not keep the others from being rotated; it is told at the end, or logged where asked."""
    fernet(store, OLD).put_many(["a", "b", "c", "d"], [{"canary": 1}] * 4)
    plant(store, "a", "b")
    store.put("planted", {"canary": 1})

    with pytest.raises(DecryptionError, match=r"Left as they are: 2 such values; encrypted anew: 3\.") as caught:
        fernet(store, KEY, OLD).rotate()
    assert caught.value.key in ("b", "planted")
    assert caught.value.outcome == "unknown"
    assert fernet(store, KEY).get_many(["a", "c", "d"]) == [{"canary": 1}] * 3
    quiet = fernet(store, KEY, OLD, raise_on_decryption_error=False)
    assert quiet.rotate() == 0
    assert quiet.decryption_failures == 2
    assert "canary" not in caplog.text + str(caught.value)


@pytest.mark.faults(66)
def test_a_rotation_loses_no_write_made_meanwhile(store):
    """An entry that is changed between the rotation's reading and writing keeps the change."""

    class Busy(FernetEncryptionWrapper):
        def get_with_revision(self, key, *, collection=None):
            return super().get_with_revision(key, collection=collection)

    class Changing(PrefixKeysWrapper):
        def get_with_revision(self, key, *, collection=None):
            found = super().get_with_revision(key, collection=collection)
            old.put(key, {"n": 2}, collection=collection)
            return found

    old = fernet(PrefixKeysWrapper(store, "a"), OLD)
    old.put("key", {"n": 1})

    both = Busy(Changing(store, "a"), fernet=MultiFernet([Fernet(KEY), Fernet(OLD)]))
    assert both.rotate() == 0
    assert fernet(PrefixKeysWrapper(store, "a"), KEY, OLD).get("key") == {"n": 2}


def test_a_rotation_needs_a_store_that_lists(marking):
    """Without enumeration or revisions rotate says what is missing."""
    with pytest.raises(UnsupportedOperationError, match="With Marking a stack cannot"):
        fernet(marking(MemoryStore())).rotate()


@pytest.mark.faults(68)
def test_told_not_to_raise_it_counts_and_logs(store, caplog):
    """What cannot be decrypted counts as missing, is counted each time, and logged once a key, without its value."""
    fernet(store, OLD).put_many(["a", "b", "counter"], [{"canary": 1}] * 3)
    store.put("planted", {"canary": 1})
    stack = fernet(store, raise_on_decryption_error=False)

    with caplog.at_level(logging.WARNING, logger="kv_core"):
        assert stack.get("a") is None
        assert stack.get_many(["a", "b", "planted"]) == [None] * 3
        assert stack.ttl("a") == (None, None)
        assert stack.get_with_revision("a") is None

    assert stack.decryption_failures == 6
    assert sorted(record.args[0] for record in caplog.records) == ["a", "b", "planted"]
    assert "canary" not in caplog.text
    assert stack.put_if_absent("b", {"n": 1}) is True
    assert stack.increment("counter", initial=1) == 2
    assert stack.get_many(["b", "counter"]) == [{"n": 1}, {"value": 2}]


@pytest.mark.faults(68)
def test_by_default_it_raises(store):
    """A miss means that the store said absent; put_if_absent does not take what it cannot read for absent."""
    fernet(store, OLD).put("key", {"n": 1})
    stack = fernet(store)

    with pytest.raises(DecryptionError):
        stack.get("key")
    assert stack.put_if_absent("key", {"n": 2}) is False
    assert fernet(store, OLD).get("key") == {"n": 1}


@pytest.mark.faults(90)
def test_errors_show_no_value(store):
    """Neither what is stored nor a key is in an error, its repr or its traceback."""
    fernet(store, OLD).put("key", {"canary": "canary"})
    store.put("planted", {"canary": "canary"})

    for key in ("key", "planted"):
        with pytest.raises(DecryptionError) as caught:
            fernet(store).get(key)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert "canary" not in shown
        assert KEY.decode() not in shown + repr(fernet(store))


# Construction ---------------------------------------------------------------------------------------------------------


@pytest.mark.faults(70, 61)
@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (CompressionWrapper, "CompressionWrapper inside"),
        (lambda store: TTLClampWrapper(store, 1, 2), "TTLClampWrapper inside"),
        (lambda store: DefaultValueWrapper(store, {}), "DefaultValueWrapper inside"),
        (lambda store: PrefixKeysWrapper(CompressionWrapper(store), "a"), "CompressionWrapper inside"),
        (lambda store: FallbackWrapper(store, CompressionWrapper(store)), "CompressionWrapper inside"),
        (lambda store: CollectionRoutingWrapper({"a": TTLClampWrapper(store, 1, 2)}, store), "TTLClampWrapper inside"),
    ],
)
def test_a_useless_order_is_refused(store, inside, text):
    """What an encryption would undo, or be undone by, is refused inside it at construction, wherever it is."""
    with pytest.raises(ConfigurationError, match=text):
        fernet(inside(store))


def test_the_right_order_works(store):
    """Outside an encryption both do what they are for."""
    stack = TTLClampWrapper(CompressionWrapper(fernet(store)), 60, 100)
    value = {"text": "x" * 10_000}
    stack.put("key", value, ttl=1)

    assert stack.get("key") == value
    assert len((store.get("key"))["data"]) < 500
    assert 59 < (store.ttl("key"))[1] <= 60
    assert capabilities(stack) == capabilities(store)


def test_settings_name_keys_by_the_environment(monkeypatch):
    """Keys come from the environment, the current one first, and are shown nowhere."""
    monkeypatch.setenv("KV_KEY", KEY.decode())
    monkeypatch.setenv("KV_OLD_KEY", OLD.decode())
    described = {
        "LOCATION": "memory://",
        "WRAPPERS": ["compression", {"wrapper": "fernet", "keys": ["env:KV_KEY", "env:KV_OLD_KEY"]}],
    }

    spec = parse_stack(described)
    assert KEY.decode() not in repr(spec)
    assert capabilities(spec.build_sync()) == ALL
    assert type(spec.build_async().key_value).__name__ == "FernetEncryptionWrapper"
    monkeypatch.setenv("KV_OLD_KEY", "canary")
    with pytest.raises(ConfigurationError, match="Fernet keys") as caught:
        parse_stack(described)
    assert "canary" not in str(caught.value)


def test_without_revisions_touch_is_withdrawn(marking):
    """What cannot be made without revisions says so."""
    stack = fernet(marking(MemoryStore()))

    assert not {"touch", "increment", "put_if_unchanged"} & capabilities(stack)
    with pytest.raises(UnsupportedOperationError):
        stack.touch("key", ttl=5)
    with pytest.raises(UnsupportedOperationError):
        stack.increment("key", initial=0)


def test_the_clock_of_the_tests_agrees(clock):
    """The told clock shows a time that has passed: nothing above ends by the machine's own clock."""
    assert clock.now() + timedelta(days=1) < FernetEncryptionWrapper(MemoryStore(), fernet=Fernet(KEY))._clock.now()
