"""Disk stores and what happens to processes: forks, kills, interrupts, cancelled callers, and several at once."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from itertools import count

import pytest
from disks import each_disk
from forks import in_child, number_of, sealed, status

FULL = bool(os.environ.get("KV_TEST_FULL"))
SHARE = 1 if FULL else 20
FILES = {"cache.db", "cache.db-wal", "cache.db-shm"}

each_side = pytest.mark.parametrize("side", ["sync", "aio"])


def is_sound(directory):
    """Check that every database below a directory is sound, and that nothing else was left there."""
    databases = list(directory.rglob("cache.db"))
    assert databases
    assert {path.name for path in directory.rglob("*") if path.is_file()} <= FILES
    for database in databases:
        with closing(sqlite3.connect(database)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def puts(disk, side, directory, acknowledge, *, workers=1):
    """Put sealed values without end under one key for each worker, and say so after each."""

    async def work(store, worker):
        for number in count():
            done = store.put(f"{worker}-{os.getpid()}-{number}", sealed(number), collection=f"c{worker % 2}")
            if side == "aio":
                await done
            acknowledge(f"c{worker % 2} {worker}-{os.getpid()}-{number} {number}\n".encode())

    async def main():
        store = getattr(disk, side)(directory=directory)
        await asyncio.gather(*[work(store, worker) for worker in range(workers)])

    asyncio.run(main())


# Forks ----------------------------------------------------------------------------------------------------------------


@each_disk
@pytest.mark.faults(132)
def test_fork_with_threads(disk, tmp_path):
    """After a fork, child and parent go on with their own connections, on both sides, and no update is lost."""
    store, plain = disk.aio(directory=tmp_path), disk.sync(directory=tmp_path)
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
    with closing(sqlite3.connect(disk.folder(tmp_path) / "cache.db")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    plain.close()
    asyncio.run(store.close())


@each_disk
@pytest.mark.faults(132)
async def test_fork_while_threads_work(disk, tmp_path):
    """A fork in the middle of reads and writes leaves a child that can use the store."""
    store = disk.aio(directory=tmp_path)
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


# Kills ----------------------------------------------------------------------------------------------------------------


@each_disk
@each_side
@pytest.mark.faults(137)
def test_killed_writer_loses_nothing(disk, tmp_path, side):
    """What was acknowledged before `kill -9` is there, whole, in sound databases without stray files."""
    acknowledged: dict[str, dict[str, int]] = {"c0": {}, "c1": {}}
    for _ in range(200 if FULL else 10):
        reading, writing = os.pipe()
        pid = in_child(partial(puts, disk, side, tmp_path, partial(os.write, writing), workers=8))
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            lines = [said.readline() for _ in range(5000 if FULL else 100)]
            os.kill(pid, signal.SIGKILL)
            lines += said.readlines()
        assert status(pid) == -signal.SIGKILL
        for collection, key, number in (line.decode().split() for line in lines if line.endswith(b"\n")):
            acknowledged[collection][key] = int(number)

    with disk.sync(directory=tmp_path) as store:
        for collection, numbers in acknowledged.items():
            keys = store.keys(collection)
            found = dict(zip(keys, map(number_of, store.get_many(keys, collection=collection)), strict=True))
            assert numbers.items() <= found.items()
    assert sum(map(len, acknowledged.values())) >= (1_000_000 if FULL else 1000)
    is_sound(tmp_path)


@each_disk
@pytest.mark.faults(112)
def test_killed_while_the_database_is_made(disk, tmp_path):
    """What a process leaves that died before its database was whole is in nobody's way."""
    folder = disk.folder(tmp_path / "kv")
    folder.mkdir(parents=True)
    (folder / ".new-abc").write_bytes(b"SQLite format 3\0 and no more")

    with disk.sync(directory=tmp_path / "kv") as store:
        assert store.get("key") is None
        store.put("key", {"n": 1})
        assert store.get("key") == {"n": 1}
        assert store.collections() == ["default_collection"]


@each_disk
@each_side
@pytest.mark.faults(135)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_ended_in_the_middle_of_a_put(disk, tmp_path, side, number):
    """A process that is told to end while it puts leaves the old value or the new one, never half of one."""

    def write(acknowledge):
        store = getattr(disk, side)(directory=tmp_path)

        async def main():
            for turn in count():
                await store.put("key", sealed(turn, size=20_000))
                acknowledge(turn.to_bytes(4, "big"))

        if side == "aio":
            asyncio.run(main())
        for turn in count():
            store.put("key", sealed(turn, size=20_000))
            acknowledge(turn.to_bytes(4, "big"))

    chance = random.Random(5)
    for _ in range(40 if FULL else 5):
        reading, writing = os.pipe()
        pid = in_child(lambda out=writing: write(lambda data: os.write(out, data)))
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            said.read(4 * 3)
            time.sleep(chance.random() * 0.003)
            os.kill(pid, number)
            rest = said.read()
        ended = status(pid)
        last = int.from_bytes(rest[-4:], "big") if rest else 2

        assert ended == (1 if number is signal.SIGINT else -number)
        with disk.sync(directory=tmp_path) as store:
            assert last <= number_of(store.get("key")) <= last + 1
            store.delete("key")
    is_sound(tmp_path)


