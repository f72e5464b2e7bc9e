"""The session engine, on both sides, over memory and Redis; Django's own tests are in test_suites.py."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.test import RequestFactory, override_settings

import kv_django
from kv_core.errors import StoreConnectionError
from kv_django.sessions import SessionEndedError, SessionStore

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20


@pytest.fixture(autouse=True)
def collection(settings: Any, location: str) -> Any:
    """A collection for the sessions of one test."""
    name = f"sessions-{uuid4().hex}"
    settings.KV_STORES = {"sessions": {"LOCATION": location, "COLLECTION": name}}
    yield name
    settings.KV_STORES = {"sessions": location}
    kv_django.stores["sessions"].destroy_collection(name)
    kv_django.close_stores()


@pytest.fixture
def new(side: str) -> Any:
    """Make session objects, called on the side that the test is about."""
    from types import SimpleNamespace

    def make(key: str | None = None) -> Any:
        session = SessionStore(key)

        def on_side(name: str) -> Any:
            method = getattr(session, side + name)

            async def call(*args: Any, **kwargs: Any) -> Any:
                result = method(*args, **kwargs)
                return await result if side else result

            return call

        names = ("create", "save", "delete", "load", "exists", "cycle_key", "flush", "get")
        return SimpleNamespace(session=session, **{name: on_side(name) for name in names})

    return make


def records(collection: str) -> list[str]:
    """Return the ids of the sessions that are kept."""
    return kv_django.stores["sessions"].keys(collection)


async def test_a_session_lives(new: Any, collection: str) -> None:
    """What is saved is loaded by whoever has the key, and ends when it is told."""
    first = new()
    first.session["user"] = 7
    await first.save()
    again = new(first.session.session_key)

    assert await again.get("user") == 7
    assert records(collection) == [first.session.session_key]
    assert len(first.session.session_key) == 32
    await again.flush()
    assert records(collection) == []


async def test_what_is_kept_is_djangos_signed_text(new: Any, collection: str) -> None:
    """The payload is what `encode` signed; changed, it is an empty session."""
    first = new()
    first.session["user"] = 7
    await first.save()
    key = first.session.session_key
    store = kv_django.stores["sessions"]
    payload = store.get(key, collection=collection)

    assert payload.keys() == {"session"}
    assert first.session.decode(payload["session"]) == {"user": 7}
    store.put(key, {"session": payload["session"][:-1]}, collection=collection)
    assert await new(key).load() == {}


@pytest.mark.faults(151, 159)
async def test_unknown_keys_are_never_adopted(new: Any, collection: str) -> None:
    """A key that a client made up gets a fresh one, and reading creates nothing."""
    for _ in range(10_000 // SHARE // 10):
        made_up = "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=32))
        session = new(made_up)
        assert await session.load() == {}
        assert session.session.session_key is None
    assert records(collection) == []
    session = new(made_up)
    session.session["user"] = 1
    assert await session.get("user") == 1
    await session.save()

    assert session.session.session_key != made_up
    assert records(collection) == [session.session.session_key]


@pytest.mark.parametrize("key", ["", "short", "x" * 500, "../../etc/passwd-and-more-than-32-characters", "ключ" * 10])
async def test_keys_that_are_not_ours_are_not_looked_up(new: Any, collection: str, key: str) -> None:
    """What cannot be a key of ours costs no look-up and is no session."""
    session = new(key)

    assert await session.load() == {}
    assert await session.exists(key) is False
    await session.delete(key)
    assert records(collection) == []


@pytest.mark.faults(152)
async def test_cycling_moves_a_session(new: Any, collection: str) -> None:
    """The new key has the data, the old one is gone; a session that ended meanwhile does not come back."""
    session = new()
    session.session["user"] = 7
    await session.save()
    old = session.session.session_key
    await session.cycle_key()
    await session.save()

    assert records(collection) == [session.session.session_key] != [old]
    assert await new(session.session.session_key).get("user") == 7
    late = new(session.session.session_key)
    assert await late.get("user") == 7
    await session.flush()
    with pytest.raises(SessionEndedError) as caught:
        await late.cycle_key()
    assert isinstance(caught.value, UpdateError | SessionInterrupted)
    assert records(collection) == []


@pytest.mark.faults(153, 154)
async def test_an_ended_session_is_not_saved(new: Any, collection: str) -> None:
    """A save after a delete is refused, whatever was loaded before."""
    session = new()
    await session.create()
    late = new(session.session.session_key)
    assert await late.get("user") is None
    await session.delete()
    late.session["user"] = 1
    with pytest.raises(UpdateError):
        await late.save()

    assert records(collection) == []


@pytest.mark.faults(153, 154)
def test_no_logout_is_undone_by_threads(collection: str) -> None:
    """Of thousands of logouts that race with saves none is lost."""
    rounds = 10_000 // SHARE
    refused = 0

    def race() -> None:
        nonlocal refused
        for _ in range(rounds // 4):
            session = SessionStore()
            session.create()
            late = SessionStore(session.session_key)
            late["seen"] = True
            barrier = threading.Barrier(2)

            def save(late: SessionStore = late, barrier: threading.Barrier = barrier) -> None:
                nonlocal refused
                barrier.wait()
                try:
                    late.save()
                except UpdateError:
                    refused += 1

            thread = threading.Thread(target=save)
            thread.start()
            barrier.wait()
            session.delete()
            thread.join()
            assert not session.exists(session.session_key)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert records(collection) == []
    assert refused > 0


@pytest.mark.faults(153, 154)
async def test_no_logout_is_undone_by_tasks(collection: str) -> None:
    """The same on the other side."""

    async def race() -> None:
        session = SessionStore()
        await session.acreate()
        late = SessionStore(session.session_key)
        await late.aset("seen", True)
        await asyncio.gather(late.asave(), session.adelete(), return_exceptions=True)

    for _ in range(10_000 // SHARE // 50):
        await asyncio.gather(*[race() for _ in range(50)])

    assert records(collection) == []


@pytest.mark.faults(160)
@pytest.mark.parametrize("value", [{"session": 1}, {"session": None}, {"user": 1}, {"pickle": b"x"}, {}], ids=repr)
async def test_what_is_no_session_is_none(new: Any, collection: str, value: dict[str, Any]) -> None:
    """A record of another kind is no session, and whoever sent its key begins a new one."""
    key = "k" * 32
    kv_django.stores["sessions"].put(key, value, collection=collection)
    session = new(key)

    assert await session.load() == {}
    assert session.session.session_key is None


@pytest.mark.faults(160)
async def test_garbage_is_no_session(
    settings: Any, redis_server: Any, new: Any, collection: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are no entry are told in Django's security log, and are no permanent error."""
    import redis

    settings.KV_STORES = {"sessions": {"LOCATION": redis_server.url, "COLLECTION": collection}}
    key = "k" * 32
    with redis.Redis.from_url(redis_server.url) as client:
        client.set(f"{collection}::{key}", b"garbage")
    session = new(key)

    assert await session.load() == {}
    assert session.session.session_key is None
    assert "Session data corrupted" in caplog.text
    assert "garbage" not in caplog.text


