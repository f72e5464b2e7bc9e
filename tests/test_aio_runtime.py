"""The side with event loops: deadlines without leaks, one client a loop, several loops, forks."""

import asyncio
import contextlib
import gc
import os
import random
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from forks import Child, opened_since, sockets
from network import NETWORK, SETS

from kv_core.aio._runtime import Borrowed, PerLoop, gather, run_blocking, within
from kv_core.aio.stores.disk import DiskStore
from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.stores.multi_disk import MultiDiskStore
from kv_core.aio.stores.redis import RedisStore
from kv_core.aio.stores.simple import SimpleStore
from kv_core.deadline import DEADLINE, left, mark_unsent, unsent
from kv_core.errors import BaseKeyValueError, ConfigurationError, StoreClosedError, StoreTimeoutError

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20
FORKING = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
LINUX = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open sockets by /proc")


@pytest.fixture(params=["memory", "simple", "disk", "multi_disk", *NETWORK, *SETS])
def make(request, tmp_path):
    """A function that makes a store on one backend."""
    match request.param:
        case "memory":
            return MemoryStore
        case "disk":
            return partial(DiskStore, directory=tmp_path / "store")
        case "simple":
            return SimpleStore
        case "multi_disk":
            return partial(MultiDiskStore, directory=tmp_path / "store")
        case name:
            url = request.getfixturevalue(f"{name}_server").url
            return partial((NETWORK | SETS)[name].make, "kv_core.aio", url, default_collection=request.node.name)


# within ---------------------------------------------------------------------------------------------------------------


async def answer(seconds=0.0, result="answer"):
    """Wait, and return."""
    if seconds:
        await asyncio.sleep(seconds)
    return result


async def test_a_call_that_never_waits_sets_no_timer(monkeypatch):
    """What is done at once costs no timer; what waits costs one, which is cancelled."""
    loop = asyncio.get_running_loop()
    timers = []

    def call_later(*arguments, **options):
        timers.append(type(loop).call_later(loop, *arguments, **options))
        return timers[-1]

    monkeypatch.setattr(loop, "call_later", call_later)

    assert await within(5, answer) == "answer"
    assert not timers
    assert await within(5, answer, 0.001) == "answer"
    assert timers
    assert timers[0].cancelled()


async def test_what_takes_too_long_is_ended():
    """The call is cancelled at its deadline and may clean up; the caller gets a TimeoutError and is not cancelled."""
    ended = []

    async def slow():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    with pytest.raises(TimeoutError):
        await within(0.01, slow)

    assert ended
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)


async def test_errors_and_results_pass():
    """What the call raises or returns is raised or returned, at once or later; so it is with an awaitable."""

    async def fail(seconds):
        await answer(seconds)
        raise LookupError

    for seconds in (0, 0.001):
        with pytest.raises(LookupError):
            await within(5, fail, seconds)
        assert await within(5, answer, seconds, result=7) == 7
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, "later")
    assert await within(5, lambda: future) == "later"


async def test_a_call_may_finish_although_it_was_cancelled():
    """A call that ends well in spite of its deadline returns, and no cancellation is left over."""

    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done"

    assert await within(0.01, stubborn) == "done"
    assert asyncio.current_task().cancelling() == 0

    async def translating():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise LookupError from None

    with pytest.raises(LookupError):
        await within(0.01, translating)
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)


