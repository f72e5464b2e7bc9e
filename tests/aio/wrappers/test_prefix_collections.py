"""Collections are kept under a prefix, and tenants never meet."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
from kv_core.aio.wrappers.prefix_keys import PrefixKeysWrapper
from kv_core.aio.wrappers.single_collection import SingleCollectionWrapper
from kv_core.errors import ConfigurationError, InvalidCollectionError


class TestPrefixCollectionsWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: PrefixCollectionsWrapper(inner(), "prod:1%")


async def test_collections_lie_under_the_prefix():
    """The documented form, the default collection's too."""
    store = MemoryStore()
    stack = PrefixCollectionsWrapper(store, "prod")
    await stack.put("1", {}, collection="users")
    await stack.put("1", {})

    assert sorted(await store.collections()) == ["prod:default_collection", "prod:users"]
    assert sorted(await stack.collections()) == ["default_collection", "users"]


@pytest.mark.faults(2, 4)
async def test_tenants_are_apart(backend):
    """A prefix that looks like another one and its separator is another tenant still."""
    async with backend() as store:
        await PrefixCollectionsWrapper(store, "a:b").put("key", {"tenant": "a:b"}, collection="c")
        await PrefixCollectionsWrapper(store, "a:").put("key", {"tenant": "a:"}, collection="c")
        tenant = PrefixCollectionsWrapper(store, "a")

        for collection in ("b:c", ":c", "c", "%3A:c", "%3Ab:c"):
            assert await tenant.get("key", collection=collection) is None
        assert await tenant.collections() == []
        assert await tenant.destroy() is False
        assert len(await store.collections()) == 2


@pytest.mark.faults(2, 4)
@pytest.mark.parametrize("wrapper", [PrefixCollectionsWrapper, PrefixKeysWrapper])
@given(
    joined=st.text(st.sampled_from("ab:%2_"), min_size=3, max_size=7),
    here=st.integers(1, 6),
    there=st.integers(1, 6),
    separator=st.sampled_from([":", "::", "_", "ab"]),
)
def test_no_two_addresses_meet(wrapper, joined, here, there, separator):
    """However a name is split into prefix and rest, no other prefix has it."""
    assume(here < len(joined) and there < len(joined) and here != there)
    places = []
    for cut in (here, there):
        stack = wrapper(MemoryStore(), joined[:cut].removesuffix(separator) or "x", separator)
        places.append(stack._name((joined[cut:], joined[cut:])))
        assert stack._original(places[-1]) == (joined[cut:], joined[cut:])

    same = {joined[:cut].removesuffix(separator) or "x" for cut in (here, there)}
    assert len(same) == 1 or places[0] != places[1]


async def test_prefixes_of_prefixes_add_up(inner):
    """Nested wrappers are a tenant of a tenant; destroying the inner one leaves the outer one's."""
    async with inner() as store:
        outer = PrefixCollectionsWrapper(store, "a")
        nested = PrefixCollectionsWrapper(outer, "b")
        await nested.put("key", {"n": 1}, collection="users")
        await outer.put("key", {"n": 2}, collection="users")
        await PrefixCollectionsWrapper(store, "b").put("key", {"n": 3}, collection="users")

        assert await store.get("key", collection="a:b:users") == {"n": 1}
        assert await nested.destroy() is True
        assert await outer.collections() == ["users"]
        assert sorted(await store.collections()) == ["a:users", "b:users"]


@pytest.mark.faults(2)
async def test_orders_of_name_wrappers_keep_tenants_apart(backend):
    """Whatever the order of prefixes and a single collection, each tenant lists and destroys its own."""
    async with backend() as store:
        stacks = [
            lambda name: PrefixCollectionsWrapper(SingleCollectionWrapper(store, "one"), name),
            lambda name: PrefixKeysWrapper(SingleCollectionWrapper(store, "two"), name),
            lambda name: SingleCollectionWrapper(PrefixCollectionsWrapper(store, name), "three"),
            lambda name: SingleCollectionWrapper(PrefixKeysWrapper(store, name), "four"),
        ]
        for make in stacks:
            for name in ("a", "a:", "b"):
                await make(name).put("key", {"tenant": name}, collection="users")
        for make in stacks:
            assert await make("a:").destroy() is True
            assert await make("a:").collections() == []
            for name in ("a", "b"):
                assert await make(name).collections() == ["users"]
                assert await make(name).keys("users") == ["key"]
                assert await make(name).get("key", collection="users") == {"tenant": name}


async def test_destroying_needs_the_tenants_own_name():
    """destroy_collection takes a collection's name as the tenant knows it."""
    store = MemoryStore()
    stack = PrefixCollectionsWrapper(store, "a")
    await stack.put("key", {}, collection="users")

    assert await stack.destroy_collection("a:users") is False
    with pytest.raises(InvalidCollectionError):
        await stack.destroy_collection("")
    assert await stack.destroy_collection("users") is True


@pytest.mark.faults(4, 120)
@pytest.mark.parametrize(
    ("prefix", "separator"),
    [
        ("", ":"),
        ("\ud800", ":"),
        (None, ":"),
        (1, ":"),
        ("a", ""),
        ("a", "%"),
        ("a", "x%"),
        ("a", None),
        ("a", "\ud800"),
    ],
)
def test_options_are_checked(prefix, separator):
    """An empty prefix or separator, or one that is not text, is refused at construction."""
    with pytest.raises(ConfigurationError, match="PrefixCollectionsWrapper"):
        PrefixCollectionsWrapper(MemoryStore(), prefix, separator)
