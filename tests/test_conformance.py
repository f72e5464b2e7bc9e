"""One script of calls has the same answers on every store, and the documentation says so: `make matrix` prints it."""

import pytest
from conformance.matrix import ALIKE, FOUND, columns_of, differences, matrix, note
from conformance.replay import load, reference, replay
from published import publish, read
from stores import Handle, each_form, each_store, opened

from kv_core import errors
from kv_core.capabilities import ALL
from kv_core.sync.stores.memory import MemoryStore

SCRIPT = load()
SHOWN = {
    "BatchLengthError",
    "ConfigurationError",
    "CounterOverflowError",
    "InvalidCollectionError",
    "InvalidKeyError",
    "InvalidRevisionError",
    "InvalidTTLError",
    "MissingKeyError",
    "NotACounterError",
    "SerializationError",
}


def test_the_script_is_long_and_shows_everything():
    """It has more than 200 calls, each operation several times, and every error that a call can be refused with."""
    answers = {line.answer for line in SCRIPT}

    assert len(SCRIPT) >= 200
    assert min(sum(line.operation == name for line in SCRIPT) for name in ALL) >= 3
    assert {answer for answer in answers if hasattr(errors, answer)} == SHOWN


@each_store
@pytest.mark.faults(116)
def test_a_store_answers_the_script(case, side, place, pytestconfig):
    """Every call has the answer that was kept, the same value or an error of the same name; and that is published."""
    with opened(case, side, place) as store:
        found = differences(store, SCRIPT)
    note(FOUND, store, found, case.name)

    assert [f"{line}, but {given}" for line, given in found] == []
    if not pytestconfig.getoption("publish"):
        assert columns_of(read("stores/conformance.md", "matrix")).get(case.name) == FOUND[case.name], "`make tables`"


@each_form
@pytest.mark.faults(116)
def test_several_servers_answer_the_script(case, side, place):
    """On clusters, behind sentinels and on several nodes every call has the answer that was kept."""
    with opened(case, side, place) as store:
        assert [f"{line}, but {given}" for line, given in differences(store, SCRIPT)] == []


@pytest.mark.faults(116)
def test_the_answers_are_those_that_were_kept():
    """What all stores are compared with is what was written down when the script was made."""
    assert replay(reference(ALL), SCRIPT) == [line.answer for line in SCRIPT]


def test_the_published_matrix(pytestconfig):
    """The table has every store and operation, and what this process found; what it did not meet stays as it is."""
    columns = columns_of(read("stores/conformance.md", "matrix")) | FOUND

    publish(pytestconfig, "stores/conformance.md", "matrix", matrix(columns, SCRIPT))


class Careless(MemoryStore):
    """A store that calls every collection by its lower case."""

    def _place(self, collection):
        return super()._place(collection).lower()


class Forgetful(MemoryStore):
    """A store whose bulk write forgets the ttls."""

    def _write_many(self, collection, writes):
        super()._write_many(collection, [write._replace(ttl=None) for write in writes])


class Wrapping(MemoryStore):
    """A store whose counters have no end."""

    def increment(self, key, amount=1, **options):
        try:
            return super().increment(key, amount, **options)
        except errors.CounterOverflowError:
            return 0


class Unnamed(MemoryStore):
    """A store whose errors have no name of ours."""

    def _place(self, collection):
        try:
            return super()._place(collection)
        except errors.InvalidCollectionError as error:
            raise ValueError from error


@pytest.mark.parametrize(
    ("kind", "operation"),
    [(Careless, "get"), (Forgetful, "ttl"), (Wrapping, "increment"), (Unnamed, "put")],
)
def test_a_broken_store_is_found_out(kind, operation):
    """A store that does one thing otherwise has differences, and their number in its column."""
    store = Handle(kind(), run=lambda answer: answer)
    columns = {}

    found = differences(store, SCRIPT)
    note(columns, store, found, "broken")

    assert columns["broken"][operation] == str(sum(line.operation == operation for line, _ in found))
    assert columns["broken"]["ping"] == ALIKE
