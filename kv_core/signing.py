"""Sign bytes for the place they are stored at, and refuse what was not signed with one of our keys.

The code is keyed BLAKE2b (RFC 7693) over the place and the payload, each with its length before it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from typing_extensions import override

from kv_core.errors import ConfigurationError, CorruptEntryError

SIGNATURE_SIZE: Final = 32
"""Bytes of a signature, which stands before the payload."""


class Signer:
    """Sign with the first secret, verify with every one of them."""

    def __init__(self, secrets: Sequence[str | bytes], *, purpose: str) -> None:
        """Derive a key for *purpose* from each secret.

        Args:
            secrets: The current secret first, then those that were used before.
            purpose: What the signatures are for; those of one purpose are worth nothing for another.

        Raises:
            ConfigurationError: There is no secret, one is empty, or they are not in a list.
        """
        if isinstance(secrets, str | bytes):
            raise ConfigurationError(f"Signing {purpose} takes a list of secrets; put the one secret in a list.")
        if not secrets or not all(secrets):
            raise ConfigurationError(f"Signing {purpose} needs at least one secret, and none may be empty.")
        keys = [
            hashlib.blake2b(secret.encode() if isinstance(secret, str) else secret, person=_digest16(purpose)).digest()
            for secret in secrets
        ]
        self._states = [hashlib.blake2b(key=key, digest_size=SIGNATURE_SIZE) for key in keys]

    def sign(self, payload: bytes, *, place: str) -> bytes:
        """Return the signature for *payload* at *place*, followed by the payload."""
        return self._signature(self._states[0], payload, place.encode()) + payload

    def verify(self, signed: bytes, *, place: str) -> bytes:
        """Return the payload that was signed for *place*.

        Raises:
            CorruptEntryError: It was not signed with one of these keys, or for another place.
        """
        signature, payload = signed[:SIGNATURE_SIZE], signed[SIGNATURE_SIZE:]
        address = place.encode()
        for state in self._states:
            if hmac.compare_digest(signature, self._signature(state, payload, address)):
                return payload
        message = f"What is stored for {place!r} has no valid signature: it was changed, or signed with another secret."
        raise CorruptEntryError(message, key=place)

    @staticmethod
    def _signature(state: hashlib.blake2b, payload: bytes, place: bytes) -> bytes:
        code = state.copy()  # twice as fast as keying a new one
        code.update(len(place).to_bytes(8, "big") + place)
        code.update(payload)
        return code.digest()

    @override
    def __repr__(self) -> str:
        return f"Signer({len(self._states)} keys)"


def _digest16(purpose: str) -> bytes:
    return hashlib.blake2b(purpose.encode(), digest_size=16).digest()
