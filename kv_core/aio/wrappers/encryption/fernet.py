"""Keep values encrypted with Fernet."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from typing_extensions import override

from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers._names import NameWrapper
from kv_core.aio.wrappers._values import Address, ValueWrapper
from kv_core.capabilities import SEGMENTS
from kv_core.encryption import Fernet, MultiFernet, Sealed, Sealer, keys_from, refused
from kv_core.entry import Revision
from kv_core.errors import ConfigurationError, DecryptionError, EncryptionError, Outcome
from kv_core.options import is_mapping
from kv_core.spellings import also
from kv_core.ttl import SYSTEM_CLOCK, Clock, check_ttl, remaining

_logger = logging.getLogger(__name__)
_NOTED: Final = 10_000


class FernetEncryptionWrapper(ValueWrapper):
    """Encrypt values on the way in, and decrypt them on the way out; keys, collections and ttls stay readable.

    Each token holds the entry's address in the store (with the prefixes that wrappers inside add) and its latest
    expiry, so an entry that somebody copied elsewhere or keeps alive is refused or absent. An encrypted entry ends by
    that expiry, on the reader's clock; only `put_if_present` and the answer of `delete` go by the store's. With several
    keys the first encrypts and all decrypt; `rotate` encrypts everything anew with the first.
    """

    @also(store="key_value")
    def __init__(
        self,
        key_value: AsyncKeyValue,
        *,
        fernet: Fernet | MultiFernet | None = None,
        keys: Sequence[str] | None = None,
        source_material: str | None = None,
        salt: str | None = None,
        raise_on_decryption_error: bool = True,
        allow_plaintext_reads: bool = False,
        allow_unbound_reads: bool = False,
        _clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            fernet: The key, or keys, the current one first.
            keys: The same as text, as `Fernet.generate_key()` makes them.
            source_material: Words to derive the key from, with PBKDF2 (which takes about half a second).
            salt: What goes with them.
            raise_on_decryption_error: Raise `DecryptionError`; with False such an entry counts as missing, and is
                counted in `decryption_failures` and logged once a key.
            allow_plaintext_reads: Read values that are not encrypted, too, while a store is being moved over.
            allow_unbound_reads: Read values that py-key-value encrypted, too, which say nothing of their address.

        Raises:
            ConfigurationError: The keys are not right, or the wrapped store has a part that belongs outside.
        """
        self.key_value = key_value
        self._sealer = Sealer(keys_from(fernet, keys, source_material, salt))
        self.raise_on_decryption_error = raise_on_decryption_error
        self.allow_plaintext_reads = allow_plaintext_reads
        self.allow_unbound_reads = allow_unbound_reads
        self.decryption_failures = 0
        self._noted: set[Address] = set()
        self._clock = _clock
        _check_order(key_value)
        self._names = [part for part in _chain(key_value) if isinstance(part, NameWrapper)]

    @override
    def _capabilities(self) -> frozenset[str]:
        kept = super()._capabilities()
        return kept if SEGMENTS["Revisions"] <= kept else kept - SEGMENTS["Touch"]

    @override
    def _encode(self, value: dict[str, Any], address: Address, expires_at: datetime | None) -> dict[str, Any]:
        return self._sealer.seal(value, self._bound(address), expires_at)

    def _bound(self, address: Address) -> Address:
        """Return where an entry really lies: its address as the names inside make it."""
        for part in self._names:
            address = part._name(address)  # pyright: ignore[reportPrivateUsage] - it asks what its user asks
        return address

    @override
    def _decode(self, value: dict[str, Any], address: Address) -> dict[str, Any] | None:
        sealed = self._open(value, address)
        return None if sealed is None else sealed.value

    def _open(self, stored: dict[str, Any], address: Address) -> Sealed | None:
        """Return what a token holds, or None if it has ended."""
        try:
            sealed = self._unseal(stored, address)
        except DecryptionError:
            if self.raise_on_decryption_error:
                raise
            self._note(address)
            return None
        ended = sealed.expires_at is not None and sealed.expires_at <= self._clock.now()
        return None if ended else sealed

    def _unseal(self, stored: dict[str, Any], address: Address) -> Sealed:
        if "__kv_encrypted__" in stored:
            return self._sealer.open(stored, self._bound(address), *address)
        if self.allow_unbound_reads and "__encrypted_data__" in stored:
            return Sealed(0, *address, None, self._sealer.open_unbound(stored, *address))
        if self.allow_plaintext_reads:
            return Sealed(0, *address, None, stored)
        raise refused("is not encrypted", *address)

    def _note(self, address: Address) -> None:
        self.decryption_failures += 1
        if address not in self._noted and len(self._noted) < _NOTED:
            self._noted.add(address)
            _logger.warning("The value of %r in %r cannot be decrypted; it counts as missing.", address[1], address[0])

    @override
    def _decode_ttl(
        self, found: tuple[dict[str, Any] | None, float | None], address: Address
    ) -> tuple[dict[str, Any] | None, float | None]:
        stored, seconds = found
        sealed = None if stored is None else self._open(stored, address)
        if sealed is None:
            return None, None
        latest = remaining(sealed.expires_at, self._clock.now())
        if latest is None or seconds is None:
            return sealed.value, seconds if latest is None else latest
        return sealed.value, min(seconds, latest)

    @override
    async def get_with_revision(
        self, key: str, *, collection: str | None = None
    ) -> tuple[dict[str, Any], Revision] | None:
        address = self._place(key, collection)
        found = await self._inner("get_with_revision").get_with_revision(key, collection=address[0])
        if found is None:
            return None
        sealed = self._open(found[0], address)
        return None if sealed is None else (sealed.value, Revision(found[1].token, sealed.expires_at))

    @override
    async def touch(self, key: str, *, ttl: float | None, collection: str | None = None) -> bool:
        """Change when an entry ends: it is read, encrypted anew, and put if it was not changed meanwhile."""
        self._require("touch")
        check_ttl(ttl)
        while (found := await self.get_with_revision(key, collection=collection)) is not None:
            if await self.put_if_unchanged(key, found[0], found[1], collection=collection, ttl=ttl):
                return True
        return False

    async def rotate(self, collection: str | None = None) -> int:
        """Encrypt anew, with the current key, what is encrypted with others; call it again if it was interrupted.

        Entries that are changed meanwhile are left to whoever changed them. Every entry stays readable throughout,
        and keeps its expiry. What cannot be decrypted is left as it is, and told when everything else is done.

        Args:
            collection: One collection; by default all.

        Returns:
            How many entries were encrypted anew.

        Raises:
            DecryptionError: Something cannot be decrypted with any of the keys (unless `raise_on_decryption_error` is
                False); it names the first.
            UnsupportedOperationError: The store cannot list its keys, or put conditionally.
        """
        for operation in ("collections", "iter_keys", "get_with_revision", "put_if_unchanged"):
            self._require(operation)
        names = await self.collections() if collection is None else [self._resolve(collection)]
        rotated = failed = 0
        first: EncryptionError | None = None
        for name in names:
            async for key in self.iter_keys(name):
                try:
                    rotated += await self._rotate_one(key, name)
                except EncryptionError as error:
                    failed += 1
                    first = first or error
        if first is None:
            return rotated
        message = f"{first.message} Left as they are: {failed:,} such values; encrypted anew: {rotated:,}."
        outcome: Outcome = "unknown" if rotated else "not_applied"
        raise DecryptionError(message, key=first.key, collection=first.collection, outcome=outcome) from first

    async def _rotate_one(self, key: str, collection: str) -> bool:
        found = await self._inner("get_with_revision").get_with_revision(key, collection=collection)
        if found is None or self._sealer.is_current(found[0]):
            return False
        address = collection, key
        try:
            sealed = self._unseal(found[0], address)
        except DecryptionError:
            if self.raise_on_decryption_error:
                raise
            self._note(address)
            return False
        stored = self._encode(sealed.value, address, sealed.expires_at)
        return await self._inner("put_if_unchanged").put_if_unchanged(key, stored, found[1], collection=collection)


def _chain(store: object) -> Iterator[object]:
    """Yield the parts of a stack from the outermost; where it forks, along its `key_value`."""
    while store is not None:
        yield store
        store = getattr(store, "key_value", None)


def _check_order(store: object) -> None:
    """Refuse a part that would undo or be undone by the encryption outside it, wherever a stack forks."""
    left, seen = [store], {id(store)}
    while left:
        part = left.pop()
        if reason := getattr(part, "_outside_encryption", None):
            raise ConfigurationError(f"{type(part).__name__} inside an encryption {reason}; put it outside.")
        held: dict[str, Any] = getattr(part, "__dict__", {})
        for thing in held.values():
            for inner in thing.values() if is_mapping(thing) else (thing,):
                if hasattr(inner, "get_many") and id(inner) not in seen:
                    seen.add(id(inner))
                    left.append(inner)
