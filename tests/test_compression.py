"""What is decompressed is what was compressed, within a limit; everything else is a DecompressionError."""

import os
import random
import struct
import subprocess
import sys
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from kv_core.compression import ALGORITHMS, compressor
from kv_core.errors import ConfigurationError, DecompressionError, MissingDependencyError

FLIPS = 1_000_000 if os.environ.get("KV_TEST_FULL") else 25_000
MEGABYTE = 2**20


@pytest.fixture(params=ALGORITHMS)
def algorithm(request):
    """Each algorithm in turn."""
    return request.param


@given(st.binary(max_size=5000), st.sampled_from(ALGORITHMS))
def test_bytes_come_back(data, algorithm):
    """Whatever was compressed comes back, to the last byte."""
    way = compressor(algorithm)

    assert way.decompress(way.compress(data), len(data)) == data


@pytest.mark.faults(38)
@pytest.mark.parametrize("size", [1, 1000, MEGABYTE - 1, MEGABYTE, MEGABYTE + 1, 3 * MEGABYTE + 7])
def test_the_limit_is_exact(algorithm, size):
    """What has as many bytes as the limit comes back, and one byte more does not."""
    way = compressor(algorithm)
    packed = way.compress(bytes(size))

    assert way.decompress(packed, size) == bytes(size)
    with pytest.raises(DecompressionError, match="larger than"):
        way.decompress(packed, size - 1)


@pytest.mark.faults(38)
def test_a_bomb_takes_no_more_memory_than_the_limit(algorithm):
    """60 MB that come out of a few KB are refused, with no more memory than the limit and a tenth at the worst."""
    script = """if True:
        import resource, sys
        from kv_core.compression import compressor
        from kv_core.errors import DecompressionError

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        way, bomb, limit = compressor(sys.argv[1]), sys.stdin.buffer.read(), 16 * 2**20
        before = peak()
        try:
            way.decompress(bomb, limit)
        except DecompressionError:
            print(len(bomb), peak() - before)
    """
    bomb = compressor(algorithm).compress(bytes(60 * 1_000_000))
    told = subprocess.run([sys.executable, "-c", script, algorithm], input=bomb, capture_output=True, check=True)
    size, taken = map(int, told.stdout.split())

    assert size < 80_000
    assert taken <= 1.1 * 16 * MEGABYTE


@pytest.mark.faults(38)
@pytest.mark.parametrize("told", [300, 60_000])
def test_a_frame_that_lies_about_its_size_is_damaged(told):
    """A zstd frame that says it is small, and then goes on for hundreds of megabytes, is cut off where it lied."""
    head = b"\x28\xb5\x2f\xfd" + bytes([0x40, 0x58]) + struct.pack("<H", told - 256)
    block = struct.pack("<I", (131_072 << 3) | 0b10)[:3] + b"a"
    last = struct.pack("<I", (131_072 << 3) | 0b11)[:3] + b"a"

    with pytest.raises(DecompressionError, match="damaged"):
        compressor("zstd").decompress(head + 2000 * block + last, MEGABYTE)


@pytest.mark.faults(40)
def test_a_cut_payload_is_damaged(algorithm):
    """However much of a payload is missing, it is not taken for the whole."""
    packed = compressor(algorithm).compress(random.Random(1).randbytes(200) * 3)

    for length in range(len(packed)):
        with pytest.raises(DecompressionError):
            compressor(algorithm).decompress(packed[:length], 10_000)


@pytest.mark.faults(40)
def test_what_comes_after_a_payload_is_damage(algorithm):
    """A payload followed by anything, another payload among it, is refused."""
    packed = compressor(algorithm).compress(b"x" * 100)

    for more in (b"x", packed, bytes(8)):
        with pytest.raises(DecompressionError):
            compressor(algorithm).decompress(packed + more, 10_000)


@pytest.mark.faults(40, 46)
def test_flipped_bits_are_found(algorithm):
    """A payload with bits flipped raises DecompressionError, or was flipped where it says nothing."""
    chance = random.Random(2)
    data = b'{"name": "somebody", "n": 12345}' * 3
    packed = compressor(algorithm).compress(data)
    decompress = compressor(algorithm).decompress

    for _ in range(FLIPS):
        flipped = bytearray(packed)
        for _ in range(chance.randint(1, 3)):
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        try:
            found = decompress(bytes(flipped), 10_000)
        except DecompressionError:
            continue
        assert found == data


@pytest.mark.faults(46)
@given(
    st.binary(max_size=300), st.sampled_from(ALGORITHMS), st.sampled_from([b"", b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd"])
)
def test_random_bytes_raise_nothing_else(data, algorithm, head):
    """Bytes that nobody compressed raise DecompressionError alone."""
    try:
        found = compressor(algorithm).decompress(head + data, 10_000)
    except DecompressionError:
        return
    assert len(found) <= 10_000


@pytest.mark.faults(40)
@pytest.mark.parametrize(
    ("algorithm", "packed"),
    [
        ("gzip", zlib.compress(b"x" * 50)),
        ("gzip", zlib.compress(b"x" * 50, wbits=-15)),
        ("gzip", zstandard.ZstdCompressor().compress(b"x" * 50)),
        ("zstd", zlib.compress(b"x" * 50, wbits=31)),
        ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 50)),
        ("zstd", b"\x50\x2a\x4d\x18\x04\0\0\0abcd"),
    ],
    ids=["zlib", "raw", "zstd as gzip", "gzip as zstd", "no size", "skippable"],
)
def test_other_formats_are_refused(algorithm, packed):
    """Formats that we do not write are not read, near as they may be."""
    with pytest.raises(DecompressionError, match="damaged"):
        compressor(algorithm).decompress(packed, 10_000)


@pytest.mark.faults(120)
@pytest.mark.parametrize("algorithm", ["", "lzma", "GZIP", None, 1])
def test_an_algorithm_has_a_known_name(algorithm):
    """Anything but the names of the algorithms is refused."""
    with pytest.raises(ConfigurationError, match="'gzip' or 'zstd'"):
        compressor(algorithm)


@pytest.mark.faults(122)
def test_zstd_says_what_it_needs(monkeypatch):
    """Without its package the error names the extra; gzip does not ask for it."""
    monkeypatch.setitem(sys.modules, "zstandard", None)

    assert compressor("gzip")
    with pytest.raises(MissingDependencyError, match=r"kvstack\[zstd\]"):
        compressor("zstd")