async def swallowing():
    """Return in spite of being cancelled, as `asyncio.wait_for` may in Python 3.11, and so a client of a server."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    return "done"


async def test_a_cancellation_that_a_call_swallows_is_heard():
    """A caller that was cancelled is, though what it called came back well."""

    async def cancelled_in_its_first_step():
        asyncio.current_task().cancel()  # as a signal does that comes while it runs
        return await swallowing()

    waiting = asyncio.create_task(within(5, swallowing))
    await asyncio.sleep(0)
    waiting.cancel()
    for task in (waiting, asyncio.create_task(within(5, cancelled_in_its_first_step))):
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_a_cancellation_is_heard_once():
    """One that comes in a call's last step is left to the next wait; one that was heard before is no new one."""

    async def cancelled_in_its_last_step():
        await asyncio.sleep(0)
        asyncio.current_task().cancel()
        return "done"

    async def waiting_a_little():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        return "done"

    async def main():
        heard = [await within(5, cancelled_in_its_last_step)]
        heard.append(await swallowing())
        heard.append(await within(5, waiting_a_little))
        return heard

    assert await asyncio.create_task(main()) == ["done"] * 3


async def test_deadlines_nest():
    """The earlier deadline ends the call, whichever is inside; the later one does not fire."""

    async def both(inner):
        try:
            return await within(inner, answer, 60)
        except TimeoutError:
            await asyncio.sleep(0)
            return "inner"

    assert await within(5, both, 0.01) == "inner"
    with pytest.raises(TimeoutError):
        await within(0.01, both, 5)
    async with asyncio.timeout(5) as outer:
        assert await both(0.01) == "inner"
    assert not outer.expired()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01) as outer:
            await within(5, answer, 60)
    assert outer.expired()
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)


async def test_the_deadline_is_told_to_what_is_called():
    """Inside the call, what is left is at most its seconds, and at most what an outer one has; outside, nothing."""

    async def see():
        await asyncio.sleep(0)
        return left(100)

    assert 4 < await within(5, see) <= 5
    assert 1 < await within(2, within, 5, see) <= 2
    assert DEADLINE.get() is None
    with pytest.raises(TimeoutError):
        await within(0.001, answer, 1)
    assert DEADLINE.get() is None


async def test_a_task_that_was_cancelled_before_has_deadlines_too():
    """Cancellations that the task has overcome are neither counted nor forgotten."""

    async def survivor():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        with pytest.raises(TimeoutError):
            await within(0.01, answer, 60)
        return asyncio.current_task().cancelling()

    task = asyncio.create_task(survivor())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == 1


@pytest.mark.faults(128)
async def test_result_deadline_and_cancellation_race():
    """Whichever comes first, or all in one turn of the loop: a cancelled task is cancelled, and no other one is."""
    loop = asyncio.get_running_loop()
    chance = random.Random(7)
    tick = loop._clock_resolution
    seen = {"result": 0, "timeout": 0, "cancelled": 0}

    async def one(asked, seconds, ends, kind):
        future = loop.create_future()
        loop.call_at(ends, lambda: future.done() or future.set_result("answer"))

        async def call():
            return await future

        try:
            if kind == "nested":
                await within(seconds, within, seconds, call)
            elif kind == "outer":
                async with asyncio.timeout(seconds):
                    await within(seconds, call)
            else:
                await within(seconds, call)
            seen["result"] += 1
        except TimeoutError:
            seen["timeout"] += 1
        except asyncio.CancelledError:
            assert asked, "cancelled, and nobody asked for it"
            seen["cancelled"] += 1
            raise
        assert asyncio.current_task().cancelling() <= asked
        if not asked:
            await asyncio.sleep(0)
            assert asyncio.current_task().cancelling() == 0

    rounds = 12_000 // SHARE
    for start in range(0, rounds, 200):
        tasks = []
        now = loop.time() + 0.002
        for number in range(start, min(start + 200, rounds)):
            ends, seconds, cancel = (now + chance.choice((0, 0, tick, 0.0005, 0.001)) for _ in range(3))
            asked = number % 2
            kind = ("plain", "nested", "outer")[number % 3]
            task = asyncio.create_task(one(asked, max(seconds - loop.time(), 0), ends, kind))
            if asked:
                loop.call_at(cancel, task.cancel)
            tasks.append((asked, task))
        await asyncio.wait([task for _, task in tasks])
        for asked, task in tasks:
            assert asked or not task.cancelled()
            if not task.cancelled():
                await task

    assert min(seen.values()) > rounds // 50, seen


