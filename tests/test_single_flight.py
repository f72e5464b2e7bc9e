"""Callers that ask for the same at the same time share one call, on both sides."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from forks import Child

from kv_core.aio._runtime import SingleFlight, within
from kv_core.deadline import DEADLINE, left
from kv_core.errors import StoreConnectionError, StoreTimeoutError
from kv_core.sync._runtime import SingleFlight as SyncFlight
from kv_core.sync._runtime import within as sync_within

FORKING = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class Calls:
    """A call that ends when it is told to."""

    def __init__(self):
        self.made = 0
        self.go = asyncio.Event()

    async def __call__(self, answer="answer"):
        self.made += 1
        number = self.made
        await self.go.wait()
        if isinstance(answer, Exception):
            raise answer
        return f"{answer} {number}"


async def turns(number=5):
    """Let what is ready run."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_many_share_one_call():
    """All get what the one call returns; the next one who asks makes another, and nothing is remembered."""
    flights, calls = SingleFlight(), Calls()
    asked = [asyncio.create_task(flights.run("key", calls)) for _ in range(500)]
    other = asyncio.create_task(flights.run("other", calls))
    await turns()
    calls.go.set()

    assert await asyncio.gather(*asked) == ["answer 1"] * 500
    assert await other == "answer 2"
    assert await flights.run("key", calls) == "answer 3"
    await turns()
    assert not flights._flights


async def test_all_get_its_error():
    """An error is everybody's, and is not remembered."""
    flights, calls = SingleFlight(), Calls()
    asked = [asyncio.create_task(flights.run("key", calls, StoreConnectionError("down"))) for _ in range(3)]
    await turns()
    calls.go.set()

    found = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(one) for one in found] == [StoreConnectionError] * 3
    assert await flights.run("key", calls) == "answer 2"


@pytest.mark.faults(128)
async def test_one_who_is_cancelled_takes_nobody_along():
    """The first caller, or any other, may be cancelled: the call goes on for the rest, or for nobody."""
    flights, calls = SingleFlight(), Calls()
    asked = [asyncio.create_task(flights.run("key", calls)) for _ in range(3)]
    await turns()
    asked[0].cancel()
    asked[2].cancel()
    await turns()
    calls.go.set()

    assert await asked[1] == "answer 1"
    assert asked[0].cancelled()
    assert asked[2].cancelled()

    calls.go.clear()
    alone = asyncio.create_task(flights.run("key", calls, StoreConnectionError("nobody sees it")))
    await turns()
    alone.cancel()
    calls.go.set()
    await turns()
    assert not flights._flights


async def test_the_deadline_of_the_first_is_not_that_of_the_others():
    """The call knows no deadline: the first caller ends by its own, the others get the answer."""
    flights = SingleFlight()
    seen, go = [], asyncio.Event()

    async def call():
        seen.append(DEADLINE.get())
        await go.wait()
        return left(60.0)

    first = asyncio.create_task(within(0.01, flights.run, "key", call))
    await turns()
    others = [asyncio.create_task(within(30.0, flights.run, "key", call)) for _ in range(3)]
    with pytest.raises(TimeoutError):
        await first
    go.set()

    assert await asyncio.gather(*others) == [60.0] * 3
    assert seen == [None]


async def test_what_is_forgotten_is_not_joined():
    """After `forget` the next caller makes a call of its own; those who wait get what they waited for."""
    flights, calls = SingleFlight(), Calls()
    before = asyncio.create_task(flights.run("key", calls))
    other = asyncio.create_task(flights.run("other", calls))
    await turns()
    flights.forget("key")
    flights.forget("never asked for")
    after = asyncio.create_task(flights.run("key", calls))
    joined = asyncio.create_task(flights.run("other", calls))
    await turns()
    flights.forget_all()
    last = asyncio.create_task(flights.run("other", calls))
    await turns()
    calls.go.set()

    assert await asyncio.gather(before, other, after, joined, last) == [f"answer {n}" for n in (1, 2, 3, 2, 4)]
    await turns()
    assert not flights._flights


async def test_a_call_that_has_ended_is_not_joined():
    """Who comes after the end asks anew, even in the turn of the loop in which it ended."""
    flights = SingleFlight()
    loop = asyncio.get_running_loop()
    seen = []

    def come():
        coroutine = flights.run("key", call)
        try:
            coroutine.send(None)
        except StopIteration as joined:
            seen.append(joined.value)
        else:
            seen.append("made its own")
            coroutine.close()

    async def call():
        if not seen:
            loop.call_soon(come)  # before anything that the end of this call sets off
        return "answer"

    assert await flights.run("key", call) == "answer"
    assert seen == ["made its own"]
    await turns()


def test_loops_make_calls_of_their_own():
    """Two loops at once each make a call, and forgetting reaches both."""
    flights = SingleFlight()
    barrier = threading.Barrier(2)
    loops = set()

    async def call():
        loops.add(asyncio.get_running_loop())
        await asyncio.get_running_loop().run_in_executor(None, barrier.wait, 5)
        return len(loops)

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: asyncio.run(flights.run("key", call)), range(2)))

    assert found == [2, 2]
    assert not flights._flights


