"""Times to live are positive and finite, never cut short, and measured by one clock."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kv_core import ttl
from kv_core.errors import BatchLengthError, InvalidTTLError

NOW = datetime(2025, 1, 1, tzinfo=UTC)
TTLS = st.floats(min_value=0, max_value=ttl.MAX_TTL, exclude_min=True) | st.integers(1, int(ttl.MAX_TTL))
BAD = [
    0,
    -1,
    -0.0,
    0.0,
    float("nan"),
    float("inf"),
    float("-inf"),
    True,
    False,
    "5",
    b"5",
    ttl.KEEP,
    [],
    10**5000,
    -(10**5000),
    1.1e10,
]


@pytest.mark.faults(47, 49)
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: type(bad).__name__)
def test_other_ttls_are_refused(bad):
    """What is not a positive, finite number of seconds is refused, and the error can be printed."""
    with pytest.raises(InvalidTTLError) as caught:
        ttl.check_ttl(bad)
    assert 10 < len(str(caught.value)) < 200
    with pytest.raises(InvalidTTLError):
        ttl.each_ttl([5, bad], 2)


@given(seconds=TTLS | st.none())
def test_positive_numbers_are_ttls(seconds):
    """Any positive number of seconds is a ttl, and None is no expiry."""
    ttl.check_ttl(seconds)
    assert ttl.each_ttl(seconds, 3) == [seconds] * 3
    assert ttl.each_ttl((seconds, None), 2) == [seconds, None]


@pytest.mark.parametrize(("given_ttls", "count"), [([], 1), ([1], 2), ([1, 2], 1), ((None,), 0)])
def test_one_ttl_for_each(given_ttls, count):
    """A sequence of ttls has one for each entry."""
    with pytest.raises(BatchLengthError, match=str(count)):
        ttl.each_ttl(given_ttls, count)


@pytest.mark.parametrize("bad", ["12", b"12", {1, 2}, {1: 2}, object()])
def test_ttls_come_in_a_sequence(bad):
    """A str, a set or a dict is not a sequence of ttls."""
    with pytest.raises(InvalidTTLError):
        ttl.each_ttl(bad, 2)


@pytest.mark.faults(50, 51)
@given(seconds=TTLS)
def test_nothing_ends_early(seconds):
    """The end and the milliseconds are rounded up, by less than a microsecond and a millisecond."""
    end = ttl.expiry(NOW, seconds)
    left = ttl.remaining(end, NOW)

    assert seconds - 1e-5 * (seconds > 1e8) <= left + 1e-9 * seconds
    assert left <= seconds + 1e-6 + 1e-9 * seconds
    assert end > NOW
    assert ttl.milliseconds(seconds) >= seconds * 1000
    assert ttl.milliseconds(seconds) < seconds * 1000 + 1.001
    assert ttl.milliseconds(seconds) >= 1


def test_no_ttl_is_no_end():
    """Without a ttl there is no end, and nothing remains to count."""
    assert ttl.expiry(NOW, None) is None
    assert ttl.remaining(None, NOW) is None
    assert ttl.remaining(NOW - timedelta(seconds=2), NOW) == -2


def test_the_longest_ttl_has_an_end():
    """The longest ttl that is accepted ends within the calendar."""
    assert ttl.expiry(datetime(2100, 1, 1, tzinfo=UTC), ttl.MAX_TTL).year < 9999


def test_the_clocks_of_this_machine():
    """The wall clock is in UTC, and the monotonic one is Python's."""
    assert ttl.SYSTEM_CLOCK.now().tzinfo is UTC
    assert abs(ttl.SYSTEM_CLOCK.now().timestamp() - time.time()) < 60
    assert abs(ttl.SYSTEM_CLOCK.monotonic() - time.monotonic()) < 60
    assert repr(ttl.KEEP) == "KEEP"