async def test_gather_waits_for_all():
    """Results come in the order of the calls; the first error is raised when all have ended."""
    ended = []

    async def slow():
        await asyncio.sleep(0.01)
        ended.append(True)

    async def fail():
        raise LookupError

    assert await gather(answer(0.002, "a"), answer(0, "b")) == ["a", "b"]
    assert await gather() == []
    with pytest.raises(LookupError):
        await gather(fail(), slow())
    assert ended


async def test_a_deadline_of_many_calls_says_nothing_of_one():
    """When some of the calls had sent something, the timeout of all is not marked as one before anything was sent."""

    async def connecting():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            mark_unsent(error)
            raise

    async def both():
        return await gather(answer(0, "sent"), connecting())

    with pytest.raises(TimeoutError) as caught:
        await within(0.01, both)
    assert not unsent(caught.value)
    with pytest.raises(TimeoutError) as caught:
        await within(0.01, connecting)
    assert unsent(caught.value)


async def test_blocking_calls_leave_the_loop_alone():
    """A blocking call runs in another thread while the loop goes on, and its error comes back."""
    begun, go = threading.Event(), threading.Event()

    def block(word, *, end):
        begun.set()
        assert go.wait(5)
        return word + end

    call = asyncio.create_task(run_blocking(block, "a", end="b"))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    go.set()

    assert await call == "ab"
    with pytest.raises(ZeroDivisionError):
        await run_blocking(divmod, 1, 0)


# One client a loop ----------------------------------------------------------------------------------------------------


class Pool:
    """Makes clients, and remembers which were closed and in which loop."""

    def __init__(self):
        self.made = []
        self.closed = []
        self.clients = PerLoop(self.make, self.close)

    def make(self):
        client = object()
        self.made.append((client, asyncio.get_running_loop()))
        return client

    async def close(self, client):
        await asyncio.sleep(0)
        self.closed.append((client, asyncio.get_running_loop()))

    async def use(self):
        return self.clients.current() or await self.clients.open()


@pytest.fixture
def pool():
    return Pool()


async def test_many_tasks_at_first_use_make_one_client(pool):
    """However many ask first, a loop has one client."""
    found = await asyncio.gather(*[pool.use() for _ in range(100)])

    assert len(set(found)) == len(pool.made) == 1
    await pool.clients.close()
    assert pool.closed == pool.made


def test_each_loop_has_its_client_until_it_ends(pool):
    """Two loops in turn have a client each, which is closed in its own loop when that ends."""

    async def twice():
        assert await pool.use() is await pool.use()

    for number in (1, 2, 3):
        asyncio.run(twice())
        assert len(pool.made) == number
        assert pool.closed == pool.made
    assert len({loop for _, loop in pool.made}) == 3
    assert not pool.clients._by_loop


