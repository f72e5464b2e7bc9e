# Written by tools/mirror.py from tests/aio/wrappers/test_ttl_clamp.py: change that file instead.
"""Ttls are kept within bounds, whatever carries them."""

import pytest

from kv_core.capabilities import OPERATIONS
from kv_core.errors import ConfigurationError, InvalidTTLError
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract, ToldClock
from kv_core.sync.wrappers.ttl_clamp import TTLClampWrapper
from kv_core.ttl import KEEP

SETS_A_TTL = {
    "put": lambda store, ttl: store.put("new", {"value": 1}, ttl=ttl),
    "put_many": lambda store, ttl: store.put_many(["new"], [{"value": 1}], ttl=ttl),
    "put_if_absent": lambda store, ttl: store.put_if_absent("new", {"value": 1}, ttl=ttl),
    "put_if_present": lambda store, ttl: store.put_if_present("there", {"value": 1}, ttl=ttl),
    "put_if_unchanged": lambda store, ttl: store.put_if_unchanged("there", {"value": 1}, store.revision, ttl=ttl),
    "touch": lambda store, ttl: store.touch("there", ttl=ttl),
    "increment": lambda store, ttl: store.increment("new", initial=0, ttl=ttl),
}
HAS_TTL = [name for name, operation in OPERATIONS.items() if operation.has_ttl]


class TestTTLClampWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: TTLClampWrapper(inner(), min_ttl=0.000001, max_ttl=10_000_000_000)


@pytest.mark.parametrize("name", HAS_TTL)
@pytest.mark.parametrize(
    ("ttl", "missing", "kept"),
    [(1, None, 60), (60, None, 60), (70.5, None, 70.5), (500, None, 100), (None, None, None), (None, 80, 80)],
)
def test_every_operation_with_a_ttl_is_clamped(name, ttl, missing, kept):
    """None of the list lets a ttl past the bounds, and what has none gets the one for that."""
    store = MemoryStore(_clock=ToldClock())
    store.put("there", {"value": 0}, ttl=5)
    stack = TTLClampWrapper(store, 60, 100, missing_ttl=missing)
    stack.revision = (store.get_with_revision("there"))[1]

    SETS_A_TTL[name](stack, ttl)

    key = "new" if store.get("new") is not None else "there"
    assert store.ttl(key) == ({"value": 0 if name == "touch" else 1}, kept)


def test_on_a_real_store(backend):
    """The same by each store's own clock."""
    with backend() as store:
        stack = TTLClampWrapper(store, 60, 100, missing_ttl=80)
        stack.put_many(["a", "b", "c"], [{}, {}, {}], ttl=[1, 500, None])

        lefts = [left for _, left in store.ttl_many(["a", "b", "c"])]
        assert [59 < lefts[0] <= 60, 99 < lefts[1] <= 100, 79 < lefts[2] <= 80] == [True] * 3


def test_what_is_kept_stays():
    """KEEP leaves the expiry that there is, and a counter that is there keeps its own."""
    store = MemoryStore(_clock=ToldClock())
    stack = TTLClampWrapper(store, 60, 100, missing_ttl=80)
    store.put_many(["key", "counter"], [{"n": 1}, {"value": 1}], ttl=5)
    _, revision = stack.get_with_revision("key")

    assert stack.put_if_unchanged("key", {"n": 2}, revision, ttl=KEEP)
    assert stack.increment("counter", initial=5, ttl=70) == 2
    assert store.ttl_many(["key", "counter"]) == [({"n": 2}, 5), ({"value": 2}, 5)]


def test_bad_ttls_are_not_mended():
    """A ttl that is none is refused, not raised to the smallest."""
    store = MemoryStore()
    stack = TTLClampWrapper(store, 60, 100)

    for ttl in (0, -1, float("nan"), float("inf"), True, "5"):
        with pytest.raises(InvalidTTLError):
            stack.put("key", {}, ttl=ttl)
        with pytest.raises(InvalidTTLError):
            stack.put_many(["a", "b"], [{}, {}], ttl=[5, ttl])
    assert store.keys() == []


@pytest.mark.faults(61, 120)
@pytest.mark.parametrize(
    ("least", "most", "missing"),
    [
        (60, 10, None),
        (-1, 10, None),
        (0, 10, None),
        (float("nan"), 10, None),
        (1, float("nan"), None),
        (1, float("inf"), None),
        (1, 10, 0),
        (1, 10, float("nan")),
        (True, 10, None),
        ("1", 10, None),
        (1e11, 1e12, None),
    ],
)
def test_bounds_are_checked(backend, least, most, missing):
    """Bounds in the wrong order, and what is no ttl, are refused at construction."""
    with pytest.raises(ConfigurationError, match="TTLClampWrapper"):
        TTLClampWrapper(backend(), least, most, missing_ttl=missing)


def test_a_bound_beyond_any_ttl_lets_the_longest_pass():
    """A max_ttl that no store would take does no harm; a missing_ttl is clamped as any other."""
    store = MemoryStore(_clock=ToldClock())
    TTLClampWrapper(store, 1, 1e12, missing_ttl=1e11).put("key", {})

    assert store.ttl("key") == ({}, 1e10)
