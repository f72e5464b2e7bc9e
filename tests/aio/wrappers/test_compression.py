"""Large values are kept compressed, small ones as they are, and what is read back is bounded."""

import random

import pytest

from kv_core import codec
from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.compression import CompressionWrapper
from kv_core.compression import compressor
from kv_core.errors import ConfigurationError, DecompressionError, EntryTooLargeError

LARGE = {"text": "all work and no play " * 1000, "raw": b"\0\xff" * 500}
MARKERS = [
    {"__kv_compressed__": 1, "algorithm": "gzip", "data": compressor("gzip").compress(codec.encode_value({"n": 1}))},
    {"__kv_compressed__": 1, "algorithm": "gzip", "data": b"damaged"},
    {"__kv_compressed__": 2},
    {"__compressed_data__": "H4sI", "__compression_algorithm__": "gzip"},
    {"__kv_encrypted__": 1, "data": b""},
    {"__encrypted_data__": ""},
    {"__kv_anything__": {"__kv_compressed__": 1}},
]


class TestCompressionWrapper(StoreContract):
    """The contract, through the wrapper."""

    @pytest.fixture
    def make(self, inner):
        return lambda: CompressionWrapper(inner(), min_size_to_compress=0)


@pytest.mark.parametrize("algorithm", ["gzip", "zstd"])
async def test_large_values_are_kept_small(inner, algorithm):
    """What is stored is bytes of a compressed value, not text of them, and comes back as it was."""
    async with inner() as store:
        stack = CompressionWrapper(store, algorithm=algorithm)
        await stack.put("key", LARGE)
        stored = await store.get("key")

        assert stored.keys() == {"__kv_compressed__", "algorithm", "data"}
        assert type(stored["data"]) is bytes
        assert len(stored["data"]) < 500
        assert await stack.get("key") == LARGE
        other = CompressionWrapper(store, algorithm="zstd" if algorithm == "gzip" else "gzip")
        assert await other.get("key") == LARGE


async def test_small_and_incompressible_values_are_kept_as_they_are():
    """Below the limit, or where nothing is won, the store has the value itself."""
    store = MemoryStore()
    stack = CompressionWrapper(store)
    small, noise = {"n": "x" * 1000}, {"raw": random.Random(4).randbytes(5000)}
    await stack.put_many(["small", "noise"], [small, noise])

    assert await store.get_many(["small", "noise"]) == [small, noise]
    assert await stack.get_many(["small", "noise"]) == [small, noise]


async def test_the_smallest_size_is_exact():
    """A value of that many bytes of MessagePack is compressed, one byte less is not."""
    store = MemoryStore()
    value = {"text": "x" * 500}
    size = len(codec.encode_value(value))
    await CompressionWrapper(store, min_size_to_compress=size).put("at", value)
    await CompressionWrapper(store, min_size_to_compress=size + 1).put("below", value)

    assert "__kv_compressed__" in await store.get("at")
    assert await store.get("below") == value


@pytest.mark.faults(28, 37)
@pytest.mark.parametrize("least", [0, 1024])
@pytest.mark.parametrize("value", [{}, *MARKERS], ids=lambda value: next(iter(value), "empty"))
async def test_a_users_marker_is_a_value(backend, value, least):
    """A value that looks like one of ours comes back as it was, whatever its size."""
    async with backend() as store:
        stack = CompressionWrapper(store, min_size_to_compress=least)
        await stack.put("key", value)
        await stack.put_many(["many"], [value])

        assert await stack.get("key") == value
        assert await stack.get_many(["many"]) == [value]
        twice = CompressionWrapper(stack, min_size_to_compress=least)
        await twice.put("twice", value)
        assert await twice.get("twice") == value


@pytest.mark.faults(38)
async def test_what_could_not_be_read_back_is_not_kept(backend):
    """A value beyond the limit is refused when it is put, and the old one stays."""
    async with backend() as store:
        stack = CompressionWrapper(store, max_size=100_000)
        await stack.put("key", {"n": 1})
        size = len(codec.encode_value({"raw": b""}))
        await stack.put("fits", {"raw": bytes(100_000 - 3 - size)})  # a longer length takes three bytes more

        large = {"raw": bytes(100_000)}
        for put in (lambda: stack.put("key", large), lambda: stack.put_many(["key"], [large])):
            with pytest.raises(EntryTooLargeError, match="'key'"):
                await put()
        assert await stack.get("key") == {"n": 1}
        assert len((await stack.get("fits"))["raw"]) == 100_000 - 3 - size


@pytest.mark.faults(38)
@pytest.mark.parametrize("algorithm", ["gzip", "zstd"])
async def test_a_planted_bomb_is_refused(backend, algorithm):
    """A few KB in the store that would become 60 MB raise DecompressionError, in every read."""
    bomb = {"__kv_compressed__": 1, "algorithm": algorithm, "data": compressor(algorithm).compress(bytes(60_000_000))}
    async with backend() as store:
        stack = CompressionWrapper(store, max_size=2**20)
        await store.put("key", bomb)

        for read in (stack.get, stack.ttl, stack.get_with_revision):
            with pytest.raises(DecompressionError, match="'key'"):
                await read("key")
        for read in (stack.get_many, stack.ttl_many):
            with pytest.raises(DecompressionError, match="'key'"):
                await read(["other", "key"])


def planted():
    """Stored values that look compressed, and are not what was written."""
    good = compressor("gzip").compress(codec.encode_value({"n": "canary"}))
    yield "cut", {"algorithm": "gzip", "data": good[:-1]}
    yield "flipped", {"algorithm": "gzip", "data": good[:15] + bytes([good[15] ^ 4]) + good[16:]}
    yield "another algorithm", {"algorithm": "zstd", "data": good}
    yield "unknown algorithm", {"algorithm": "canary", "data": good}
    yield "no algorithm", {"algorithm": ["canary"], "data": good}
    yield "version", {"__kv_compressed__": 2, "algorithm": "gzip", "data": good}
    yield "text", {"algorithm": "gzip", "data": "canary"}
    yield "more", {"algorithm": "gzip", "data": good, "canary": 1}
    yield "less", {"algorithm": "gzip"}
    for name, plain in (("list", b"\x91\x01"), ("nothing", b""), ("number", b"\x01"), ("deep", b"\x81\xa1a" * 10**5)):
        yield name, {"algorithm": "gzip", "data": compressor("gzip").compress(plain)}


@pytest.mark.faults(40, 90)
@pytest.mark.parametrize("stored", dict(planted()).values(), ids=dict(planted()))
async def test_what_is_damaged_is_named_and_not_shown(backend, stored):
    """Damage raises DecompressionError with the key, and without anything of what is stored."""
    store = backend()
    stack = CompressionWrapper(store)
    await store.put("key", {"__kv_compressed__": 1} | stored)

    with pytest.raises(DecompressionError, match="'key'") as caught:
        await stack.get("key")
    assert "canary" not in str(caught.value)
    assert (caught.value.key, caught.value.collection) == ("key", "default_collection")


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    "options",
    [
        {"min_size_to_compress": -1},
        {"min_size_to_compress": 1.5},
        {"max_size": 0},
        {"max_size": True},
        {"max_size": None},
        {"algorithm": "lzma"},
    ],
)
def test_options_are_checked(options):
    """An option out of range is refused at construction."""
    with pytest.raises(ConfigurationError):
        CompressionWrapper(MemoryStore(), **options)
