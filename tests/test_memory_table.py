"""The table of memory stores agrees with a plain model, is bounded, and lives through threads and forks."""

import threading
from itertools import count

import pytest
from forks import Child
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kv_core.memory_table import MemoryTable, named_table
from kv_core.ttl import KEEP

COLLECTIONS = st.sampled_from(["a", "b"])
KEYS = st.sampled_from(["x", "y", "z"])
TTLS = st.sampled_from([None, 1.0, 2.0, 5.0])


class Model(RuleBasedStateMachine):
    """The table and a dict of (data, end) do the same on a clock that is told."""

    @initialize()
    def begin(self):
        self.table = MemoryTable()
        self.time = 0.0
        self.model = {}
        self.number = count()

    def now(self):
        return self.time

    def alive(self, place):
        data, end = self.model.get(place, (None, 0.0))
        return data if end is None or end > self.time else None

    def data(self):
        return b"%d" % next(self.number)

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def wait(self, seconds):
        self.time += seconds

    @rule(collection=COLLECTIONS, key=KEYS, ttl=TTLS, when=st.sampled_from(["always", "absent", "present"]))
    def write(self, collection, key, ttl, when):
        there = self.alive((collection, key)) is not None
        data = self.data()
        kept = self.table.write(collection, key, data, ttl, self.now, when=when)
        assert kept is (when == "always" or there is (when == "present"))
        if kept:
            self.model[collection, key] = data, None if ttl is None else self.time + ttl

    @rule(collection=COLLECTIONS, keys=st.lists(KEYS), ttl=TTLS)
    def write_many(self, collection, keys, ttl):
        records = [(key, self.data(), ttl) for key in keys]
        self.table.write_many(collection, records, self.now)
        for key, data, _ in records:
            self.model[collection, key] = data, None if ttl is None else self.time + ttl

    @rule(collection=COLLECTIONS, key=KEYS)
    def remove(self, collection, key):
        there = self.alive((collection, key)) is not None
        assert self.table.remove(collection, key, self.now) is there
        self.model.pop((collection, key), None)

    @rule(collection=COLLECTIONS, key=KEYS, ttl=TTLS | st.just(KEEP), delete=st.booleans(), stale=st.booleans())
    def swap(self, collection, key, ttl, delete, stale):
        record = self.table.read(collection, key, self.now)
        serial = 0 if record is None or stale else record.serial
        data = None if delete else self.data()
        swapped = self.table.swap(collection, key, serial, data, ttl, self.now)
        assert swapped is (record is not None and not stale)
        if swapped and delete:
            del self.model[collection, key]
        elif swapped:
            end = self.model[collection, key][1] if ttl is KEEP else None if ttl is None else self.time + ttl
            self.model[collection, key] = data, end

    @rule(collection=COLLECTIONS | st.none())
    def clear(self, collection):
        places = [place for place in self.model if collection in {None, place[0]}]
        assert self.table.clear(collection, self.now) is any(self.alive(place) is not None for place in places)
        for place in places:
            del self.model[place]

    @rule()
    def cull(self):
        self.table.cull(self.now)
        assert self.table.cull(self.now) == 0
        assert len(self.table) == sum(self.alive(place) is not None for place in self.model)

    @invariant()
    def they_agree(self):
        for collection in "ab":
            for key in "xyz":
                record = self.table.read(collection, key, self.now)
                assert (record and record.data) == self.alive((collection, key))
        alive = [place for place in self.model if self.alive(place) is not None]
        assert sorted(self.table.collections(self.now)) == sorted({collection for collection, _ in alive})
        assert sorted(self.table.keys("a", self.now)) == sorted(key for collection, key in alive if collection == "a")


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestModel = Model.TestCase


