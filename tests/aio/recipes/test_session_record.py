"""A session that ended never comes back, and an id that we did not make is never used."""

import os

import pytest

from kv_core.aio._runtime import gather
from kv_core.aio.recipes.session_record import SessionRecords
from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.stores.redis import RedisStore
from kv_core.aio.wrappers.retry import RetryWrapper
from kv_core.errors import StoreConnectionError, UnsupportedOperationError
from kv_core.session_id import SESSION_ID, is_session_id, new_session_id

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20


@pytest.fixture(params=["memory", "redis"])
async def store(request):
    if request.param == "memory":
        store = MemoryStore(default_collection="sessions")
    else:
        url = request.getfixturevalue("redis_server").url
        store = RedisStore(url=url, default_collection=f"sessions-{new_session_id()}")
    async with store:
        yield store
        await store.destroy_collection(store.default_collection)


async def test_create_load_save_delete(store):
    """The life of a session."""
    sessions = SessionRecords(store)
    key = await sessions.create({"user": 1}, ttl=60)

    assert is_session_id(key)
    assert await sessions.load(key) == {"user": 1}
    assert await sessions.save(key, {"user": 1, "cart": [2]}, ttl=60)
    assert await sessions.load(key) == {"user": 1, "cart": [2]}
    assert await sessions.touch(key, ttl=600)
    assert (await store.ttl(key))[1] > 500
    assert await sessions.delete(key)
    assert not await sessions.delete(key)
    assert await sessions.load(key) is None


@pytest.mark.faults(151, 159)
async def test_a_foreign_id_is_never_adopted(store):
    """An id that nobody made is neither saved nor created by looking it up."""
    sessions = SessionRecords(store)
    for foreign in (new_session_id(), "x", "", "a" * 500, "../../etc", "\ud800", None, 7):
        assert await sessions.load(foreign) is None
        assert not await sessions.save(foreign, {}, ttl=60)
        assert not await sessions.touch(foreign, ttl=60)
        assert not await sessions.delete(foreign)
        assert await sessions.regenerate(foreign, {}, ttl=60) is None
    assert await store.keys() == []


@pytest.mark.faults(153, 154)
async def test_a_session_that_ended_stays_so(store):
    """Of a save and a delete at once, the session is gone in the end: 0 come back."""
    sessions = SessionRecords(store)
    for _ in range(10_000 // SHARE // 5):
        key = await sessions.create({}, ttl=60)
        await gather(
            *[sessions.save(key, {"n": 1}, ttl=60), sessions.delete(key), sessions.save(key, {"n": 2}, ttl=60)]
        )
        assert await sessions.load(key) is None
    assert await store.keys() == []


async def test_a_given_id_is_created_once(store):
    """A second session of the same id is refused."""
    sessions = SessionRecords(store)

    assert await sessions.create({"n": 1}, ttl=60, session_id="a" * 32) == "a" * 32
    assert await sessions.create({"n": 2}, ttl=60, session_id="a" * 32) is None
    assert await sessions.load("a" * 32) == {"n": 1}


@pytest.mark.faults(152)
async def test_regenerating_moves_the_session(store):
    """After a login the session has another id, and the old one is nobody's."""
    sessions = SessionRecords(store)
    old = await sessions.create({"cart": 1}, ttl=60)
    new = await sessions.regenerate(old, {"cart": 1, "user": 2}, ttl=60)

    assert new != old
    assert await sessions.load(old) is None
    assert await sessions.load(new) == {"cart": 1, "user": 2}


@pytest.mark.faults(155)
async def test_an_outage_is_not_a_logout(flaky):
    """The store's error passes."""
    sessions = SessionRecords(RetryWrapper(flaky(MemoryStore(), StoreConnectionError("down")), max_retries=0))

    with pytest.raises(StoreConnectionError):
        await sessions.load(new_session_id())


@pytest.mark.faults(155)
@pytest.mark.parametrize("calls", [0, 1])
async def test_an_outage_while_regenerating_is_not_a_logout(flaky, calls):
    """Whichever step fails, the session is where it was; one that ended leaves nothing under a fresh id."""
    store = MemoryStore()
    key = await SessionRecords(store).create({"user": 1}, ttl=60)
    sessions = SessionRecords(flaky(store, *[None] * calls, StoreConnectionError("down")))

    with pytest.raises(StoreConnectionError):
        await sessions.regenerate(key, {"user": 2}, ttl=60)

    assert await sessions.load(key) == {"user": 1}


async def test_the_store_must_be_able_to(marking):
    """Over a stack that cannot put conditionally there are no sessions."""
    with pytest.raises(UnsupportedOperationError, match="With Marking a stack cannot"):
        SessionRecords(marking(MemoryStore()))


@pytest.mark.faults(158)
def test_ids():
    """Ids are unique, of one length, from letters that need no escaping, with 256 bits."""
    ids = {new_session_id() for _ in range(1_000_000 // SHARE)}

    assert len(ids) == 1_000_000 // SHARE
    assert {len(one) for one in ids} == {43}
    assert all(SESSION_ID.fullmatch(one) for one in list(ids)[:1000])
