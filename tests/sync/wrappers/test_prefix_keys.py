# Written by tools/mirror.py from tests/aio/wrappers/test_prefix_keys.py: change that file instead.
"""Tenants of one store never meet."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kv_core.address import escape
from kv_core.capabilities import ALL, SEGMENTS, capabilities
from kv_core.errors import ConfigurationError, PartialFailureError, UnsupportedOperationError
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.testing import StoreContract
from kv_core.sync.wrappers._names import NameWrapper
from kv_core.sync.wrappers.prefix_collections import PrefixCollectionsWrapper
from kv_core.sync.wrappers.prefix_keys import PrefixKeysWrapper
from kv_core.sync.wrappers.single_collection import SingleCollectionWrapper


class TestPrefixKeysWrapper(StoreContract):
    """The contract, through a prefix, on a store in which others have entries too."""

    @pytest.fixture
    def make(self, inner):
        return lambda: PrefixKeysWrapper(inner(), "app:1%")


def test_entries_lie_under_the_prefix():
    """The documented form."""
    store = MemoryStore()
    PrefixKeysWrapper(store, "app1").put("user:123", {})

    assert store.keys() == ["app1:user:123"]


@pytest.mark.faults(2, 4)
def test_tenants_are_apart(backend):
    """A prefix that looks like another one and its separator is another tenant still."""
    store = backend()
    PrefixKeysWrapper(store, "a__b", separator="__").put("c", {"tenant": "a__b"})
    PrefixKeysWrapper(store, "a:").put("b", {"tenant": "a:"})

    assert PrefixKeysWrapper(store, "a", separator="__").get("b__c") is None
    assert PrefixKeysWrapper(store, "a").get(":b") is None
    assert PrefixKeysWrapper(store, "a").keys() == []


def test_destroying_is_for_the_tenant_alone(inner):
    """Destroy and destroy_collection leave other tenants' entries."""
    with inner() as store:
        one, two = PrefixKeysWrapper(store, "one"), PrefixKeysWrapper(store, "two")
        for tenant in (one, two):
            tenant.put_many(["a", "b"], [{}, {}])
            tenant.put("c", {}, collection="other")

        assert one.destroy_collection("default_collection")
        assert one.collections() == ["other"]
        assert one.destroy()
        assert not one.destroy()
        assert sorted(two.keys()) == ["a", "b"]
        assert two.keys("other") == ["c"]
        assert sorted(two.collections()) == ["default_collection", "other"]


def meet(names, one, two):
    return names(*one) == names(*two)


@pytest.mark.faults(2)
@given(st.text(st.sampled_from("ab:%2"), min_size=3, max_size=6), st.integers(1, 5), st.integers(1, 5))
def test_no_two_addresses_meet(joined, here, there):
    """However a name is split into prefix and key, no other prefix has it."""
    assume(here != there)
    here, there = here % len(joined), there % len(joined)
    assume(here and there and here != there)
    one, two = (joined[:here], joined[here:]), (joined[:there], joined[there:])

    assert not meet(lambda prefix, key: escape(prefix, ":") + ":" + key, one, two)


def test_the_property_can_fail():
    """The control: joining without escaping lets tenants meet."""
    assert meet(lambda prefix, key: f"{prefix}:{key}", ("a", "b:c"), ("a:b", "c"))


@pytest.mark.faults(4)
@pytest.mark.parametrize("prefix", ["", "\ud800", None, 1])
def test_the_prefix_is_checked(prefix):
    """An empty prefix, or one that is not text, is refused at construction."""
    with pytest.raises(ConfigurationError, match="prefix"):
        PrefixKeysWrapper(MemoryStore(), prefix)


def test_a_name_wrapper_without_a_way_back_does_not_list():
    """Whoever overrides `_name` alone gets a wrapper that withdraws enumeration and destruction."""

    class Shout(NameWrapper):
        def __init__(self, key_value):
            self.key_value = key_value

        def _name(self, address):
            return address[0], address[1].upper()

    store = Shout(MemoryStore())
    store.put("a", {})

    assert store.get("A") == {}
    assert capabilities(store) == ALL - SEGMENTS["Enumerate"] - SEGMENTS["Destroy"]
    with pytest.raises(UnsupportedOperationError):
        store.destroy()


@pytest.mark.faults(87)
@pytest.mark.parametrize("wrap", [PrefixKeysWrapper, PrefixCollectionsWrapper, SingleCollectionWrapper])
def test_a_bulk_that_failed_in_part_names_the_callers_keys(halved, wrap):
    """The error tells which of the caller's keys failed, and not by which names the wrapped store knows them."""
    halves = halved(MemoryStore())
    store = wrap(halves, "p")
    halves.away = {store._name(("users", "p:a"))[1]}

    for call in (
        lambda keys: store.put_many(keys, [{}, {}, {}], collection="users"),
        lambda keys: store.get_many(keys, collection="users"),
        lambda keys: store.ttl_many(keys, collection="users"),
        lambda keys: store.delete_many(keys, collection="users"),
    ):
        with pytest.raises(PartialFailureError) as caught:
            call(["a", "p:a", "b"])
        assert list(caught.value.failed) == ["p:a"]
        assert caught.value.succeeded == ("a", "b")
        assert caught.value.collection == "users"
        assert (caught.value.outcome, caught.value.retryable) == ("unknown", True)