def test_every_state_has_a_number_of_its_own():
    """A record that was dropped and written again has another serial number, so no revision fits twice."""
    table = MemoryTable()
    seen = set()
    for _ in range(100):
        table.write("c", "k", b"same", None, lambda: 0.0)
        seen.add(table.read("c", "k", lambda: 0.0).serial)
        table.remove("c", "k", lambda: 0.0)

    assert len(seen) == 100


def test_limits_hold_in_each_collection():
    """The least recently marked or written record goes; a limit counts each collection alone."""
    table = MemoryTable()
    for key in "abc":
        table.write("c", key, b"", None, lambda: 0.0, limit=3)
        table.write("other", key, b"", None, lambda: 0.0)
    table.read("c", "a", lambda: 0.0, mark=True)
    table.write("c", "d", b"", None, lambda: 0.0, limit=3)

    assert sorted(table.keys("c", lambda: 0.0)) == ["a", "c", "d"]
    assert len(table) == 6


def test_a_written_record_counts_as_used():
    """Writing a record again makes it the most recently used."""
    table = MemoryTable()
    for key in "abcab":
        table.write("c", key, b"", None, lambda: 0.0, limit=3)
    table.write("c", "d", b"", None, lambda: 0.0, limit=3)

    assert sorted(table.keys("c", lambda: 0.0)) == ["a", "b", "d"]


@pytest.mark.parametrize("operation", ["remove", "clear", "drop"])
def test_notes_of_ends_are_bounded(operation):
    """Notes of when records end are forgotten with the records, however those go."""
    table = MemoryTable()
    for number in range(5000):
        table.write("c", str(number), b"", 1000.0, lambda: 0.0)
        if operation == "remove":
            table.remove("c", str(number), lambda: 0.0)
        elif operation == "clear":
            table.clear("c", lambda: 0.0)
        else:
            table.swap("c", str(number), table.read("c", str(number), lambda: 0.0).serial, None, None, lambda: 0.0)

    assert len(table) == 0
    assert len(table._ends) < 200


def test_a_write_costs_the_same_among_many_collections():
    """Collections are not counted through at every write."""

    class Counting(MemoryTable):
        counted = 0

        def __len__(self):
            self.counted += 1
            return super().__len__()

    table = Counting()
    for number in range(5000):
        table.write(str(number), "k", b"", 1000.0, lambda: 0.0)

    assert table.counted < 20
    assert len(table) == len(table._ends) == 5000


def test_tables_of_one_name_are_one():
    """A name stands for one table in a process, whoever asks first."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(named_table("tests: one table"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(map(id, found))) == 1
    assert named_table("tests: another") is not found[0]


def test_readers_need_no_lock():
    """While other threads write, drop and evict, readers see whole records or none."""
    table = MemoryTable()
    done = threading.Event()
    errors = []

    def read():
        try:
            while not done.is_set():
                record = table.read("c", "k", lambda: 0.0, mark=True)
                assert record is None or record.data == b"x" * 100
        except BaseException as error:  # noqa: BLE001 - a thread has no other way to tell
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(3000):
        table.write("c", "k", b"x" * 100, 1.0, lambda: 0.0, limit=2)
        table.write("c", str(number), b"", None, lambda: 0.0, limit=2)
        if number % 3 == 0:
            table.clear("c", lambda: 0.0)
    done.set()
    for thread in threads:
        thread.join()

    assert not errors


@pytest.mark.faults(132)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_has_a_copy():
    """After a fork the child goes on with a copy of its own, even if a thread held the lock."""
    table = named_table("tests: forks")
    table.write("c", "k", b"parent", None, lambda: 0.0)
    held, go = threading.Event(), threading.Event()

    def hold():
        with table.lock:
            held.set()
            go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)

    def child():
        assert table.read("c", "k", lambda: 0.0).data == b"parent"
        assert table.write("c", "k", b"child", None, lambda: 0.0)
        assert named_table("tests: forks") is table

    Child(child).check()
    go.set()
    thread.join()
    assert table.read("c", "k", lambda: 0.0).data == b"parent"
