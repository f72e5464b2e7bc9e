"""Everything is kept in one collection, in which collections stay apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.single_collection import SingleCollectionWrapper
from kv_core.capabilities import capabilities
from kv_core.errors import ConfigurationError, InvalidCollectionError, InvalidKeyError
from kv_core.settings import parse_stack


class TestSingleCollectionWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: SingleCollectionWrapper(inner(), "one:%")


async def test_everything_lies_in_one_collection():
    """The documented form."""
    store = MemoryStore()
    stack = SingleCollectionWrapper(store, "all")
    await stack.put("123", {}, collection="users")
    await stack.put("1", {})

    assert await store.collections() == ["all"]
    assert sorted(await store.keys("all")) == ["default_collection::1", "users::123"]


@pytest.mark.faults(1, 2)
async def test_collections_stay_apart(backend):
    """Two addresses whose joined names would be alike are two entries."""
    pairs = [("a", "b::c"), ("a::b", "c"), ("a:", ":c"), ("a%3A%3Ab", "c"), ("a", ""), ("a::", ""), ("all", "k")]
    async with backend() as store:
        stack = SingleCollectionWrapper(store, "all")
        for collection, key in pairs:
            await stack.put(key, {"at": [collection, key]}, collection=collection)

        for collection, key in pairs:
            assert await stack.get(key, collection=collection) == {"at": [collection, key]}
        assert sorted(await stack.collections()) == sorted({collection for collection, _ in pairs})
        assert sorted(await stack.keys("a")) == ["", "b::c"]
        assert await stack.destroy_collection("a") is True
        assert len(await store.keys("all")) == len(pairs) - 2


@pytest.mark.faults(1)
@given(st.text("a:%23", min_size=1, max_size=5), st.text("a:%23", max_size=5))
def test_names_lead_back(collection, key):
    """A name in the collection tells exactly one address."""
    stack = SingleCollectionWrapper(MemoryStore(), "all")

    assert stack._original(stack._name((collection, key))) == (collection, key)


async def test_what_others_put_there_is_left_alone(inner):
    """Entries of the collection that are not the wrapper's are neither listed nor destroyed."""
    async with inner() as store:
        stack = SingleCollectionWrapper(store, "all")
        await stack.put("key", {}, collection="users")
        await store.put("foreign", {}, collection="all")
        await store.put("users::key", {}, collection="other")

        assert await stack.collections() == ["users"]
        assert await stack.destroy() is True
        assert await store.keys("all") == ["foreign"]
        assert await store.keys("other") == ["users::key"]


async def test_the_default_collection_can_be_named():
    """What names no collection goes to the wrapper's default, or the store's own."""
    store = MemoryStore(default_collection="main")
    assert SingleCollectionWrapper(store, "all").default_collection == "main"
    stack = SingleCollectionWrapper(store, "all", default_collection="users")
    await stack.put("key", {})

    assert await store.keys("all") == ["users::key"]
    assert await stack.get("key", collection="users") == {}
    assert capabilities(stack) == capabilities(store)


async def test_names_are_checked():
    """Keys and collections are checked as by a store, although they become parts of a key."""
    stack = SingleCollectionWrapper(MemoryStore(), "all")

    for key in (1, None, "\ud800"):
        with pytest.raises(InvalidKeyError):
            await stack.put(key, {})
    for collection in ("", 1, "\ud800"):
        with pytest.raises(InvalidCollectionError):
            await stack.put("key", {}, collection=collection)
    with pytest.raises(InvalidKeyError):
        await stack.get_many("abc")


@pytest.mark.faults(120)
@pytest.mark.parametrize(("collection", "default"), [("", None), (None, None), (1, None), ("\ud800", None), ("a", "")])
def test_options_are_checked(collection, default):
    """What cannot be a collection is refused at construction."""
    with pytest.raises(ConfigurationError, match="SingleCollectionWrapper"):
        SingleCollectionWrapper(MemoryStore(), collection, default_collection=default)


@pytest.mark.parametrize("name", ["collection", "single_collection"])
def test_settings_name_the_collection(name):
    """Settings take both spellings."""
    wrappers = [{"wrapper": "single_collection", name: "all"}]

    assert parse_stack({"LOCATION": "memory://", "WRAPPERS": wrappers}).build_sync().collection == "all"