@each_disk
@pytest.mark.faults(135)
def test_interrupted_again_and_again(disk, tmp_path):
    """After KeyboardInterrupt anywhere in a put the same store goes on, with the old value or the new one."""
    chance = random.Random(3)
    times = 1000 if FULL else 100

    def interrupt(*_):
        raise KeyboardInterrupt

    def work():
        signal.signal(signal.SIGALRM, interrupt)
        last = 0
        with disk.sync(directory=tmp_path) as store:
            store.put("key", sealed(last))
            store.put("counter", {"value": 0})
            for _ in range(times):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0001 + chance.random() * 0.002)
                    while True:
                        store.put("key", sealed(last + 1))
                        last += 1
                        store.increment("counter")
                except KeyboardInterrupt:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                found = number_of(store.get("key"))
                assert last <= found <= last + 1
                last = found
            assert last - times <= store.increment("counter", 0) <= last

    assert status(in_child(work)) == 0
    is_sound(tmp_path)


# Several at once ------------------------------------------------------------------------------------------------------


@each_disk
@pytest.mark.faults(101)
def test_processes_and_threads_lose_no_update(disk, tmp_path):
    """Two processes with four threads each count to the right number, though a third holds the lock for long.

    Meanwhile they hear at their timeout that nothing was done.
    """
    times, held, timeout = (10_000, 70.0, 5.0) if FULL else (100, 0.8, 0.3)
    code = f"""if True:
        import threading, time
        from kv_core.errors import StoreTimeoutError
        {disk.imports("sync")}
        waits = []
        def count(store):
            while True:
                start = time.monotonic()
                try:
                    return store.increment("counter", initial=0)
                except StoreTimeoutError as error:
                    assert error.outcome == "not_applied"
                    waits.append(time.monotonic() - start)
        with Store(directory={str(tmp_path)!r}, timeout={timeout}) as store:
            def work():
                for number in range({times}):
                    count(store)
            print(flush=True)
            input()
            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        print(min(waits), max(waits))
    """
    with disk.sync(directory=tmp_path) as store:
        store.put("counter", {"value": 0})
    processes = [
        subprocess.Popen([sys.executable, "-c", code], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    with closing(sqlite3.connect(disk.folder(tmp_path) / "cache.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        time.sleep(held)
        holder.execute("ROLLBACK")

    for process in processes:
        shortest, longest = map(float, process.communicate()[0].split())
        assert process.returncode == 0
        assert timeout - 0.1 <= shortest <= longest <= timeout + 1
    with disk.sync(directory=tmp_path) as store:
        assert store.get("counter") == {"value": 8 * times}


@each_disk
@pytest.mark.faults(136)
def test_two_writers_of_large_values(disk, tmp_path):
    """While two processes put large values on one key, every read is exactly one of them, and the last one stays."""
    times = 10_000 // SHARE

    def write(mine):
        with disk.sync(directory=tmp_path, timeout=60) as store:
            for turn in range(times):
                store.put("key", sealed(2 * turn + mine, size=3000))

    with disk.sync(directory=tmp_path) as store:
        store.put("key", sealed(0))
        writers = [in_child(lambda mine=mine: write(mine)) for mine in (0, 1)]
        seen = set()
        while writers:
            seen.add(number_of(store.get("key")))
            writers = [pid for pid in writers if os.waitpid(pid, os.WNOHANG) == (0, 0)]
        assert number_of(store.get("key")) in (2 * times - 1, 2 * times - 2)

    assert {number % 2 for number in seen} == {0, 1}
    is_sound(tmp_path)


@each_disk
@pytest.mark.faults(111, 114)
def test_first_puts_of_one_key(disk, tmp_path):
    """Processes that make the database together and put one key first leave one entry, and one of them has won."""
    waiting, go = os.pipe()
    hearing, told = os.pipe()

    def put():
        os.close(go)
        os.read(waiting, 1)  # until the parent closes its end
        with disk.sync(directory=tmp_path / "kv") as store:
            store.put("key", {"of": "any"})
            os.write(told, b"1" if store.put_if_absent("first", {"of": "one"}) else b"0")

    children = [in_child(put) for _ in range(8)]
    os.close(go)
    assert [status(pid) for pid in children] == [0] * 8
    os.close(told)
    with os.fdopen(hearing, "rb") as said:
        assert sorted(said.read()) == sorted(b"00000001")
    os.close(waiting)

    with disk.sync(directory=tmp_path / "kv") as store:
        assert sorted(store.keys()) == ["first", "key"]
    is_sound(tmp_path / "kv")


@each_disk
@pytest.mark.faults(125, 126)
async def test_cancelled_callers(disk, tmp_path):
    """After puts and reads were cancelled at random, what was acknowledged is there; the rest was put or was not.

    A put that was cancelled may land after a read, but never after a later put, so no read goes back.
    """
    chance = random.Random(11)
    keys = [f"key {number}" for number in range(20)]
    may_be = {key: {0} for key in keys}
    later = asyncio.get_running_loop().call_later
    async with disk.aio(directory=tmp_path) as store:
        await store.put_many(keys, [sealed(0)] * len(keys))
        for turn in range(1, 100_000 // SHARE // len(keys) + 1):
            calls = [asyncio.create_task(store.put(key, sealed(turn))) for key in keys]
            for call in calls:
                later(chance.random() * 0.004, call.cancel)
            for key, call in zip(keys, await asyncio.gather(*calls, return_exceptions=True), strict=True):
                assert call is None or isinstance(call, asyncio.CancelledError), repr(call)
                may_be[key] = {turn} if call is None else may_be[key] | {turn}
            reads = [asyncio.create_task(store.get(key)) for key in keys]
            for read in reads:
                later(chance.random() * 0.004, read.cancel)
            for key, found in zip(keys, await asyncio.gather(*reads, return_exceptions=True), strict=True):
                if not isinstance(found, asyncio.CancelledError):
                    number = number_of(found)
                    assert number in may_be[key]
                    may_be[key] = {other for other in may_be[key] if other >= number}
        found = await store.get_many(keys)
        assert all(number_of(value) in may_be[key] for key, value in zip(keys, found, strict=True))
