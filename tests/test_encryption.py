"""A sealed value opens at its own place with its own keys, and with nothing else."""

import base64
import json
import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec
import pytest
from cryptography.fernet import Fernet, MultiFernet
from hypothesis import given
from hypothesis import strategies as st

from kv_core.encryption import Sealed, Sealer, keys_from
from kv_core.errors import ConfigurationError, DecryptionError, EncryptionError, EncryptionVersionError
from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.stores.redis import RedisStore
from kv_core.sync.wrappers.encryption.fernet import FernetEncryptionWrapper

FULL = bool(os.environ.get("KV_TEST_FULL"))
FLIPS = 1_000_000 if FULL else 10_000
ENTRIES = 10_000 if FULL else 500
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
PLACE = "users", "bob"
SOON = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def sealer():
    """The new key, and the old one for reading."""
    return Sealer([Fernet(NEW), Fernet(OLD)])


def test_a_value_opens_at_its_place(sealer):
    """What was sealed for a place opens there, with its latest expiry."""
    for ends in (None, SOON):
        sealed = sealer.open(sealer.seal({"n": 1, "raw": b"\0"}, PLACE, ends), PLACE, *PLACE)
        assert (sealed.value, sealed.expires_at) == ({"n": 1, "raw": b"\0"}, ends)


@pytest.mark.faults(63)
@given(
    st.text("ab:%\0", min_size=1, max_size=4), st.text("ab:%\0", max_size=4), st.text("ab:%\0", min_size=2, max_size=8)
)
def test_a_value_opens_nowhere_else(collection, key, joined):
    """Collection and key are kept apart: no other split of the same letters is the same place."""
    sealer = Sealer([Fernet(NEW)])
    for other in ((key, collection), (collection + key, ""), (joined[:1], joined[1:]), (collection, key + "\0")):
        if other != (collection, key):
            with pytest.raises(DecryptionError, match="another address"):
                sealer.open(sealer.seal({}, (collection, key), None), other, *other)


@pytest.mark.faults(66)
def test_another_key_does_not_open(sealer):
    """The keys that are given decrypt, each; no other does."""
    stored = Sealer([Fernet(OLD)]).seal({"n": 1}, PLACE, None)

    assert sealer.open(stored, PLACE, *PLACE).value == {"n": 1}
    assert not sealer.is_current(stored)
    with pytest.raises(DecryptionError, match="these keys"):
        Sealer([Fernet(NEW)]).open(stored, PLACE, *PLACE)


@pytest.mark.faults(46)
def test_flipped_bits_are_found(sealer):
    """A token with bits flipped anywhere raises DecryptionError."""
    chance = random.Random(3)
    stored = sealer.seal({"name": "somebody"}, PLACE, SOON)

    for _ in range(FLIPS):
        token = bytearray(stored["data"])
        token[chance.randrange(len(token))] ^= 1 << chance.randrange(8)
        with pytest.raises(DecryptionError):
            sealer.open({**stored, "data": bytes(token)}, PLACE, *PLACE)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.binary(max_size=99),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.faults(46, 64)
@given(ANYTHING, ANYTHING)
def test_anything_stored_raises_nothing_else(mark, data):
    """Whatever lies where a token should raises errors of encryption alone."""
    sealer = Sealer([Fernet(NEW)])
    for stored in ({"__kv_encrypted__": mark, "data": data}, {"__kv_encrypted__": 1, "data": data}, {"n": data}):
        with pytest.raises(EncryptionError):
            sealer.open(stored, PLACE, *PLACE)
        assert not sealer.is_current(stored)
        with pytest.raises(DecryptionError):
            sealer.open_unbound({"__encrypted_data__": data}, *PLACE)


@pytest.mark.faults(46)
@given(st.binary(max_size=200).filter(lambda plain: not plain.strip().startswith(b"{")))
def test_what_is_authentic_but_no_value_is_refused(plain):
    """A token of the right key over something else raises DecryptionError, in either layout."""
    sealer = Sealer([Fernet(NEW)])
    token = Fernet(NEW).encrypt(plain)

    with pytest.raises(DecryptionError):
        sealer.open({"__kv_encrypted__": 1, "data": base64.urlsafe_b64decode(token)}, PLACE, *PLACE)
    with pytest.raises(DecryptionError):
        sealer.open_unbound({"__encrypted_data__": base64.b64encode(token).decode()}, *PLACE)


def test_a_later_version_says_so(sealer):
    """What a later version sealed, inside or outside the token, asks for an upgrade."""
    later = Fernet(NEW).encrypt(msgspec.msgpack.encode(Sealed(2, *PLACE, None, {})))

    with pytest.raises(EncryptionVersionError, match="upgrade"):
        sealer.open({"__kv_encrypted__": 1, "data": base64.urlsafe_b64decode(later)}, PLACE, *PLACE)
    with pytest.raises(EncryptionVersionError, match="upgrade"):
        sealer.open({"__kv_encrypted__": 2, "data": b""}, PLACE, *PLACE)


