"""Compress bytes, and decompress no more than a limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from kv_core.errors import ConfigurationError, DecompressionError, MissingDependencyError

ALGORITHMS: Final = ("gzip", "zstd")
_GZIP_WINDOW: Final = 31  # zlib's number for gzip's header and the largest window
_PIECE: Final = 2**20  # what comes out at once: zlib holds it twice for a moment


class Compressor(NamedTuple):
    """A way to compress.

    Attributes:
        compress: Returns the compressed bytes.
        decompress: Takes compressed bytes and the most bytes that may come out; raises `DecompressionError`.
    """

    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes | bytearray]


def compressor(algorithm: str) -> Compressor:
    """Return the way to compress that has this name.

    Raises:
        ConfigurationError: There is none.
        MissingDependencyError: `"zstd"` needs a package.
    """
    if algorithm == "gzip":
        return Compressor(_gzip, _gunzip)
    if algorithm == "zstd":
        return _zstd()
    raise ConfigurationError(f"algorithm is 'gzip' or 'zstd', not {algorithm!r}.")


def _gzip(data: bytes) -> bytes:
    return zlib.compress(data, wbits=_GZIP_WINDOW)


def _gunzip(data: bytes, limit: int) -> bytes | bytearray:
    decompressor = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        found: bytes | bytearray = decompressor.decompress(data, min(limit + 1, _PIECE))
        if not decompressor.eof:
            found = bytearray(found)
        while not decompressor.eof and len(found) <= limit:
            piece = decompressor.decompress(decompressor.unconsumed_tail, min(limit + 1 - len(found), _PIECE))
            if not piece and not decompressor.eof:
                break  # it ends too soon
            found += piece
    except zlib.error as error:
        raise _damaged() from error
    if len(found) > limit:
        raise _too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise _damaged()
    return found


def _zstd() -> Compressor:
    try:
        import zstandard
    except ImportError as error:
        raise MissingDependencyError("algorithm='zstd' needs zstandard: pip install 'kvstack[zstd]'") from error
    library: Any = zstandard

    def decompress(data: bytes, limit: int) -> bytes:
        try:
            size = library.get_frame_parameters(data).content_size
            if size == library.CONTENTSIZE_UNKNOWN:
                raise _damaged()  # what we write says how long it is
            if size > limit:
                raise _too_large(limit)
            if size == 0 and data != compress(b""):
                raise _damaged()  # the library would look no further
            found: bytes = library.ZstdDecompressor().decompress(data, allow_extra_data=False)  # into *size* bytes
        except library.ZstdError as error:
            raise _damaged() from error
        if len(found) != size:
            raise _damaged()
        return found

    def compress(data: bytes) -> bytes:
        packed: bytes = library.ZstdCompressor(write_checksum=True).compress(data)
        return packed

    return Compressor(compress, decompress)


def _damaged() -> DecompressionError:
    return DecompressionError("A compressed value is damaged, or was compressed in another way.")


def _too_large(limit: int) -> DecompressionError:
    return DecompressionError(f"A compressed value is larger than the {limit:,} bytes that may be read.")