def test_loops_at_once_have_a_client_each(pool):
    """Loops in threads of their own make, use and close a client each, over and over, without disturbing others."""
    errors = []

    async def use():
        client = await pool.use()
        for _ in range(5):
            await asyncio.sleep(0)
            assert await pool.use() is client

    def thread():
        try:
            for _ in range(400 // SHARE):
                asyncio.run(use())
        except BaseException as error:  # noqa: BLE001 - a thread has no other way to tell
            errors.append(error)

    threads = [threading.Thread(target=thread) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)

    assert not errors
    assert len(pool.made) == 8 * (400 // SHARE)
    assert {id(client) for client, _ in pool.closed} == {id(client) for client, _ in pool.made}
    assert {id(loop) for _, loop in pool.made} == {id(loop) for _, loop in pool.closed}


def test_closing_reaches_other_loops(pool):
    """Closing in one loop closes the client of another loop that runs, in that loop; then nobody gets one."""
    ready, done = threading.Event(), threading.Event()
    late = []

    async def other():
        await pool.use()
        ready.set()
        while not done.is_set():
            await asyncio.sleep(0.001)
        try:
            await pool.use()
        except StoreClosedError as error:
            late.append(error)

    thread = threading.Thread(target=asyncio.run, args=(other(),))
    thread.start()
    assert ready.wait(5)

    async def closing():
        await pool.use()
        await pool.clients.close()
        await pool.clients.close()
        assert pool.clients.current() is None

    asyncio.run(closing())
    assert len(pool.closed) == 2
    assert set(pool.closed) == set(pool.made)
    done.set()
    thread.join(5)
    assert len(late) == 1
    assert len(pool.made) == 2


def test_closing_after_a_loop_has_ended(pool):
    """A loop that ended, or stands still, does not keep others from closing."""
    still = asyncio.new_event_loop()
    still.run_until_complete(pool.use())
    asyncio.run(pool.use())

    asyncio.run(pool.clients.close())

    assert not pool.clients._by_loop
    still.run_until_complete(still.shutdown_asyncgens())
    still.close()


def test_loops_that_were_closed_carelessly_are_forgotten(pool):
    """A loop that was closed without closing its generators is not held for ever."""
    careless = asyncio.new_event_loop()
    careless.run_until_complete(pool.use())
    careless.close()

    async def others():
        await pool.use()
        assert careless not in pool.clients._by_loop

    asyncio.run(others())
    assert len(pool.made) == 2


@FORKING
def test_a_child_begins_anew(pool):
    """After a fork the child makes its own client and leaves its parent's alone, inside a run and between runs."""

    def child():
        async def use():
            assert pool.clients.current() is None
            await pool.use()
            await pool.clients.close()  # nor does closing reach for the parent's

        asyncio.run(use())
        assert len(pool.made) == 2
        assert pool.closed == pool.made[1:]

    async def run():
        mine = await pool.use()
        Child(child).check()
        assert await pool.use() is mine

    asyncio.run(run())
    assert pool.closed == pool.made

    pool.made.clear()
    pool.closed.clear()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(pool.use())
    Child(child).check()
    loop.run_until_complete(pool.clients.close())
    loop.close()
    assert pool.closed == pool.made


def test_a_passed_client_belongs_to_one_loop():
    """A client that was passed in is used in the loop of its first use only, and never closed."""
    client = object()
    borrowed = Borrowed(client)

    async def use():
        return borrowed.current() or await borrowed.open()

    async def twice():
        assert await use() is await use() is client

    asyncio.run(twice())
    with pytest.raises(ConfigurationError, match="another event loop"):
        asyncio.run(use())
    asyncio.run(borrowed.close())
    with pytest.raises(StoreClosedError):
        asyncio.run(use())


# Stores ---------------------------------------------------------------------------------------------------------------


async def exercise(store, name, count=10):
    """Write and read keys of one's own, at once and in turn."""
    keys = [f"{name} {number}" for number in range(count)]
    await asyncio.gather(*[store.put(key, {"of": key}) for key in keys])
    assert await asyncio.gather(*[store.get(key) for key in keys]) == [{"of": key} for key in keys]
    assert await store.get_many(keys) == [{"of": key} for key in keys]
    assert await store.increment(f"{name} count", initial=0) == 1
    assert await store.delete_many([*keys, f"{name} count"]) == count + 1


@LINUX
@pytest.mark.faults(130)
def test_a_store_in_two_loops_in_turn(make, request):
    """One store works in one loop after another, and each leaves no socket open."""
    shared = "memcached" in request.node.callspec.id  # connections that threads use belong to no loop
    store = make()
    before = sockets()
    for name in ("first", "second", "third"):
        asyncio.run(exercise(store, name))
        assert shared or not opened_since(before)
    asyncio.run(store.close())
    with pytest.raises(StoreClosedError):
        asyncio.run(store.get("key"))
    del store
    assert not opened_since(before)


@pytest.mark.faults(130, 131)
def test_a_store_in_several_loops_at_once(make):
    """One store works in several loops at once, and loses no count between them."""
    store = make()
    errors = []

    async def use(name):
        for _ in range(100 // SHARE):
            await exercise(store, name)
            await asyncio.gather(*[store.increment("shared", initial=0) for _ in range(5)])

    def thread(name):
        try:
            asyncio.run(use(name))
        except BaseException as error:  # noqa: BLE001 - a thread has no other way to tell
            errors.append(error)

    threads = [threading.Thread(target=thread, args=(f"loop {number}",)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)

    assert not errors

    async def end():
        assert await store.get("shared") == {"value": 4 * 5 * (100 // SHARE)}
        await store.delete("shared")
        await store.close()

    asyncio.run(end())


@LINUX
@FORKING
@pytest.mark.faults(132)
@pytest.mark.parametrize("inside", [True, False], ids=["inside a run", "between runs"])
def test_forked_children_read_their_own(make, inside):
    """Four children and their parent read keys of their own at once; nobody gets another's answer."""
    store = make()
    reads = 10_000 // SHARE
    keys = [f"key {number}" for number in range(40)]

    async def read(mine):
        for number in range(reads):
            key = mine[number % len(mine)]
            assert await store.get(key) == {"of": key}

    def child(number):
        asyncio.run(read(keys[number::5]))

    async def prepare():
        await store.put_many(keys, [{"of": key} for key in keys])
        assert await asyncio.gather(*[store.get(key) for key in keys]) == [{"of": key} for key in keys]

    async def fork():
        await prepare()
        children = [Child(partial(child, number)) for number in range(4)]
        await read(keys[4::5])
        for one in children:
            one.check()
        await read(keys[4::5][:3])

    if inside:
        asyncio.run(fork())
    else:
        asyncio.run(prepare())
        children = [Child(partial(child, number)) for number in range(4)]
        asyncio.run(read(keys[4::5]))
        for one in children:
            one.check()

    async def end():
        await store.delete_many(keys)
        await store.close()

    asyncio.run(end())


@pytest.mark.faults(134)
def test_closing_with_calls_in_flight(make):
    """Closing while calls are out ends each with its answer or a named error, and leaves nothing open."""
    before = sockets()

    async def run():
        store = make()
        await store.put("key", {"n": 1})
        calls = [asyncio.create_task(store.get("key")) for _ in range(100)]
        await asyncio.sleep(0)
        await store.close()
        found = await asyncio.gather(*calls, return_exceptions=True)
        for one in found:
            assert one == {"n": 1} or isinstance(one, BaseKeyValueError), repr(one)
        with pytest.raises(StoreClosedError):
            await store.get("key")
        assert len(sockets() - before) <= 2  # the loop's own

    asyncio.run(run())
    assert not opened_since(before)


@pytest.mark.faults(134)
def test_a_store_that_is_dropped_closes_its_connections(make):
    """A store that nobody holds any more leaves no socket behind and no warning."""
    before = sockets()

    async def run():
        store = make()
        await store.put("key", {"n": 1})
        await store.delete("key")
        del store
        end = time.monotonic() + 5
        while len(sockets() - before) > 2 and time.monotonic() < end:  # the loop's own
            gc.collect()
            await asyncio.sleep(0.01)
        assert len(sockets() - before) <= 2

    asyncio.run(run())
    assert not opened_since(before)


async def test_a_deadline_in_the_task_ends_the_call(own_redis):
    """An asyncio.timeout of the caller's ends a call like its own does, and later answers are right."""
    async with RedisStore(url=own_redis.url) as store:
        await store.put("key", {"n": 1})
        own_redis.freeze()
        try:
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.05):
                    await store.get("other")
            assert not isinstance(caught.value, StoreTimeoutError)
        finally:
            own_redis.thaw()
        assert await store.get("key") == {"n": 1}
