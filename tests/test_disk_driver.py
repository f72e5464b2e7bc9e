"""Disk stores with several threads, event loops and processes: batches, forks, kills, and what ends when."""

import asyncio
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from contextlib import closing
from pathlib import Path

import pytest

from kv_core.aio.stores.disk import DiskStore
from kv_core.deadline import deadline
from kv_core.disk_format import transaction
from kv_core.errors import NotACounterError, StoreClosedError, StoreTimeoutError
from kv_core.sync.stores.disk import DiskStore as PlainDiskStore

FULL = bool(os.environ.get("KV_TEST_FULL"))


@pytest.fixture
def held(tmp_path):
    """Return a context in which another connection has the write lock."""

    class Held:
        def __enter__(self):
            self.other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
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


async def test_a_refused_job_disturbs_no_other(tmp_path):
    """In a batch of writes each caller gets its own answer, errors among them."""
    async with DiskStore(directory=tmp_path) as store:
        await store.put("text", {"text": "x"})
        jobs = [store.increment("text" if number % 5 == 0 else "counter", initial=0) for number in range(50)]
        answers = await asyncio.gather(*jobs, return_exceptions=True)

        assert sorted(answer for answer in answers if isinstance(answer, int)) == list(range(1, 41))
        assert sum(isinstance(answer, NotACounterError) for answer in answers) == 10


async def test_a_failing_batch_is_undone_and_done_singly(tmp_path):
    """When a job breaks the batch after it has changed something, the others are done all the same, and once."""
    async with DiskStore(directory=tmp_path) as store:
        await store.put("counter", {"value": 0})

        def broken(connection):
            with transaction(connection):
                connection.execute("DELETE FROM Cache")
                raise sqlite3.IntegrityError("broken")

        async def count():
            return await store.increment("counter", 1)

        async def fail():
            return await store._client.write("", False, broken)

        answers = await asyncio.gather(
            *[fail() if number == 7 else count() for number in range(20)], return_exceptions=True
        )

        assert isinstance(answers[7], sqlite3.IntegrityError)
        assert await store.get("counter") == {"value": 19}


async def test_cancelled_before_it_ran_is_not_done(tmp_path, held):
    """A write that waits behind another and is cancelled never happens."""
    async with DiskStore(directory=tmp_path, timeout=1) as store:
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


async def test_deadlines_of_callers_are_kept(tmp_path, held):
    """A shorter deadline of a call ends it, in the middle of longer ones, and says that nothing was done."""
    async with DiskStore(directory=tmp_path, timeout=1.0) as store:
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


async def test_worker_that_is_stuck_does_not_hold_its_callers(tmp_path):
    """Callers leave at the timeout even when the disk itself does not answer; what was begun may have happened."""
    async with DiskStore(directory=tmp_path, timeout=0.2) as store:
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


@pytest.mark.faults(130)
def test_loops_in_turn_and_at_once(tmp_path):
    """One store serves one loop after another, and several at the same time."""
    store = DiskStore(directory=tmp_path)

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


@pytest.mark.faults(134)
async def test_close_with_operations_in_flight(tmp_path, held):
    """What is in flight when the store is closed is done, or says so; close does not wait for locks."""
    store = DiskStore(directory=tmp_path)
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


@pytest.mark.faults(134)
async def test_dropped_stores_end_quietly(tmp_path):
    """A store that nobody closed ends its threads and closes its files when it is collected."""
    before = open_files()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store, plain = DiskStore(directory=tmp_path), PlainDiskStore(directory=tmp_path)
        await store.put("key", {"n": 1})
        assert plain.get("key") == {"n": 1}
        del store, plain
        gc.collect()
        wait_until(lambda: not workers())
        wait_until(lambda: open_files() == before)


def test_connections_of_ended_threads_are_closed(tmp_path):
    """Threads that come and go leave no open files behind, and close reaches those of living ones."""
    before = open_files()
    store = PlainDiskStore(directory=tmp_path)
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


@pytest.mark.faults(131, 134)
def test_close_while_threads_work(tmp_path):
    """Closing under working threads ends each of them with StoreClosedError."""
    store = PlainDiskStore(directory=tmp_path)
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


# Processes ------------------------------------------------------------------------------------------------------------


def in_child(work):
    """Return the exit status of a child in which *work* was done."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: what is tested here
        pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the child ends here
            os.write(2, repr(error).encode())
            os._exit(1)
    return pid


def status(pid):
    """Return how a child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.faults(132)
