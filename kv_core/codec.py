"""Check values, and turn entries into bytes and back.

An entry is JSON; if its value holds bytes it is MessagePack. The first byte tells which, so there is no setting.
"""

from __future__ import annotations

import hashlib
from types import NoneType
from typing import Any, Final

import msgspec

from kv_core.entry import VERSION, Entry
from kv_core.errors import CorruptEntryError, SerializationError, UnsupportedEntryVersionError

MAX_DEPTH: Final = 200
"""How deep dicts and lists may be nested."""
MAX_CONTAINERS: Final = 1_000_000
"""How many dicts and lists a value may hold."""

_PLAIN: Final = frozenset({str, bool, NoneType})
_NESTED: Final = frozenset({dict, list, tuple})
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1
_BRACE: Final = ord("{")

_json_encode = msgspec.json.Encoder().encode
_msgpack_encode = msgspec.msgpack.Encoder().encode
_json_decode = msgspec.json.Decoder(Entry).decode
_msgpack_decode = msgspec.msgpack.Decoder(Entry).decode
_msgpack_value: Any = msgspec.msgpack.Decoder(dict[str, Any]).decode


class _Version(msgspec.Struct):
    version: int


def check_value(value: object) -> bool:  # noqa: PLR0912 - one branch a type
    """Refuse a value that would not come back exactly as it is; return whether it holds bytes.

    The walk goes level by level, not by recursion, so deep, shared and circular values end too.

    Raises:
        SerializationError: The value, or something in it, is not one of the types that a store keeps.
    """
    if type(value) is not dict:
        raise SerializationError(f"A value is a dict, not {type(value).__name__}; put it in one, as in {{'value': …}}.")
    binary = False
    level: list[Any] = [value]
    seen = 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            items = node
            if node.__class__ is dict:
                for key in node:
                    if type(key) is not str:
                        raise SerializationError(f"A value has a dict key of type {type(key).__name__}; use str keys.")
                items = node.values()
            for item in items:
                kind = type(item)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - what is checked here
                if kind in _PLAIN:
                    continue
                if kind is int:
                    if not _LOWEST <= item <= _HIGHEST:
                        raise SerializationError("A value has an integer outside -2**63 … 2**64-1; store it as a str.")
                elif kind is float:
                    if item - item != 0.0:  # nan and the infinities: the difference is nan
                        raise SerializationError(
                            "A value has a float that is nan or infinite; JSON has no such number."
                        )
                elif kind in _NESTED:
                    below.append(item)
                elif kind is bytes:
                    binary = True
                else:
                    kept = "dict, list, str, int, float, bool, None and bytes"
                    raise SerializationError(f"A value holds a {kind.__name__}; stores keep {kept}.")
        if not below:
            return binary
        seen += len(below)
        if seen > MAX_CONTAINERS:
            raise SerializationError(f"A value holds more than {MAX_CONTAINERS} containers; is one circular or shared?")
        level = below
    raise SerializationError(f"A value is nested deeper than {MAX_DEPTH}; is it circular?")


def encode(entry: Entry) -> bytes:
    """Check *entry*'s value and write the entry as bytes.

    Raises:
        SerializationError: The value cannot be kept exactly.
    """
    try:
        return _msgpack_encode(entry) if check_value(entry.value) else _json_encode(entry)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _refused(error, entry.key, entry.collection) from _cause(error)


def size(value: dict[str, Any]) -> int:
    """Return how many bytes *value* has as JSON, or as MessagePack if it holds bytes.

    Raises:
        SerializationError: The value cannot be kept exactly.
    """
    try:
        return len(_msgpack_encode(value) if check_value(value) else _json_encode(value))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _refused(error) from _cause(error)


def encode_value(value: dict[str, Any], collection: str | None = None, key: str | None = None) -> bytes:
    """Check *value* and write it alone, for stores that keep the rest of the entry beside it.

    Raises:
        SerializationError: The value cannot be kept exactly.
    """
    try:
        check_value(value)
        return _msgpack_encode(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _refused(error, key, collection) from _cause(error)


def decode_value(data: bytes | bytearray) -> dict[str, Any]:
    """Undo `encode_value`."""
    value: dict[str, Any] = _msgpack_value(data)
    return value


def decode(data: bytes, collection: str, key: str) -> Entry:
    """Read the entry of an address from bytes.

    Raises:
        CorruptEntryError: The bytes are not an entry, or are the entry of another address.
        UnsupportedEntryVersionError: A later version of this library wrote them.
    """
    try:
        entry = _json_decode(data) if data[0] == _BRACE else _msgpack_decode(data)
    except (ValueError, RecursionError, IndexError) as error:
        raise _unreadable(data, collection, key) from _cause(error)
    if entry.key != key or entry.collection != collection:
        message = f"The entry stored under {key!r} in {collection!r} is that of another address; it was not read."
        raise CorruptEntryError(message, key=key, collection=collection)
    if entry.version > VERSION:
        raise _too_new(entry.version, collection, key)
    return entry


def fingerprint(data: bytes) -> str:
    """Return the hash by which a store tells whether stored bytes have changed."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _refused(error: Exception, key: str | None = None, collection: str | None = None) -> SerializationError:
    if isinstance(error, SerializationError):
        text = error.message
    elif isinstance(error, UnicodeEncodeError):
        text = "A value has a str with a lone surrogate, which UTF-8 cannot encode."
    else:
        text = f"A value cannot be written ({type(error).__name__})."
    return SerializationError(f"{text} (key {key!r})" if key is not None else text, key=key, collection=collection)


def _cause(error: Exception) -> Exception | None:
    """Return *error* to raise from, unless its text may show what the value holds."""
    return None if isinstance(error, SerializationError | UnicodeError | msgspec.DecodeError) else error


def _unreadable(data: bytes, collection: str, key: str) -> CorruptEntryError | UnsupportedEntryVersionError:
    """Tell an entry whose layout is of a later version from bytes that are no entry at all."""
    decoder: Any = msgspec.json if data[:1] == b"{" else msgspec.msgpack
    try:
        version = decoder.decode(data, type=_Version).version
    except (ValueError, RecursionError):
        version = 0
    if version > VERSION:
        return _too_new(version, collection, key)
    message = f"What is stored under {key!r} in {collection!r} is not an entry; delete it or put a new value."
    return CorruptEntryError(message, key=key, collection=collection)


def _too_new(version: int, collection: str, key: str) -> UnsupportedEntryVersionError:
    message = f"The entry {key!r} in {collection!r} has version {version}; this kvstack reads up to {VERSION}: upgrade."
    return UnsupportedEntryVersionError(message, key=key, collection=collection)
