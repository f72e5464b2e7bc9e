"""Disk stores with several threads, event loops and processes: batches, forks, kills, and what ends when."""

import asyncio
import gc
import os
import sqlite3
import threading
import time
import warnings
from pathlib import Path

import pytest
from disks import each_disk

from kv_core.deadline import deadline
from kv_core.disk_format import transaction
from kv_core.errors import NotACounterError, StoreClosedError, StoreTimeoutError

FULL = bool(os.environ.get("KV_TEST_FULL"))


@pytest.fixture
def held(disk, tmp_path):
    """Return a context in which another connection has the write lock."""

    class Held:
        def __enter__(self):
            self.other = sqlite3.connect(disk.folder(tmp_path) / "cache.db", isolation_level=None)
            self.other.execute("BEGIN IMMEDIATE")

        def __exit__(self, *_):
            self.other.close()

    return Held


def workers():
    """Return the threads of disk stores that are still there."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("kv-disk")]


def open_files():
    """Return how many files the process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(condition, seconds=5.0):
    """Return as soon as the condition holds; fail when it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


# Batches --------------------------------------------------------------------------------------------------------------


@each_disk
async def test_a_refused_job_disturbs_no_other(disk, tmp_path):
    """In a batch of writes each caller gets its own answer, errors among them."""
    async with disk.aio(directory=tmp_path) as store:
        await store.put("text", {"text": "x"})
        jobs = [store.increment("text" if number % 5 == 0 else "counter", initial=0) for number in range(50)]
        answers = await asyncio.gather(*jobs, return_exceptions=True)

        assert sorted(answer for answer in answers if isinstance(answer, int)) == list(range(1, 41))
        assert sum(isinstance(answer, NotACounterError) for answer in answers) == 10


@each_disk
async def test_a_failing_batch_is_undone_and_done_singly(disk, tmp_path):
    """When a job breaks the batch after it has changed something, the others are done all the same, and once."""
    async with disk.aio(directory=tmp_path) as store:
        await store.put("counter", {"value": 0})

        def broken(connection):
            with transaction(connection):
                connection.execute("DELETE FROM Cache")
                raise sqlite3.IntegrityError("broken")

        async def count():
            return await store.increment("counter", 1)

        async def fail():
            return await store._do("default_collection", None, broken)

        answers = await asyncio.gather(
            *[fail() if number == 7 else count() for number in range(20)], return_exceptions=True
        )

        assert isinstance(answers[7].__cause__, sqlite3.IntegrityError)
        assert await store.get("counter") == {"value": 19}


@each_disk
async def test_cancelled_before_it_ran_is_not_done(disk, tmp_path, held):
    """A write that waits behind another and is cancelled never happens."""
    async with disk.aio(directory=tmp_path, timeout=1) as store:
        await store.put("key", {"n": 1})
        with held():
            first = asyncio.create_task(store.put("first", {"n": 1}))
            await asyncio.sleep(0.05)
            second = asyncio.create_task(store.put("key", {"n": 2}))
            await asyncio.sleep(0.01)
            second.cancel()
            with pytest.raises(asyncio.CancelledError):
                await second
        await first

        assert await store.get("key") == {"n": 1}


@each_disk
async def test_deadlines_of_callers_are_kept(disk, tmp_path, held):
    """A shorter deadline of a call ends it, in the middle of longer ones, and says that nothing was done."""
    async with disk.aio(directory=tmp_path, timeout=1.0) as store:
        await store.put("key", {"n": 1})
        with held():
            start = time.monotonic()
            long = asyncio.create_task(store.put("long", {"n": 1}))
            await asyncio.sleep(0.01)
            with deadline(0.1), pytest.raises(StoreTimeoutError) as caught:
                await store.put("short", {"n": 1})
            assert 0.05 < time.monotonic() - start < 0.5
            assert caught.value.outcome == "not_applied"
            with pytest.raises(StoreTimeoutError):
                await long
            assert 0.9 < time.monotonic() - start < 1.5
        assert await store.keys() == ["key"]


@each_disk
async def test_worker_that_is_stuck_does_not_hold_its_callers(disk, tmp_path):
    """Callers leave at the timeout even when the disk itself does not answer; what was begun may have happened."""
    async with disk.aio(directory=tmp_path, timeout=0.2) as store:
        await store.put("key", {"n": 1})
        go_on = threading.Event()
        stuck = asyncio.create_task(store._do("default_collection", "stuck", lambda _: go_on.wait(10)))
        await asyncio.sleep(0.02)
        with pytest.raises(StoreTimeoutError) as behind:
            await store.put("key", {"n": 2})
        with pytest.raises(StoreTimeoutError) as begun:
            await stuck

        assert (behind.value.outcome, begun.value.outcome) == ("not_applied", "unknown")
        go_on.set()
        await asyncio.sleep(0.05)
        assert await store.get("key") == {"n": 1}


# Loops and threads ----------------------------------------------------------------------------------------------------


@each_disk
@pytest.mark.faults(130)
def test_loops_in_turn_and_at_once(disk, tmp_path):
    """One store serves one loop after another, and several at the same time."""
    store = disk.aio(directory=tmp_path)

    async def count(times):
        for _ in range(times):
            await store.increment("counter", initial=0)

    asyncio.run(count(1))
    asyncio.run(count(1))
    threads = [threading.Thread(target=lambda: asyncio.run(count(100))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def end():
        assert await store.get("counter") == {"value": 402}
        await store.close()

    asyncio.run(end())
    wait_until(lambda: not workers())


@each_disk
@pytest.mark.faults(134)
async def test_close_with_operations_in_flight(disk, tmp_path, held):
    """What is in flight when the store is closed is done, or says so; close does not wait for locks."""
    store = disk.aio(directory=tmp_path)
    await store.put("key", {"n": 1})
    with held():
        flying = [asyncio.create_task(store.put("key", {"n": 2})), asyncio.create_task(store.get("key"))]
        await asyncio.sleep(0.02)
        start = time.monotonic()
        await store.close()
        assert time.monotonic() - start < 1
        wrote, read = await asyncio.gather(*flying, return_exceptions=True)

    assert isinstance(wrote, StoreClosedError)
    assert read == {"n": 1}
    wait_until(lambda: not workers())


@each_disk
@pytest.mark.faults(134)
async def test_dropped_stores_end_quietly(disk, tmp_path):
    """A store that nobody closed ends its threads and closes its files when it is collected."""
    before = open_files()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store, plain = disk.aio(directory=tmp_path), disk.sync(directory=tmp_path)
        await store.put("key", {"n": 1})
        assert plain.get("key") == {"n": 1}
        del store, plain
        gc.collect()
        wait_until(lambda: not workers())
        wait_until(lambda: open_files() == before)


@each_disk
def test_connections_of_ended_threads_are_closed(disk, tmp_path):
    """Threads that come and go leave no open files behind, and close reaches those of living ones."""
    before = open_files()
    store = disk.sync(directory=tmp_path)
    for number in range(20):
        thread = threading.Thread(target=store.put, args=(f"key{number}", {"n": number}))
        thread.start()
        thread.join()
    assert len(store._client._open) <= 2
    go_on, done = threading.Event(), threading.Event()

    def stay():
        store.get("key1")
        done.set()
        go_on.wait(10)

    living = threading.Thread(target=stay)
    living.start()
    done.wait(10)
    store.close()

    assert open_files() == before
    go_on.set()
    living.join()


@each_disk
@pytest.mark.faults(131, 134)
def test_close_while_threads_work(disk, tmp_path):
    """Closing under working threads ends each of them with StoreClosedError."""
    store = disk.sync(directory=tmp_path)
    ended = []

    def work():
        try:
            while True:
                store.increment("counter", initial=0)
                assert store.get("counter") is not None
        except StoreClosedError as error:
            ended.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    store.close()
    for thread in threads:
        thread.join(10)

    assert len(ended) == 8


@each_disk
def test_twins_share_a_directory(disk, tmp_path):
    """What one side wrote, the other reads."""
    with disk.sync(directory=tmp_path) as plain:
        plain.put("key", {"n": 1, "raw": b"\0"})

        async def read():
            async with disk.aio(directory=tmp_path) as store:
                return await store.get("key")

        assert asyncio.run(read()) == {"n": 1, "raw": b"\0"}


def test_twins_export_the_same():
    """Both drivers have the names that the store uses."""
    from kv_core.aio._drivers import disk as waiting
    from kv_core.sync._drivers import disk as plain

    for name in ("read", "write", "close"):
        assert callable(getattr(waiting.Client, name))
        assert callable(getattr(plain.Client, name))
