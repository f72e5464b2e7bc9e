"""No pickle is loaded that was not signed by us, for its place, with a secret that still counts."""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import caches
from django.test import override_settings

import kv_django
from kv_core.address import encode
from kv_core.errors import CorruptEntryError, DeserializationError
from kv_core.kinds import WRAPPERS, Kind
from kv_core.signing import Signer
from kv_django._values import PURPOSE, Values, is_cheap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Server

LOADED: list[str] = []


class Canary:
    """Something that sings when it is unpickled."""

    def __reduce__(self) -> Any:
        return sing, ()


def sing() -> None:
    """Leave a trace of having been called."""
    LOADED.append("sang")


@pytest.fixture
def cache(settings: Any, redis_server: Server, prefix: str) -> Iterator[Any]:
    """A cache on Redis, where others can write."""
    LOADED.clear()
    settings.KV_STORES = {"default": redis_server.url}
    params = {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "kv:default", "KEY_PREFIX": prefix}
    settings.CACHES = {
        "default": params,
        "json": {**params, "OPTIONS": {"SERIALIZER": "json"}},
        "memory": {**params, "LOCATION": "memory://"},
        "mixed": {
            **params,
            "LOCATION": "memory://",
            "OPTIONS": {"WRAPPERS": [{"wrapper": "retry", "max_retries": 1}]},
        },
    }
    yield caches["default"]
    caches["default"].clear()


def entry(cache: Any, key: str) -> dict[str, Any]:
    """Return what the store holds for a key of the cache."""
    return cache.store.get(cache.make_key(key), collection=cache.collection)


def put(cache: Any, key: str, value: dict[str, Any]) -> None:
    """Write past the cache, as an attacker with access to the server could."""
    cache.store.put(cache.make_key(key), value, collection=cache.collection)


def refused(cache: Any, key: str) -> None:
    """Assert that no way of reading loads the key, and that each says so."""
    reads = [
        lambda: cache.get(key),
        lambda: cache.get_many([key]),
        lambda: cache.get_or_set(key, 1),
        lambda: cache.incr_version(key),
        lambda: asyncio.run(cache.aget(key)),
        lambda: asyncio.run(cache.aget_many([key])),
        lambda: asyncio.run(cache.aincr_version(key)),
    ]
    for read in reads:
        with pytest.raises(CorruptEntryError):
            read()
    assert LOADED == []


def test_a_signed_canary_sings(cache: Any) -> None:
    """The control: what we signed is loaded."""
    cache.set("key", Canary())
    cache.get("key")

    assert LOADED == ["sang"]


def test_unsigned_pickles_are_never_loaded(cache: Any) -> None:
    """An envelope without a signature, with one that is made up, or under another name is refused."""
    data = pickle.dumps(Canary())
    other = Signer(["another secret"], purpose=PURPOSE).sign(
        data, place=encode(cache.collection, cache.make_key("key"))
    )
    elsewhere = Signer([b"a key for the tests of this folder"], purpose="else").sign(data, place="key")
    forged: list[dict[str, Any]] = [
        {"pickle": data},
        {"signed": data},
        {"signed": b"\0" * 32 + data},
        {"signed": other},
        {"signed": elsewhere},
        {"signed": ""},
        {"signed": None},
        {"value": 1, "signed": data},
        {"value": 1, "pickle": data},
        {},
    ]
    for value in forged:
        put(cache, "key", value)
        refused(cache, "key")


def test_a_changed_pickle_is_never_loaded(cache: Any) -> None:
    """Every byte counts, of the signature and of the pickle."""
    cache.set("key", Canary())
    signed = entry(cache, "key")["signed"]
    for place in range(0, len(signed), 7):
        put(cache, "key", {"signed": signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]})
        with pytest.raises(CorruptEntryError):
            cache.get("key")

    assert LOADED == []


def test_a_pickle_counts_in_its_place_only(cache: Any, prefix: str, settings: Any) -> None:
    """Moved to another key, version or collection, what we signed is refused."""
    cache.set("key", Canary())
    value = entry(cache, "key")
    put(cache, "other", value)
    refused(cache, "other")
    cache.store.put(cache.make_key("key", 2), value, collection=cache.collection)
    with pytest.raises(CorruptEntryError):
        cache.get("key", version=2)
    cache.store.put(cache.make_key("key"), value, collection=f"{prefix}2")
    params = settings.CACHES["default"] | {"OPTIONS": {"COLLECTION": f"{prefix}2"}}
    with override_settings(CACHES={"default": params}), pytest.raises(CorruptEntryError):
        caches["default"].get("key")
    with override_settings(CACHES={"default": params}):
        caches["default"].clear()

    assert LOADED == []