@pytest.mark.faults(155, 156)
async def test_an_outage_is_not_a_logout(settings: Any, own_redis: Any, new: Any) -> None:
    """While the store is down every operation is an error; the key stays, and so does the session."""
    settings.KV_STORES = patient = {"sessions": own_redis.url}
    first = new()
    first.session["user"] = 7
    await first.save()
    key = first.session.session_key
    settings.KV_STORES = {"sessions": {"LOCATION": own_redis.url, "STORE": {"timeout": 0.3}}}
    own_redis.freeze()
    late = new(key)
    for call in (late.load, late.save, new().create, lambda: late.exists(key), late.delete):
        with pytest.raises((StoreConnectionError, TimeoutError)):
            await call()
    assert late.session.session_key == key
    own_redis.thaw()
    settings.KV_STORES = patient

    assert await new(key).get("user") == 7


@pytest.mark.faults(155)
def test_the_cookie_stays_during_an_outage(settings: Any, own_redis: Any) -> None:
    """The middleware passes the error on, and no response takes the cookie away."""
    settings.KV_STORES = {"sessions": own_redis.url}
    session = SessionStore()
    session["user"] = 7
    session.save()
    own_redis.kill()

    def view(request: Any) -> HttpResponse:
        try:
            request.session["user"]
        except StoreConnectionError:
            return HttpResponse(status=503)
        raise AssertionError

    request = RequestFactory().get("/")
    request.COOKIES[settings.SESSION_COOKIE_NAME] = session.session_key
    response = SessionMiddleware(view)(request)

    assert response.status_code == 503
    assert settings.SESSION_COOKIE_NAME not in response.cookies


async def test_sessions_end_in_time(new: Any, collection: str) -> None:
    """The record's ttl is the session's age; one whose time has passed is not kept."""
    session = new()
    session.session.set_expiry(50)
    await session.save()
    store = kv_django.stores["sessions"]
    _, left = store.ttl(session.session.session_key, collection=collection)

    assert 40 < left <= 50
    session.session.set_expiry(-1)
    await session.save()
    assert records(collection) == []


async def test_clearing_expired_sessions_gives_back_room(side: str) -> None:
    """`clearsessions` works on every store."""
    result = getattr(SessionStore, f"{side}clear_expired")()
    if side:
        result = await result

    assert result is None


def test_the_setting_names_the_stack(settings: Any) -> None:
    """KV_SESSION_STORE counts, then "sessions", then a collection of its own in "default"."""
    settings.KV_STORES = {"default": {"LOCATION": "memory://", "COLLECTION": "app"}, "mine": "memory://"}
    with override_settings(KV_SESSION_STORE="mine"):
        SessionStore().create()
        assert kv_django.stores["mine"].collections() == ["sessions"]
    SessionStore().create()

    assert kv_django.stores["default"].collections() == ["sessions"]


def test_made_keys_are_unique() -> None:
    """Django's alphabet and length, and no two alike."""
    session = SessionStore()
    keys = {session._get_new_session_key() for _ in range(1_000_000 // SHARE // 10)}

    assert len(keys) == 1_000_000 // SHARE // 10
    assert {len(key) for key in keys} == {32}
