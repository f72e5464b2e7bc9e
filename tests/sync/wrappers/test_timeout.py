# Written by tools/mirror.py from tests/aio/wrappers/test_timeout.py: change that file instead.
"""Operations end in time, and the deadline travels to what is inside."""

import pytest
from clock import stopwatch

from kv_core.deadline import left
from kv_core.errors import ConfigurationError, StoreTimeoutError
from kv_core.sync._runtime import run_blocking
from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.stores.redis import RedisStore
from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers.base import BaseWrapper
from kv_core.sync.wrappers.timeout import TimeoutWrapper


class TestTimeoutWrapper(StoreContract):
    """The contract, under a deadline."""

    @pytest.fixture
    def make(self, inner):
        return lambda: TimeoutWrapper(inner(), 5.0)


class TestInterruptingTimeoutWrapper(StoreContract):
    """The contract, under a deadline that may leave a call behind."""

    @pytest.fixture
    def make(self, inner):
        return lambda: TimeoutWrapper(inner(), 5.0, interrupt=True)


class Asleep(BaseWrapper):
    """A blocking store that knows no deadline."""

    def __init__(self, key_value, release):
        self.key_value = key_value
        self.release = release

    def get(self, key, *, collection=None):
        run_blocking(self.release.wait, 20)
        return self.key_value.get(key, collection=collection)


def test_a_call_that_takes_too_long_ends(own_redis):
    """A frozen server costs the timeout; a write that was sent has an unknown outcome, and later replies are right."""
    with TimeoutWrapper(RedisStore(url=own_redis.url), 0.2) as store:
        store.put("key", {"n": 1})
        own_redis.freeze()

        with stopwatch() as watch, pytest.raises(StoreTimeoutError) as caught:
            store.put("key", {"n": 2})
        assert watch.seconds < 1
        assert caught.value.outcome == "unknown"
        assert caught.value.retryable
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.key == "key"
        assert "'key'" in str(caught.value)

        own_redis.thaw()
        store.put("other", {"n": 3})
        assert store.get("other") == {"n": 3}
        assert store.get("key") in ({"n": 1}, {"n": 2})


@pytest.mark.faults(82)
def test_interrupting_a_store_that_knows_no_deadline(backend):
    """With interrupt=True nobody waits for a blocking call longer than the timeout: 50 ms, give or take 25."""
    import threading

    release = threading.Event()
    store = TimeoutWrapper(Asleep(backend(), release), 0.05, interrupt=True)
    took = []
    for _ in range(10):  # others keep this machine busy at times: one in ten shows what the wrapper can do
        with stopwatch() as watch, pytest.raises(StoreTimeoutError) as caught:
            store.get("key")
        assert caught.value.outcome == "unknown"
        took.append(watch.seconds)
        if watch.seconds < 0.075:
            break
    release.set()

    assert all(0.045 < seconds < 2 for seconds in took)
    assert min(took) < 0.075


@pytest.mark.faults(83)
def test_a_write_that_was_applied_before_the_timeout(backend):
    """When the reply comes too late the write may have happened, and the error says so."""
    import threading

    release = threading.Event()
    inner = backend()
    inner.get("key")

    class Late(BaseWrapper):
        def __init__(self):
            self.key_value = inner

        def put(self, key, value, *, collection=None, ttl=None):
            self.key_value.put(key, value, collection=collection, ttl=ttl)
            run_blocking(release.wait, 20)

    with pytest.raises(StoreTimeoutError) as caught:
        TimeoutWrapper(Late(), 0.2, interrupt=True).put("key", {"n": 1})
    release.set()

    assert caught.value.outcome == "unknown"
    assert caught.value.retryable
    assert inner.get("key") == {"n": 1}


def test_the_shorter_deadline_holds():
    """Inside, what is left is never more than the outermost timeout allows."""
    seen = []

    class Noting(BaseWrapper):
        def __init__(self, key_value):
            self.key_value = key_value

        def get(self, key, *, collection=None):
            seen.append(left(60.0))
            return self.key_value.get(key, collection=collection)

    TimeoutWrapper(TimeoutWrapper(Noting(MemoryStore()), 30.0), 2.0).get("key")
    TimeoutWrapper(TimeoutWrapper(Noting(MemoryStore()), 2.0), 30.0).get("key")

    assert all(1 < seconds <= 2 for seconds in seen)
    assert left(60.0) == 60.0


def test_the_deadline_becomes_the_busy_timeout(tmp_path):
    """A locked database file ends a write at the wrapper's deadline, not at the store's own."""
    import sqlite3

    with TimeoutWrapper(DiskStore(directory=tmp_path, timeout=20.0), 0.2) as store:
        store.put("key", {"n": 1})
        other = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with stopwatch() as watch, pytest.raises(StoreTimeoutError):
            store.put("key", {"n": 2})
        assert watch.seconds < 2
        assert store.get("key") == {"n": 1}

        other.execute("ROLLBACK")
        other.close()


@pytest.mark.faults(120)
@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "5", True])
def test_the_timeout_is_checked(timeout):
    """A timeout that is not more than 0 is refused at construction."""
    with pytest.raises(ConfigurationError, match="TimeoutWrapper"):
        TimeoutWrapper(MemoryStore(), timeout)