def test_json_caches_load_no_pickle_at_all(cache: Any) -> None:
    """Not even one that we signed."""
    cache.set("key", Canary())
    with pytest.raises(CorruptEntryError, match="SERIALIZER"):
        caches["json"].get("key")

    assert LOADED == []


def test_memory_alone_is_not_signed(cache: Any) -> None:
    """Nobody else can write this process's memory; whatever reads from elsewhere too is signed."""
    caches["memory"].set("key", (1,))
    cache.set("key", (1,))
    fallback = kv_django._stacks.Stack(
        kv_django._stacks.read_inline({"LOCATION": "memory://", "WRAPPERS": ["timeout"]}),
        kv_django._stacks.stacks.registry(),
    )

    assert entry(caches["memory"], "key").keys() == {"pickle"}
    assert entry(cache, "key").keys() == {"signed"}
    assert fallback.private
    assert not kv_django._stacks.stacks.named("default").private


def test_a_wrapper_of_others_may_read_from_elsewhere(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows where a wrapper that is not ours keeps things, so around memory, too, pickles are signed."""
    kind = WRAPPERS["timeout"]
    others = {**WRAPPERS, "mirror": Kind(kind.aio, kind.sync)}
    monkeypatch.setattr("kv_core.settings.wrappers", lambda: others)
    params = {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "memory://"}
    settings.CACHES = {
        "default": {**params, "OPTIONS": {"WRAPPERS": ["mirror"]}},
        "ours": {**params, "OPTIONS": {"WRAPPERS": ["timeout"]}},
    }
    for alias in ("default", "ours"):
        caches[alias].set("key", (1,))

    assert entry(caches["default"], "key").keys() == {"signed"}
    assert entry(caches["ours"], "key").keys() == {"pickle"}


@pytest.mark.parametrize("value", [1, "text", True, None, 1.5])
def test_plain_values_are_plain(cache: Any, value: Any) -> None:
    """What counters and other programs read needs no pickle."""
    cache.set("key", value)

    assert entry(cache, "key") == {"value": value}


def test_secrets_rotate(cache: Any) -> None:
    """SECRET_KEY_FALLBACKS verify; a secret that is in neither does not."""
    with override_settings(SECRET_KEY="old"):
        cache.set("key", (1,))
        assert cache.get("key") == (1,)
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert cache.get("key") == (1,)
        assert asyncio.run(cache.aget("key")) == (1,)
        cache.set("new", (2,))
    with override_settings(SECRET_KEY="new"):
        assert cache.get("new") == (2,)
        with pytest.raises(CorruptEntryError):
            cache.get("key")
    with pytest.raises(CorruptEntryError):
        cache.get("new")


def test_errors_show_no_value(cache: Any) -> None:
    """Neither what was stored nor the secret is in an error's text."""
    put(cache, "key", {"signed": b"hush" * 20})
    with pytest.raises(CorruptEntryError) as caught:
        cache.get("key")

    assert "hush" not in str(caught.value)
    assert (caught.value.key, caught.value.collection) == (cache.make_key("key"), cache.collection)
    assert "SECRET_KEY_FALLBACKS" in str(caught.value)


def test_a_pickle_of_code_that_is_gone_has_an_error_of_ours() -> None:
    """After a deployment that dropped a class, its cached objects are an error with a name, and can be deleted."""
    values = Values("cache", "signed-pickle", None)
    with pytest.raises(DeserializationError, match="cannot be loaded here"):
        values.load("key", {"pickle": b"cno_such_module\nThing\n."})


@pytest.mark.parametrize(
    ("value", "cheap"),
    [
        ({"a": [1, (2, {3}), b"x", None]}, True),
        ("x" * 100_001, False),
        (["x" * 60_000, "y" * 60_000], False),
        (list(range(1000)), False),
        ([object()], False),
        ({"a": Canary()}, False),
        ({Canary(): 1}, False),
    ],
    ids=range(7),
)
def test_what_is_cheap_to_pickle(value: Any, cheap: bool) -> None:
    """Small values of built-in types alone; one that holds itself ends too."""
    circular: list[Any] = []
    circular.append(circular)

    assert is_cheap(value) is cheap
    assert not is_cheap(circular)