# Threads --------------------------------------------------------------------------------------------------------------


class Blocking:
    """A call in a thread that ends when it is told to."""

    def __init__(self):
        self.made = 0
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, answer="answer"):
        self.made += 1
        number = self.made
        self.begun.release()
        assert self.go.wait(20)
        if isinstance(answer, BaseException):
            raise answer
        return f"{answer} {number}"


def waits(flights, number, key="key"):
    """Return once that many wait for the call under way."""
    for _ in range(10_000):
        flight = flights._flights.get(key)
        if flight is not None and flight._condition and len(flight._condition._waiters) >= number:
            return
        threading.Event().wait(0.001)
    raise AssertionError("nobody waits")


@pytest.fixture
def threads():
    with ThreadPoolExecutor(20) as pool:
        yield pool


def test_many_threads_share_one_call(threads):
    """All get what the one call returns; the next one who asks makes another."""
    flights, calls = SyncFlight(), Blocking()
    asked = [threads.submit(flights.run, "key", calls) for _ in range(16)]
    waits(flights, 15)
    calls.go.set()

    assert [one.result(5) for one in asked] == ["answer 1"] * 16
    assert flights.run("key", calls) == "answer 2"
    assert not flights._flights


def test_all_threads_get_its_error(threads):
    """An error is everybody's, and is not remembered."""
    flights, calls = SyncFlight(), Blocking()
    asked = [threads.submit(flights.run, "key", calls, StoreConnectionError("down")) for _ in range(3)]
    waits(flights, 2)
    calls.go.set()

    assert [type(one.exception(5)) for one in asked] == [StoreConnectionError] * 3
    assert flights.run("key", calls) == "answer 2"


def test_a_thread_waits_until_its_own_deadline(threads):
    """Who waits for somebody else's call gives up at the own deadline; nothing was sent in its name."""
    flights, calls = SyncFlight(), Blocking()
    first = threads.submit(flights.run, "key", calls)
    assert calls.begun.acquire(timeout=5)

    with pytest.raises(StoreTimeoutError) as caught:
        sync_within(0.02, flights.run, "key", calls)
    calls.go.set()

    assert caught.value.outcome == "not_applied"
    assert first.result(5) == "answer 1"
    assert calls.made == 1


def test_the_deadline_of_the_thread_that_calls_is_not_that_of_the_others(threads):
    """A call that ended by its maker's deadline is made again by those who waited and have time."""
    flights, calls = SyncFlight(), Blocking()
    late = StoreTimeoutError("too late", outcome="unknown")
    first = threads.submit(sync_within, 30.0, flights.run, "key", calls, late)
    assert calls.begun.acquire(timeout=5)
    others = [threads.submit(flights.run, "key", calls) for _ in range(3)]
    waits(flights, 3)
    calls.go.set()

    assert first.exception(5) is late
    assert sorted(one.result(5) for one in others) == ["answer 2", "answer 3", "answer 4"]


def test_a_store_that_times_out_is_not_asked_again(threads):
    """Without a deadline of the maker's, a timeout is the store's, and everybody's."""
    flights, calls = SyncFlight(), Blocking()
    late = StoreTimeoutError("too late", outcome="unknown")
    asked = [threads.submit(flights.run, "key", calls, late) for _ in range(3)]
    waits(flights, 2)
    calls.go.set()

    assert [one.exception(5) for one in asked] == [late] * 3
    assert calls.made == 1


def test_an_interrupt_is_nobody_elses(threads):
    """When the thread that calls is interrupted, the others make the call anew."""
    flights, calls = SyncFlight(), Blocking()
    first = threads.submit(flights.run, "key", calls, KeyboardInterrupt())
    assert calls.begun.acquire(timeout=5)
    others = [threads.submit(flights.run, "key", calls) for _ in range(3)]
    waits(flights, 3)
    calls.go.set()

    assert isinstance(first.exception(5), KeyboardInterrupt)
    assert all(one.result(5).startswith("answer ") for one in others)
    assert not flights._flights


def test_threads_do_not_join_what_is_forgotten(threads):
    """After `forget` the next caller makes a call of its own."""
    flights, calls = SyncFlight(), Blocking()
    before = threads.submit(flights.run, "key", calls)
    assert calls.begun.acquire(timeout=5)
    flights.forget("key")
    after = threads.submit(flights.run, "key", calls)
    assert calls.begun.acquire(timeout=5)
    flights.forget_all()
    calls.go.set()

    assert (before.result(5), after.result(5)) == ("answer 1", "answer 2")
    assert not flights._flights


@FORKING
def test_a_child_does_not_wait_for_a_thread_of_its_parent(threads):
    """A call under way when the process forks is not joined in the child, where nobody makes it."""
    flights, calls = SyncFlight(), Blocking()
    first = threads.submit(flights.run, "key", calls)
    assert calls.begun.acquire(timeout=5)

    Child(lambda: flights.run("key", str)).check()
    calls.go.set()

    assert first.result(5) == "answer 1"