def test_fork_with_threads(tmp_path):
    """After a fork, child and parent go on with their own connections, on both sides, and no update is lost."""
    store, plain = DiskStore(directory=tmp_path), PlainDiskStore(directory=tmp_path)
    times = 100

    async def count(store):
        await asyncio.gather(*[store.increment("counter", initial=0) for _ in range(times)])

    def work():
        asyncio.run(count(store))
        for _ in range(times):
            plain.increment("counter", initial=0)

    work()
    children = [in_child(work) for _ in range(4)]
    work()

    assert [status(pid) for pid in children] == [0] * 4
    assert plain.get("counter") == {"value": 6 * 2 * times}
    with closing(sqlite3.connect(tmp_path / "cache.db")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    plain.close()
    asyncio.run(store.close())


@pytest.mark.faults(132)
async def test_fork_while_threads_work(tmp_path):
    """A fork in the middle of reads and writes leaves a child that can use the store."""
    store = DiskStore(directory=tmp_path)
    await store.put("key", {"n": 1})

    async def work():
        while True:
            await asyncio.gather(*[store.put("key", {"n": 1}), store.get("key")])

    async def read():
        assert await store.get("key") == {"n": 1}

    def child():
        asyncio.events._set_running_loop(None)
        asyncio.run(read())

    working = [asyncio.create_task(work()) for _ in range(5)]
    for _ in range(10):
        await asyncio.sleep(0.005)
        pid = in_child(child)
        assert await asyncio.to_thread(status, pid) == 0
    for task in working:
        task.cancel()
    await store.close()


@pytest.mark.faults(101)
def test_processes_and_threads_lose_no_update(tmp_path):
    """Two processes with four threads each count to the right number."""
    times = 10_000 if FULL else 250
    code = f"""if True:
        import threading
        from kv_core.sync.stores.disk import DiskStore
        with DiskStore(directory={str(tmp_path)!r}, timeout=60) as store:
            def work():
                for number in range({times}):
                    store.increment("counter", initial=0)
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    """
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]

    assert [process.wait() for process in processes] == [0, 0]
    with PlainDiskStore(directory=tmp_path) as store:
        assert store.get("counter") == {"value": 8 * times}


@pytest.mark.faults(137)
@pytest.mark.parametrize("side", ["sync", "aio"])
def test_killed_writer_loses_nothing(tmp_path, side):
    """What was acknowledged before `kill -9` is there, whole, in a sound database without stray files."""
    code = f"""if True:
        import asyncio, itertools, os
        from kv_core.{side}.stores.disk import DiskStore
        store = DiskStore(directory={str(tmp_path)!r})
        def entry(number):
            return {{"n": number, "text": str(number) * 200}}
        async def work(worker):
            for number in itertools.count():
                done = store.put(f"{{worker}}-{{os.getpid()}}-{{number}}", entry(number))
                if {side!r} == "aio":
                    await done
                os.write(1, f"{{worker}}-{{os.getpid()}}-{{number}} {{number}}\\n".encode())
        async def main():
            await asyncio.gather(*[work(worker) for worker in range(8 if {side!r} == "aio" else 1)])
        asyncio.run(main())
    """
    acknowledged: dict[str, int] = {}
    for _ in range(200 if FULL else 3):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(300)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines(keepends=True)
        acknowledged.update(
            (key.decode(), int(n)) for key, n in (line.split() for line in lines if line.endswith(b"\n"))
        )

    with PlainDiskStore(directory=tmp_path) as store:
        keys = list(acknowledged)
        for start in range(0, len(keys), 1000):
            part = keys[start : start + 1000]
            assert store.get_many(part) == [
                {"n": acknowledged[key], "text": str(acknowledged[key]) * 200} for key in part
            ]
        everything = store.keys()
        assert all(value is not None for value in store.get_many(everything))
    with closing(sqlite3.connect(tmp_path / "cache.db")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert {path.name for path in tmp_path.iterdir()} <= {"cache.db", "cache.db-wal", "cache.db-shm"}


def test_twins_share_a_directory(tmp_path):
    """What one side wrote, the other reads."""
    with PlainDiskStore(directory=tmp_path) as plain:
        plain.put("key", {"n": 1, "raw": b"\0"})

        async def read():
            async with DiskStore(directory=tmp_path) as store:
                return await store.get("key")

        assert asyncio.run(read()) == {"n": 1, "raw": b"\0"}


def test_twins_export_the_same():
    """Both drivers have the names that the store uses."""
    from kv_core.aio._drivers import disk as waiting
    from kv_core.sync._drivers import disk as plain

    for name in ("read", "write", "close"):
        assert callable(getattr(waiting.Client, name))
        assert callable(getattr(plain.Client, name))
