"""The side without event loops: deadlines that clients turn into timeouts, one client a process, threads, forks."""

import gc
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial

import pytest
from forks import Child, opened_since, sockets
from network import NETWORK, SETS

from kv_core.capabilities import capabilities
from kv_core.deadline import DEADLINE, deadline, left
from kv_core.errors import BaseKeyValueError, StoreClosedError, StoreTimeoutError
from kv_core.sync._runtime import Borrowed, PerLoop, gather, run_blocking, within
from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.stores.multi_disk import MultiDiskStore
from kv_core.sync.stores.redis import RedisStore
from kv_core.sync.stores.simple import SimpleStore

SHARE = 1 if os.environ.get("KV_TEST_FULL") else 20
FORKING = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


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
            return partial((NETWORK | SETS)[name].make, "kv_core.sync", url, default_collection=request.node.name)


def in_threads(count, function):
    """Call a function with 0, 1, … in as many threads, all at once; the first error is raised."""
    together = threading.Barrier(count)

    def run(number):
        together.wait(10)
        return function(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


# Deadlines ------------------------------------------------------------------------------------------------------------


def test_the_deadline_is_told_to_what_is_called():
    """Inside the call, what is left is at most its seconds, and at most what an outer one has; outside, nothing."""
    assert 4 < within(5, left, 100) <= 5
    assert within(5, left, 1) == 1
    assert 1 < within(2, within, 5, left, 100) <= 2
    assert 1 < within(5, within, 2, left, 100) <= 2
    assert DEADLINE.get() is None
    with pytest.raises(LookupError):
        within(5, {}.__getitem__, "none")
    assert DEADLINE.get() is None


def test_nothing_begins_after_the_deadline():
    """What is asked after the deadline is not begun, and surely not applied."""
    begun = []

    def outer():
        time.sleep(0.002)
        within(5, begun.append, 1)

    with pytest.raises(StoreTimeoutError) as caught:
        within(0.001, outer)
    assert (begun, caught.value.outcome) == ([], "not_applied")


def test_threads_have_their_own_deadlines():
    """A deadline holds in the thread that set it."""
    seen = []

    def look():
        thread = threading.Thread(target=lambda: seen.append(left(100)))
        thread.start()
        thread.join()

    within(1, look)

    assert seen == [100]


def test_the_twins_of_waiting():
    """What the other side does at once is done in order here."""
    assert gather(1, 2, 3) == [1, 2, 3]
    assert gather() == []
    assert run_blocking(divmod, 7, 2) == (3, 1)


# One client a process -------------------------------------------------------------------------------------------------


class Pool:
    """Makes clients slowly, and remembers which were closed."""

    def __init__(self):
        self.made = []
        self.closed = []
        self.clients = PerLoop(self.make, self.closed.append)

    def make(self):
        time.sleep(0.005)
        self.made.append(object())
        return self.made[-1]

    def use(self, _=None):
        return self.clients.current() or self.clients.open()


def test_many_threads_at_first_use_make_one_client():
    """However many threads ask first, a process has one client; it is closed once, and then nobody gets one."""
    pool = Pool()

    assert len(set(in_threads(16, pool.use))) == len(pool.made) == 1
    pool.clients.close()
    pool.clients.close()
    assert pool.closed == pool.made
    with pytest.raises(StoreClosedError):
        pool.use()


@FORKING
def test_a_child_begins_anew():
    """After a fork the child makes its own client and leaves its parent's alone, even if a thread held the lock."""
    pool = Pool()
    mine = pool.use()
    held, go = threading.Event(), threading.Event()

    def hold():
        with pool.clients._lock:
            held.set()
            go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(5)

    def child():
        assert pool.use() is not mine
        pool.clients.close()
        assert pool.closed == pool.made[1:]

    Child(child).check()
    go.set()
    thread.join()
    assert pool.use() is mine
    assert pool.closed == []


def test_a_passed_client_is_not_closed():
    """A client that was passed in is given out until the store is closed, and stays open."""
    client = object()
    borrowed = Borrowed(client)
    assert borrowed.current() is borrowed.open() is client
    borrowed.close()
    assert borrowed.current() is None
    with pytest.raises(StoreClosedError):
        borrowed.open()


# Stores ---------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(131)
def test_sixteen_threads(make):
    """Sixteen threads that use one store each read what they wrote, and lose no count between them."""
    rounds = 2500 // SHARE
    with make() as store:

        def use(number):
            for turn in range(rounds):
                key = f"{number} {turn % 7}"
                store.put(key, {"of": key, "turn": turn})
                assert store.get(key) == {"of": key, "turn": turn}
                assert store.get_many([key, "none"]) == [{"of": key, "turn": turn}, None]
                store.increment("shared", initial=0)

        in_threads(16, use)

        assert store.get("shared") == {"value": 16 * rounds}
        if "keys" in capabilities(store):
            assert len(store.keys()) == 16 * min(7, rounds) + 1
        assert store.destroy_collection(store.default_collection) is True


@pytest.mark.faults(136)
def test_readers_see_whole_values(make):
    """While two threads put large values in turn, every read is one of them, whole."""
    values = [{"by": name, "text": name * 20_000} for name in "ab"]
    done = threading.Event()
    with make() as store:
        store.put("key", values[0])

        def use(number):
            if number < 2:
                for _ in range(1000 // SHARE):
                    store.put("key", values[number])
                done.set()
            else:
                while not done.is_set():
                    assert store.get("key") in values

        in_threads(4, use)
        assert store.delete("key") is True


@pytest.mark.faults(135)
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # a driver may be interrupted as it connects
@pytest.mark.parametrize("make", [*NETWORK, *SETS], indirect=True)
def test_an_interrupt_leaves_no_answer_behind(make):
    """After a KeyboardInterrupt in mid-call the next one gets its own answer; a value is old or new, whole."""
    chance = random.Random(135)
    armed = [False]
    interrupted = 0

    def interrupt(number, frame):
        if armed[0]:
            armed[0] = False
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    keys = [f"key {number}" for number in range(10)]
    try:
        with make() as store:
            store.put_many(keys, [{"of": key} for key in keys])
            for turn in range(2000 // SHARE):
                key = chance.choice(keys)
                timer = threading.Timer(chance.random() * 0.003, os.kill, (os.getpid(), signal.SIGUSR1))
                try:
                    armed[0] = True
                    timer.start()
                    while armed[0]:
                        store.put("whole", {"turn": turn, "text": f"{turn % 10}" * 20_000})
                        assert store.get(key) == {"of": key}
                except KeyboardInterrupt:
                    interrupted += 1
                timer.join()
                other = chance.choice(keys)
                assert store.get(other) == {"of": other}
                found = store.get("whole")
                assert found is None or found["text"] == f"{found['turn'] % 10}" * 20_000
            store.delete_many([*keys, "whole"])
        gc.collect()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert interrupted > 1000 // SHARE


def test_more_threads_than_connections(redis_server):
    """A hundred and fifty threads share a bounded number of connections; each waits for one, and none is refused."""
    with RedisStore(url=redis_server.url + "?client_name=threads", default_collection="threads") as store:
        before = sockets()

        def use(number):
            store.put(f"key {number}", {"n": number})
            return store.get(f"key {number}")

        assert in_threads(150, use) == [{"n": number} for number in range(150)]
        assert len(sockets() - before) <= 32
        assert store.destroy_collection("threads") is True


def test_waiting_for_a_connection_ends(own_redis):
    """A call that finds every connection busy until its deadline was not applied, and says so."""
    with RedisStore(url=own_redis.url + "?max_connections=1", timeout=0.3) as store:
        store.get("warm")
        own_redis.freeze()
        try:
            errors = in_threads(3, lambda number: failure(store, number))
        finally:
            own_redis.thaw()

    assert {type(error) for error in errors} == {StoreTimeoutError}
    assert sorted(error.outcome for error in errors) == ["not_applied", "not_applied", "unknown"]


def test_a_nearer_deadline_reaches_an_open_connection(own_redis):
    """A connection that was opened with time to spare is waited for no longer than the call's own deadline."""
    with RedisStore(url=own_redis.url, timeout=20) as store:
        store.put("key", {"n": 1})
        own_redis.freeze()
        try:
            start = time.monotonic()
            with pytest.raises(StoreTimeoutError), deadline(0.1):
                store.get("other")
            assert 0.09 < time.monotonic() - start < 2
        finally:
            own_redis.thaw()
        assert store.get("key") == {"n": 1}


def failure(store, number):
    """Return the error that a put ends with."""
    try:
        store.put(f"key {number}", {})
    except BaseKeyValueError as error:
        return error
    return None


@FORKING
@pytest.mark.faults(132)
def test_forked_children_read_their_own(make):
    """Four children and their parent read keys of their own at once; nobody gets another's answer."""
    reads = 10_000 // SHARE
    keys = [f"key {number}" for number in range(40)]
    with make() as store:
        store.put_many(keys, [{"of": key} for key in keys])
        assert in_threads(8, lambda number: store.get(keys[number])) == [{"of": key} for key in keys[:8]]

        def read(number):
            for turn in range(reads):
                key = keys[number::5][turn % 8]
                assert store.get(key) == {"of": key}

        children = [Child(partial(read, number)) for number in range(4)]
        read(4)
        for child in children:
            child.check()
        read(4)
        store.delete_many(keys)


@FORKING
@pytest.mark.faults(132)
@pytest.mark.parametrize("make", ["memory", "redis"], indirect=True)  # SQLite itself cannot be forked in a transaction
def test_a_fork_while_threads_are_busy(make):
    """A child that was forked while other threads used the store can use it at once."""
    with make() as store:
        store.put("key", {"n": 1})
        done = threading.Event()

        def busy():
            while not done.is_set():
                store.put("other", {"n": 2}, ttl=60)
                store.get_many(["key", "other"])

        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:

            def child():
                for _ in range(20):
                    assert store.get("key") == {"n": 1}
                    store.put("child", {"n": 3})

            for _ in range(200 // SHARE):
                Child(child).check()
        finally:
            done.set()
            for thread in threads:
                thread.join()
        store.delete_many(["key", "other", "child"])


@pytest.mark.faults(134)
def test_closing_while_threads_are_busy(make):
    """Closing ends the calls of other threads with their answer or StoreClosedError, and leaves nothing open."""
    before = sockets()
    store = make()
    store.put("key", {"n": 1})

    def use(number):
        if number == 0:
            time.sleep(0.02)
            store.close()
            return None
        try:
            while True:
                assert store.get("key") == {"n": 1}
        except BaseKeyValueError as error:
            return error

    errors = in_threads(8, use)[1:]

    assert {type(error) for error in errors} == {StoreClosedError}
    assert not opened_since(before)
    with make() as store:
        store.delete("key")


@pytest.mark.faults(134)
def test_a_store_that_is_dropped_leaves_nothing(make):
    """A store that nobody holds any more leaves no socket behind and no warning."""
    before = sockets()
    store = make()
    store.put("key", {"n": 1})
    store.delete("key")
    del store

    assert not opened_since(before)


def test_a_client_that_the_collector_closes_changes_no_context():
    """A context variable that is set while a dropped client closes is set in a context of its own.

    Python 3.11 collects garbage in the middle of a change of the current context, which another change would spoil.
    """
    seen = []
    var = ContextVar("var", default="outside")

    def close(client):
        seen.append((client, var.get()))
        var.set("closing")

    clients = PerLoop(object, close)
    made = clients.open()
    var.set("mine")
    del clients

    assert seen == [(made, "outside")]
    assert var.get() == "mine"
