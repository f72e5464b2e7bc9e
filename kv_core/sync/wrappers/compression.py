# Written by tools/mirror.py from kv_core/aio/wrappers/compression.py: change that file instead.
"""Compress values."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final

from typing_extensions import override

from kv_core import codec
from kv_core.checks import whole
from kv_core.compression import ALGORITHMS, compressor
from kv_core.errors import BaseKeyValueError, DecompressionError, EntryTooLargeError, MissingDependencyError
from kv_core.spellings import also
from kv_core.sync.protocols import KeyValue
from kv_core.sync.wrappers._values import Address, ValueWrapper

_MARK: Final = "__kv_compressed__"
_FIELDS: Final = {_MARK, "algorithm", "data"}
_VERSION: Final = 1


class CompressionWrapper(ValueWrapper):
    """Keep large values compressed, and small ones as they are.

    What is decompressed is bounded. A value that looks like a compressed one is compressed whatever its size, so that
    the two cannot be confused.
    """

    _outside_encryption: ClassVar[str] = "can compress nothing"
    _hides: ClassVar[bool] = False

    @also(store="key_value")
    def __init__(
        self,
        key_value: KeyValue,
        min_size_to_compress: int = 1024,
        algorithm: str = "gzip",
        max_size: int = 64 * 2**20,
    ) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            min_size_to_compress: Values below it are kept as they are, in bytes of MessagePack.
            algorithm: `"gzip"`, or `"zstd"` (faster and smaller; it needs `kvstack[zstd]`). It is for writing: both
                are read.
            max_size: The largest value that is compressed or read back, in bytes of MessagePack. As Python objects a
                value of many small parts takes a multiple of that.

        Raises:
            ConfigurationError: An option is out of range.
            MissingDependencyError: The package for zstd is not there.
        """
        self.key_value = key_value
        self.min_size_to_compress = whole(min_size_to_compress, "CompressionWrapper: min_size_to_compress", least=0)
        self.max_size = whole(max_size, "CompressionWrapper: max_size (bytes)")
        self.algorithm = algorithm
        self._compress = compressor(algorithm).compress

    @override
    def _encode(self, value: dict[str, Any], address: Address, expires_at: datetime | None) -> dict[str, Any]:
        payload = codec.encode_value(value)
        marked = _MARK in value
        if len(payload) < self.min_size_to_compress and not marked:
            return value
        if len(payload) > self.max_size:
            message = (
                f"{address[1]!r} is {len(payload):,} bytes; CompressionWrapper reads back up to {self.max_size:,}."
            )
            raise EntryTooLargeError(message, key=address[1], collection=address[0])
        data = self._compress(payload)
        if len(data) >= len(payload) and not marked:
            return value
        return {_MARK: _VERSION, "algorithm": self.algorithm, "data": data}

    @override
    def _decode(self, value: dict[str, Any], address: Address) -> dict[str, Any]:
        if _MARK not in value:
            return value
        collection, key = address
        try:
            return codec.decode_value(self._decompress(value))
        except (DecompressionError, MissingDependencyError, ValueError, RecursionError) as error:
            reason = error.message if isinstance(error, BaseKeyValueError) else "What was compressed is not a value."
            message = f"{reason} (key {key!r} in {collection!r})"
            raise DecompressionError(message, key=key, collection=collection) from None

    def _decompress(self, value: dict[str, Any]) -> bytes | bytearray:
        known = value.keys() == _FIELDS and value[_MARK] == _VERSION and value["algorithm"] in ALGORITHMS
        if not known or type(value["data"]) is not bytes:
            raise DecompressionError("A compressed value has a form that this version does not know.")
        return compressor(value["algorithm"]).decompress(value["data"], self.max_size)