def test_a_bound_value_is_not_taken_for_an_unbound_one(sealer):
    """Our own token in py-key-value's layout is refused: else it could be moved."""
    token = base64.urlsafe_b64encode(sealer.seal({"n": 1}, PLACE, None)["data"])

    with pytest.raises(DecryptionError):
        sealer.open_unbound({"__encrypted_data__": base64.b64encode(token).decode()}, *PLACE)
    unbound = base64.b64encode(Fernet(OLD).encrypt(json.dumps({"n": 1}).encode())).decode()
    assert sealer.open_unbound({"__encrypted_data__": unbound}, *PLACE) == {"n": 1}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "one of"),
        ({"fernet": Fernet(NEW), "keys": [NEW]}, "one of"),
        ({"keys": [NEW], "source_material": "a", "salt": "b"}, "one of"),
        ({"fernet": NEW}, "as keys="),
        ({"keys": []}, "at least one"),
        ({"keys": NEW}, "in a list"),
        ({"keys": [NEW[:-3]]}, "generate_key"),
        ({"keys": ["\u00e4"]}, "generate_key"),
        ({"keys": [None]}, "generate_key"),
        ({"source_material": "words"}, "go together"),
        ({"salt": "salt"}, "go together"),
        ({"source_material": " ", "salt": "salt"}, "go together"),
        ({"source_material": b"words", "salt": "salt"}, "go together"),
        ({"source_material": "words", "salt": "\ud800"}, "go together"),
    ],
)
@pytest.mark.faults(120)
def test_keys_are_checked(given, text):
    """Keys that are missing, given twice, or no keys are refused, and not shown."""
    options = {"fernet": None, "keys": None, "source_material": None, "salt": None} | given
    with pytest.raises(ConfigurationError, match=text) as caught:
        keys_from(**options)
    assert NEW[:20] not in str(caught.value)


def test_keys_come_in_three_ways():
    """Objects, text, and words from which a key is derived; the first is the current one."""
    assert len(keys_from(MultiFernet([Fernet(NEW), Fernet(OLD)]), None, None, None)) == 2
    stored = Sealer(keys_from(None, [NEW, OLD], None, None)).seal({}, PLACE, None)
    assert Sealer(keys_from(Fernet(NEW), None, None, None)).is_current(stored)
    words = Sealer(keys_from(None, None, "words", "salt"))
    again = Sealer(keys_from(None, None, "words", "salt"))
    assert again.is_current(words.seal({}, PLACE, None))


# A rotation that is killed --------------------------------------------------------------------------------------------

ROTATE = {
    "sync": """
import json, os, signal, sys
from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.stores.redis import RedisStore
from kv_core.sync.wrappers.base import BaseWrapper
from kv_core.sync.wrappers.encryption.fernet import FernetEncryptionWrapper

class Killing(BaseWrapper):
    left = int(sys.argv[1])

    def __init__(self, key_value):
        self.key_value = key_value

    def put_if_unchanged(self, *arguments, **options):
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().put_if_unchanged(*arguments, **options)

kind, options = json.loads(sys.argv[2])
store = FernetEncryptionWrapper(Killing({"disk": DiskStore, "redis": RedisStore}[kind](**options)), keys=sys.argv[3:])
store.rotate()
store.close()
""",
}
ROTATE["async"] = (
    ROTATE["sync"]
    .replace("kv_core.sync", "kv_core.aio")
    .replace("    def put_if", "    async def put_if")
    .replace("return super()", "return await super()")
    .replace("store.rotate()\nstore.close()", "import asyncio\nasyncio.run(store.rotate())")
)


@pytest.mark.faults(66)
@pytest.mark.parametrize("side", ["sync", "async"])
@pytest.mark.parametrize("backend", ["disk", "redis"])
def test_a_rotation_that_is_killed_can_be_resumed(backend, side, tmp_path, request):
    """Killed half-way, every entry is still readable; once resumed, with the new key alone, ttls and all."""
    kinds = {"disk": DiskStore, "redis": RedisStore}
    if backend == "disk":
        options = {"directory": str(tmp_path / "kv")}
    else:
        server = request.getfixturevalue("redis_server")
        options = {"url": urlsplit(server.url)._replace(path="/7").geturl()}
    keys = [f"key {number}" for number in range(ENTRIES)]
    values = [{"number": number} for number in range(ENTRIES)]
    with kinds[backend](**options) as store:
        store.destroy()
        old = FernetEncryptionWrapper(store, keys=[OLD])
        for collection in ("one", "two"):
            half = slice(None, None, 2) if collection == "one" else slice(1, None, 2)
            old.put_many(keys[half], values[half], collection=collection, ttl=3600 if collection == "two" else None)

        def rotate(times):
            command = [sys.executable, "-c", ROTATE[side], str(times), json.dumps([backend, options]), NEW, OLD]
            return subprocess.run(command, capture_output=True, timeout=100, check=False)

        def readable(*with_keys):
            stack = FernetEncryptionWrapper(store, keys=with_keys, raise_on_decryption_error=False)
            found = zip(stack.get_many(keys, collection="one"), stack.get_many(keys, collection="two"), strict=True)
            return [number for number, pair in enumerate(found) if {"number": number} in pair]

        killed = rotate(ENTRIES // 2)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert len(readable(NEW)) == ENTRIES // 2 - 1
        assert len(readable(OLD)) == ENTRIES - ENTRIES // 2 + 1
        assert readable(NEW, OLD) == list(range(ENTRIES))

        resumed = rotate(ENTRIES)
        assert resumed.returncode == 0, resumed.stderr
        assert readable(NEW) == list(range(ENTRIES))
        assert readable(OLD) == []
        new = FernetEncryptionWrapper(store, keys=[NEW])
        assert new.rotate() == 0
        assert new.ttl("key 0", collection="one") == ({"number": 0}, None)
        assert 3000 < new.ttl("key 1", collection="two")[1] <= 3600
        store.destroy()
