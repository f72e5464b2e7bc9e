"""Encrypt a value for its address, and open it nowhere else.

A token is Fernet's (https://github.com/fernet/spec) over MessagePack of version, collection, key, latest expiry and
value, so none of these can be exchanged without the key.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final, TypeGuard

import msgspec

from kv_core import codec
from kv_core.errors import ConfigurationError, DecryptionError, EncryptionVersionError, MissingDependencyError

try:
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
except ImportError as error:
    raise MissingDependencyError("Encryption needs cryptography: pip install 'kvstack[encryption]'") from error

__all__ = ["Fernet", "MultiFernet", "Sealed", "Sealer", "keys_from", "refused"]

MARK: Final = "__kv_encrypted__"
VERSION: Final = 1
_FIELDS: Final = {MARK, "data"}
Address = tuple[str, str]
_ITERATIONS: Final = 1_200_000  # of PBKDF2; as py-key-value, so that the same words give the same key


class Sealed(msgspec.Struct, array_like=True, gc=False):
    """What a token holds."""

    version: int
    collection: str
    key: str
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None
    value: dict[str, Any]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Sealed).decode


class Sealer:
    """The keys: the first encrypts, every one decrypts."""

    def __init__(self, fernets: Sequence[Fernet]) -> None:
        """Take the keys, the current one first."""
        self._first = fernets[0]
        self._all = MultiFernet(fernets)

    def seal(self, value: dict[str, Any], place: Address, expires_at: datetime | None) -> dict[str, Any]:
        """Return what is stored for a value.

        Args:
            value: The value.
            place: The collection and key to which it is bound.
            expires_at: When it ends at the latest.

        Raises:
            SerializationError: The value cannot be kept exactly.
        """
        codec.encode_value(value)  # refuses what would not come back
        token = self._first.encrypt(_encode(Sealed(VERSION, *place, expires_at, value)))
        return {MARK: VERSION, "data": base64.urlsafe_b64decode(token)}

    def open(self, stored: dict[str, Any], place: Address, collection: str, key: str) -> Sealed:
        """Return what was sealed for this place.

        Args:
            stored: What is stored.
            place: The collection and key to which it has to be bound.
            collection: What the caller calls the collection, for error texts.
            key: What the caller calls the key.

        Raises:
            DecryptionError: It is not encrypted, not with these keys, or for another address.
            EncryptionVersionError: A later version of this library encrypted it.
        """
        token = self._token(stored, collection, key)
        try:
            sealed = _decode(self._all.decrypt(token))
        except (InvalidToken, ValueError, RecursionError):
            raise refused("cannot be decrypted with these keys", collection, key) from None
        if sealed.version > VERSION:
            raise self._too_new(sealed.version, collection, key)
        if (sealed.collection, sealed.key) != place:
            raise refused("was encrypted for another address", collection, key)
        return sealed

    def is_current(self, stored: dict[str, Any]) -> bool:
        """Say whether a value is encrypted with the first key."""
        try:
            self._first.decrypt(base64.urlsafe_b64encode(stored["data"]))
        except (InvalidToken, LookupError, TypeError, ValueError):
            return False
        return True

    def open_unbound(self, stored: dict[str, Any], collection: str, key: str) -> dict[str, Any]:
        """Return a value that py-key-value encrypted, which says nothing of its address.

        Raises:
            DecryptionError: It is not encrypted like that, or not with these keys.
        """
        try:
            token = base64.b64decode(stored["__encrypted_data__"], validate=True)
            value = msgspec.json.decode(self._all.decrypt(token), type=dict[str, Any])
        except (InvalidToken, LookupError, TypeError, ValueError, RecursionError):
            raise refused("cannot be decrypted with these keys", collection, key) from None
        return value

    @staticmethod
    def _token(stored: dict[str, Any], collection: str, key: str) -> bytes:
        version = stored.get(MARK)
        if type(version) is not int:
            raise refused("is not encrypted", collection, key)
        if version > VERSION:
            raise Sealer._too_new(version, collection, key)
        if stored.keys() != _FIELDS or type(stored["data"]) is not bytes:
            raise refused("is not what this library encrypts", collection, key)
        return base64.urlsafe_b64encode(stored["data"])

    @staticmethod
    def _too_new(version: int, collection: str, key: str) -> EncryptionVersionError:
        message = (
            f"The value of {key!r} in {collection!r} has encryption version {version}; upgrade kvstack to read it."
        )
        return EncryptionVersionError(message, key=key, collection=collection)


def refused(what: str, collection: str, key: str) -> DecryptionError:
    """Return the error for a value that is not opened."""
    message = f"The value of {key!r} in {collection!r} {what}; check the keys, and who else writes to this store."
    return DecryptionError(message, key=key, collection=collection)


def keys_from(
    fernet: Fernet | MultiFernet | None, keys: Sequence[str] | None, source_material: str | None, salt: str | None
) -> list[Fernet]:
    """Return the keys that a wrapper was given, the current one first.

    Raises:
        ConfigurationError: None was given, or in two ways, or one is not a key.
    """
    ways = [fernet is not None, keys is not None, source_material is not None or salt is not None]
    if sum(ways) != 1:
        raise ConfigurationError("Encryption takes its keys as one of fernet=, keys=, or source_material= and salt=.")
    if fernet is not None:
        if isinstance(fernet, MultiFernet):
            return list(fernet._fernets)  # pyright: ignore[reportPrivateUsage] - to know the current one
        if not isinstance(fernet, Fernet):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass anything
            raise ConfigurationError("fernet= is a Fernet or a MultiFernet; give keys that are text as keys=[…].")
        return [fernet]
    if keys is not None:
        if isinstance(keys, str | bytes):
            raise ConfigurationError("keys= is a list of Fernet keys; put the one key in a list.")
        try:
            found = [Fernet(key) for key in keys]
        except (ValueError, TypeError):
            message = "keys= is a list of Fernet keys, each as Fernet.generate_key() makes it, the current one first."
            raise ConfigurationError(message) from None
        if not found:
            raise ConfigurationError("keys= is a list of at least one Fernet key.")
        return found
    if not (_is_text(source_material) and _is_text(salt)):
        raise ConfigurationError("source_material= and salt= go together; both are text, and neither is empty.")
    return [Fernet(_derived(source_material, salt))]


def _is_text(given: object) -> TypeGuard[str]:
    try:
        return isinstance(given, str) and bool(given.strip()) and bool(given.encode())
    except UnicodeEncodeError:
        return False


@lru_cache(maxsize=16)
def _derived(source_material: str, salt: str) -> bytes:
    derive = PBKDF2HMAC(hashes.SHA256(), length=32, salt=salt.encode(), iterations=_ITERATIONS).derive
    return base64.urlsafe_b64encode(derive(source_material.encode()))
