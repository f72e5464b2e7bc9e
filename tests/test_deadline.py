"""A deadline travels with the call, and only ever comes nearer."""

import contextvars
import threading

import pytest

from kv_core import deadline as module
from kv_core.deadline import DEADLINE, deadline, left, unsent
from kv_core.errors import StoreTimeoutError


@pytest.fixture
def clock(monkeypatch):
    """A monotonic clock that is told."""
    now = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def test_without_a_deadline_the_timeout_is_left(clock):
    """No deadline leaves the whole timeout."""
    assert left(5.0) == 5.0


def test_what_is_left_runs_out(clock):
    """What is left is the lesser of the timeout and the time until the deadline."""
    with deadline(2.0):
        assert left(5.0) == 2.0
        assert left(1.0) == 1.0
        clock[0] += 1.5
        assert left(5.0) == 0.5
        clock[0] += 0.5
        with pytest.raises(StoreTimeoutError) as caught:
            left(5.0)
    assert (caught.value.outcome, caught.value.retryable) == ("not_applied", True)
    assert DEADLINE.get() is None


def test_an_inner_deadline_only_comes_nearer(clock):
    """Inside a deadline a later one changes nothing, and an earlier one holds until its block ends."""
    with deadline(2.0):
        with deadline(9.0):
            assert left(100.0) == 2.0
        with deadline(1.0):
            assert left(100.0) == 1.0
        assert left(100.0) == 2.0


def test_nothing_begins_after_the_deadline(clock):
    """A block is not entered once the outer deadline has passed."""
    with deadline(1.0):
        clock[0] += 1.0
        with pytest.raises(StoreTimeoutError), deadline(5.0):
            pytest.fail("it was entered")
    assert DEADLINE.get() is None


def test_an_error_ends_the_deadline(clock):
    """However a block ends, its deadline ends with it."""
    with pytest.raises(LookupError), deadline(1.0):
        raise LookupError
    assert left(5.0) == 5.0


def test_threads_and_contexts_are_apart(clock):
    """A deadline holds in its context, is copied with it, and is not seen by other threads."""
    seen = []
    with deadline(1.0):
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: seen.append(DEADLINE.get()))
        thread.start()
        thread.join()
    assert seen == [None]
    assert context.run(left, 5.0) == 1.0


def test_what_was_marked_unsent():
    """An error counts as unsent if it, or one that led to it, was marked so by a driver."""
    marked = ConnectionError()
    marked.kv_unsent = True
    try:
        try:
            raise marked
        except ConnectionError as error:
            raise TimeoutError from error
    except TimeoutError as error:
        caused = error
    try:
        try:
            raise marked
        except ConnectionError:
            raise LookupError  # noqa: B904 - the context is what is tested
    except LookupError as error:
        met = error

    assert unsent(marked) is unsent(caused) is unsent(met) is True
    assert unsent(None) is unsent(ValueError()) is False
