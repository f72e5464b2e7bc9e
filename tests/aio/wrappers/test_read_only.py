"""Nothing is written, whatever is asked."""

import pytest

from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.wrappers._calls import Call
from kv_core.aio.wrappers.compression import CompressionWrapper
from kv_core.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
from kv_core.aio.wrappers.prefix_keys import PrefixKeysWrapper
from kv_core.aio.wrappers.read_only import _READS, ReadOnlyWrapper
from kv_core.capabilities import OPERATIONS, Operation, capabilities
from kv_core.entry import Revision
from kv_core.errors import ReadOnlyError, UnsupportedOperationError

WRITES = [name for name, operation in OPERATIONS.items() if operation.writes]
ARGUMENTS = {
    "put": ("key", {"n": 2}),
    "put_many": (["key", "new"], [{"n": 2}, {"n": 2}]),
    "delete": ("key",),
    "delete_many": (["key"],),
    "put_if_absent": ("new", {"n": 2}),
    "put_if_present": ("key", {"n": 2}),
    "put_if_unchanged": ("key", {"n": 2}, Revision("none")),
    "delete_if_unchanged": ("key", Revision("none")),
    "increment": ("counter",),
    "destroy_collection": ("default_collection",),
}
ANSWERS = {"put": None, "put_many": None, "delete_many": 0, "cull": 0}


async def write(stack, name):
    options = {"ttl": 5} if name == "touch" else {}
    return await getattr(stack, name)(*ARGUMENTS.get(name, ("key",) if name == "touch" else ()), **options)


@pytest.fixture
async def store(backend):
    """A store with an entry and a counter."""
    store = backend()
    await store.put_many(["key", "counter"], [{"n": 1}, {"value": 1}])
    return store


async def unchanged(store):
    return await store.ttl_many(["key", "counter", "new"]) == [({"n": 1}, None), ({"value": 1}, None), (None, None)]


@pytest.mark.faults(94)
@pytest.mark.parametrize("name", WRITES)
async def test_every_write_is_refused(name, store):
    """Every operation of the list that writes raises ReadOnlyError, and changes nothing."""
    stack = ReadOnlyWrapper(store)

    with pytest.raises(ReadOnlyError, match=name):
        await write(stack, name)
    assert await unchanged(store)


async def test_the_error_names_the_key(store):
    """One key is named, with the collection if that was, and of a bulk operation the collection."""
    stack = ReadOnlyWrapper(store)

    with pytest.raises(ReadOnlyError, match="put of 'key' was not made") as caught:
        await stack.put("key", {})
    assert (caught.value.key, caught.value.collection) == ("key", None)
    with pytest.raises(ReadOnlyError, match="delete_many in 'users' was not made") as caught:
        await stack.delete_many(["key"], collection="users")
    assert (caught.value.key, caught.value.collection) == (None, "users")
    with pytest.raises(ReadOnlyError, match="put was not made"):
        await stack.put(5, {})


@pytest.mark.faults(94)
async def test_writing_nothing_is_refused_too(store):
    """put_many and delete_many of no keys are writes."""
    stack = ReadOnlyWrapper(store)

    with pytest.raises(ReadOnlyError):
        await stack.put_many([], [])
    with pytest.raises(ReadOnlyError):
        await stack.delete_many([])


@pytest.mark.faults(94)
@pytest.mark.parametrize("name", WRITES)
async def test_told_not_to_raise_it_does_nothing(name, store):
    """With raise_on_write=False a write answers None, False or 0; increment, which cannot, raises."""
    stack = ReadOnlyWrapper(store, raise_on_write=False)

    if name == "increment":
        with pytest.raises(ReadOnlyError):
            await write(stack, name)
    else:
        answer = await write(stack, name)
        assert repr(answer) == repr(ANSWERS.get(name, False))
    assert await unchanged(store)


async def test_reads_pass(store):
    """Every operation that reads works, and is all that the stack claims."""
    stack = ReadOnlyWrapper(store)

    assert await stack.get("key") == {"n": 1}
    assert await stack.get_many(["key", "new"]) == [{"n": 1}, None]
    assert await stack.ttl("key") == ({"n": 1}, None)
    assert await stack.ttl_many(["key"]) == [({"n": 1}, None)]
    assert (await stack.get_with_revision("key"))[0] == {"n": 1}
    assert sorted(await stack.keys()) == ["counter", "key"]
    assert sorted([(key,) async for key in stack.iter_keys()]) == [("counter",), ("key",)]
    assert await stack.collections() == ["default_collection"]
    assert await stack.ping() >= 0
    assert capabilities(stack) == capabilities(store) - set(WRITES)


@pytest.mark.faults(94)
def test_what_passes_is_what_reads():
    """The list of what passes is the list of what does not write: neither can be forgotten."""
    assert OPERATIONS.keys() - set(WRITES) == _READS


@pytest.mark.faults(94)
async def test_a_new_operation_is_refused(monkeypatch):
    """An operation of a later version is refused until somebody decides, even if it says that it does not write."""
    monkeypatch.setitem(OPERATIONS, "rename", Operation("rename"))
    call = Call("rename", ("key", "new"))

    with pytest.raises(ReadOnlyError, match="rename"):
        await ReadOnlyWrapper(MemoryStore())._around(call)
    assert "rename" not in capabilities(ReadOnlyWrapper(MemoryStore()))


@pytest.mark.parametrize("outside", [CompressionWrapper, lambda store: PrefixKeysWrapper(store, "a")])
@pytest.mark.parametrize("raising", [True, False])
async def test_what_is_outside_ends(outside, raising, store):
    """A wrapper outside that would read and write until it succeeds says at once that it cannot."""
    await outside(store).put("counter", {"value": 1})
    stack = outside(ReadOnlyWrapper(store, raise_on_write=raising))

    with pytest.raises(UnsupportedOperationError):
        await stack.increment("counter")
    with pytest.raises(UnsupportedOperationError):
        await PrefixKeysWrapper(stack, "b").destroy()
    with pytest.raises(UnsupportedOperationError):
        await PrefixCollectionsWrapper(stack, "b").destroy_collection("users")
    if isinstance(stack, PrefixKeysWrapper):
        with pytest.raises(UnsupportedOperationError):
            await stack.destroy_collection("default_collection")
    assert await outside(store).get("counter") == {"value": 1}
