"""Say where an entry lives: check collections and keys, and write the two as one name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kv_core.errors import InvalidCollectionError, InvalidKeyError


def check_key(key: object) -> None:
    """Refuse what cannot be a key: anything but text that UTF-8 can encode.

    Raises:
        InvalidKeyError: *key* is not exactly a `str`, or holds a lone surrogate.
    """
    if type(key) is not str:
        raise InvalidKeyError(f"A key is a str, not {type(key).__name__}.")
    if not (key.isascii() or _encodable(key)):
        raise InvalidKeyError(f"The key {key!a} has a lone surrogate, which UTF-8 cannot encode.", key=ascii(key))


def check_keys(keys: Sequence[str]) -> None:
    """Refuse what is not a sequence of keys.

    Raises:
        InvalidKeyError: *keys* is a single str, not a sequence, or one of them is not a key.
    """
    if isinstance(keys, str | bytes) or not isinstance(keys, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass anything
        raise InvalidKeyError(f"Bulk operations take a sequence of keys, not {type(keys).__name__}; put it in a list.")
    for key in keys:
        check_key(key)


def check_collection(collection: object) -> None:
    """Refuse what cannot be a collection: anything but text, not empty, that UTF-8 can encode.

    Raises:
        InvalidCollectionError: *collection* is not exactly a `str`, is empty, or holds a lone surrogate.
    """
    if type(collection) is not str:
        raise InvalidCollectionError(f"A collection is a str or None, not {type(collection).__name__}.")
    if not collection:
        raise InvalidCollectionError(
            "A collection's name is not empty; leave it out (None) for the default collection."
        )
    if not (collection.isascii() or _encodable(collection)):
        message = f"The collection {collection!a} has a lone surrogate, which UTF-8 cannot encode."
        raise InvalidCollectionError(message, collection=ascii(collection))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def escape(text: str, separator: str = ":") -> str:
    """Percent-escape `%` and every character of *separator*, so that what follows the text can be told from it."""
    if "%" in text:
        text = text.replace("%", "%25")
    for mark in dict.fromkeys(separator):
        if mark != "%" and mark in text:
            text = text.replace(mark, "".join(f"%{byte:02X}" for byte in mark.encode()))
    return text


def unescape(text: str) -> str:
    """Undo `escape`."""
    if "%" not in text:
        return text
    head, *rest = text.encode().split(b"%")
    return b"".join([head, *(bytes([int(part[:2], 16)]) + part[2:] for part in rest)]).decode()


def encode(collection: str, key: str) -> str:
    """Write an address as one name, `collection::key`; no two addresses share one."""
    if ":" in collection or "%" in collection:
        collection = escape(collection)
    return f"{collection}::{key}"


def decode(name: str) -> tuple[str, str] | None:
    """Return the collection and the key of a name that `encode` made; None for any other name."""
    collection, separator, key = name.partition("::")
    if not separator or not collection or ":" in collection:
        return None
    try:
        address = unescape(collection), key
    except (ValueError, IndexError):
        return None
    return address if encode(*address) == name else None


def shorten(name: str, limit: int) -> str:
    """Return *name* if it has at most *limit* bytes of UTF-8, else its beginning and a 160-bit digest of the whole.

    Args:
        name: The name.
        limit: The longest name that the backend takes, in bytes; at least 48.
    """
    data = name.encode()
    if len(data) <= limit:
        return name
    digest = hashlib.blake2b(data, digest_size=20).hexdigest()
    return f"{data[: limit - 41].decode(errors='ignore')}~{digest}"
