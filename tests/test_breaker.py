"""The state of a circuit breaker: told by a clock, and by calls that end late."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from forks import Child

from kv_core.breaker import Breaker

FORKING = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class Clock:
    """A clock that a test tells."""

    def __init__(self):
        self.seconds = 100.0

    def monotonic(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    """A breaker that opens at the third failure in a row, for ten seconds."""
    return Breaker(3, 10.0, clock)


def fail(breaker, times):
    for _ in range(times):
        breaker.fail(breaker.enter())


def test_failures_in_a_row_open_it(breaker):
    """A success between failures begins the count anew; the threshold opens, and nobody gets in."""
    fail(breaker, 2)
    breaker.succeed(breaker.enter())
    fail(breaker, 2)
    assert breaker.state == "closed"

    fail(breaker, 1)

    assert breaker.state == "open"
    assert breaker.enter() is None


@pytest.mark.faults(75)
def test_half_open_admits_one_probe(breaker, clock):
    """After reset_timeout one call gets in; its success closes the breaker for all."""
    fail(breaker, 3)
    clock.seconds += 9.999
    assert breaker.enter() is None
    clock.seconds += 0.001
    assert breaker.state == "half-open"

    probe = breaker.enter()
    assert [breaker.enter() for _ in range(5)] == [None] * 5
    clock.seconds += 60  # however long the probe takes
    assert breaker.enter() is None
    breaker.succeed(probe)

    assert breaker.state == "closed"
    assert None not in [breaker.enter() for _ in range(5)]
    fail(breaker, 2)
    assert breaker.state == "closed"


def test_a_probe_that_fails_opens_it_again(breaker, clock):
    """One failure is enough then, and the time begins anew."""
    fail(breaker, 3)
    clock.seconds += 10
    breaker.fail(breaker.enter())

    assert breaker.state == "open"
    clock.seconds += 9
    assert breaker.enter() is None
    clock.seconds += 1
    assert breaker.enter() is not None


@pytest.mark.faults(75)
def test_a_probe_that_was_cancelled_makes_room_for_another(breaker, clock):
    """A probe that ended without telling anything is followed by the next one."""
    fail(breaker, 3)
    clock.seconds += 10
    breaker.leave(breaker.enter())

    assert breaker.state == "half-open"
    assert breaker.enter() is not None
    assert breaker.enter() is None


@pytest.mark.faults(75)
@pytest.mark.parametrize("ends", ["succeed", "fail", "leave"])
def test_what_ends_late_does_not_count(breaker, clock, ends):
    """A call from before the breaker opened neither closes it, nor lets a second probe in, nor opens it again."""
    late = [breaker.enter() for _ in range(3)]
    fail(breaker, 3)

    getattr(breaker, ends)(late[0])
    assert breaker.enter() is None
    clock.seconds += 10
    probe = breaker.enter()
    getattr(breaker, ends)(late[1])
    assert breaker.enter() is None
    clock.seconds += 10
    assert breaker.enter() is None
    breaker.succeed(probe)
    fail(breaker, 2)
    getattr(breaker, ends)(late[2])

    assert breaker.state == "closed"
    fail(breaker, 1)
    assert breaker.state == "open"


@pytest.mark.faults(75)
def test_threads_that_ask_at_once(breaker, clock):
    """Of many threads at the moment of half-open, one is let in, each time anew."""
    barrier = threading.Barrier(8)

    def ask(_):
        barrier.wait(5)
        return breaker.enter()

    with ThreadPoolExecutor(8) as threads:
        fail(breaker, 3)
        for _ in range(50):
            clock.seconds += 10
            [probe] = [era for era in threads.map(ask, range(8)) if era is not None]
            breaker.fail(probe)


@FORKING
def test_a_child_does_not_wait_for_the_probe_of_its_parent(breaker, clock):
    """A probe that is out when the process forks ends in the parent alone: the child makes its own."""
    fail(breaker, 3)
    clock.seconds += 10
    probe = breaker.enter()

    def child():
        assert breaker.enter() is not None
        assert breaker.enter() is None

    Child(child).check()
    assert breaker.enter() is None
    breaker.succeed(probe)
    assert breaker.state == "closed"
