"""Tenants of one store never meet."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kv_core.address import escape
from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers._names import NameWrapper
from kv_core.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
from kv_core.aio.wrappers.prefix_keys import PrefixKeysWrapper
from kv_core.aio.wrappers.single_collection import SingleCollectionWrapper
from kv_core.capabilities import ALL, SEGMENTS, capabilities
from kv_core.errors import ConfigurationError, PartialFailureError, UnsupportedOperationError


class TestPrefixKeysWrapper(StoreContract):
    """The contract, through a prefix, on a store in which others have entries too."""

    @pytest.fixture
    def make(self, inner):
        return lambda: PrefixKeysWrapper(inner(), "app:1%")


async def test_entries_lie_under_the_prefix():
    """The documented form."""
    store = MemoryStore()
    await PrefixKeysWrapper(store, "app1").put("user:123", {})

    assert await store.keys() == ["app1:user:123"]


@pytest.mark.faults(2, 4)
async def test_tenants_are_apart(backend):
    """A prefix that looks like another one and its separator is another tenant still."""
    store = backend()
    await PrefixKeysWrapper(store, "a__b", separator="__").put("c", {"tenant": "a__b"})
    await PrefixKeysWrapper(store, "a:").put("b", {"tenant": "a:"})

    assert await PrefixKeysWrapper(store, "a", separator="__").get("b__c") is None
    assert await PrefixKeysWrapper(store, "a").get(":b") is None
    assert await PrefixKeysWrapper(store, "a").keys() == []


async def test_destroying_is_for_the_tenant_alone(inner):
    """Destroy and destroy_collection leave other tenants' entries."""
    async with inner() as store:
        one, two = PrefixKeysWrapper(store, "one"), PrefixKeysWrapper(store, "two")
        for tenant in (one, two):
            await tenant.put_many(["a", "b"], [{}, {}])
            await tenant.put("c", {}, collection="other")

        assert await one.destroy_collection("default_collection")
        assert await one.collections() == ["other"]
        assert await one.destroy()
        assert not await one.destroy()
        assert sorted(await two.keys()) == ["a", "b"]
        assert await two.keys("other") == ["c"]
        assert sorted(await two.collections()) == ["default_collection", "other"]


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


async def test_a_name_wrapper_without_a_way_back_does_not_list():
    """Whoever overrides `_name` alone gets a wrapper that withdraws enumeration and destruction."""

    class Shout(NameWrapper):
        def __init__(self, key_value):
            self.key_value = key_value

        def _name(self, address):
            return address[0], address[1].upper()

    store = Shout(MemoryStore())
    await store.put("a", {})

    assert await store.get("A") == {}
    assert capabilities(store) == ALL - SEGMENTS["Enumerate"] - SEGMENTS["Destroy"]
    with pytest.raises(UnsupportedOperationError):
        await store.destroy()


@pytest.mark.faults(87)
@pytest.mark.parametrize("wrap", [PrefixKeysWrapper, PrefixCollectionsWrapper, SingleCollectionWrapper])
async def test_a_bulk_that_failed_in_part_names_the_callers_keys(halved, wrap):
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
            await call(["a", "p:a", "b"])
        assert list(caught.value.failed) == ["p:a"]
        assert caught.value.succeeded == ("a", "b")
        assert caught.value.collection == "users"
        assert (caught.value.outcome, caught.value.retryable) == ("unknown", True)
