"""Write what Django caches as entries, and read it back: plain, as JSON, or as a signed pickle. Nothing here waits."""

from __future__ import annotations

import datetime as dt
import decimal
import pickle
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Literal, get_args

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from kv_core import address, counter
from kv_core.codec import MAX_CONTAINERS, MAX_DEPTH
from kv_core.errors import CorruptEntryError, DeserializationError, InvalidTTLError, SerializationError
from kv_core.signing import Signer
from kv_core.ttl import MAX_TTL
from kv_django.errors import UnpicklableError

Serializer = Literal["signed-pickle", "json"]
SERIALIZERS: Final = get_args(Serializer)

PURPOSE: Final = "kv_django.cache"
"""What signatures of cached pickles are for."""

_PLAIN: Final = "value"
_SIGNED: Final = "signed"
_UNSIGNED: Final = "pickle"

_pickled: Final[Callable[[Any], bytes]] = partial(pickle.dumps, protocol=pickle.HIGHEST_PROTOCOL)

_LEAVES: Final = frozenset(
    {str, bytes, int, float, complex, bool, type(None), decimal.Decimal, uuid.UUID}
    | {dt.datetime, dt.date, dt.time, dt.timedelta}
)
_BRANCHES: Final = frozenset({dict, list, tuple, set, frozenset})
_CHEAP: Final = _LEAVES | _BRANCHES
_CHEAP_ITEMS: Final = 500
_CHEAP_LENGTH: Final = 100_000


class Values:
    """How the values of one cache are written.

    An exact int within signed 64 bits, a bool, a finite float, None and text that UTF-8 can encode are written
    plain under `"value"`, so that counters can be incremented on the server. The rest is pickled, and the pickle is
    signed together with its address, unless nobody outside the process can write it. What a user caches is never
    itself the entry, so no dict of a user's can be taken for one of these envelopes.
    """

    def __init__(self, collection: str, serializer: Serializer, signer: Signer | None) -> None:
        """Say where the values lie, and how they are written.

        Args:
            collection: The collection that they lie in.
            serializer: What is done with values that are not written plain.
            signer: What signs and verifies pickles; None reads and writes them unsigned.
        """
        self._collection = collection
        self._before = address.encode(collection, "")
        self._json = serializer == "json"
        self._signer = signer

    def dump(self, key: str, value: Any) -> dict[str, Any]:
        """Return the entry's value for what is cached under *key*.

        Raises:
            SerializationError: It cannot be pickled, or JSON cannot hold it exactly.
        """
        kind = type(value)  # pyright: ignore[reportUnknownVariableType] - whatever it is
        if kind is str:
            plain = value.isascii() or _encodable(value)
        elif kind is int:
            plain = counter.LOWEST <= value <= counter.HIGHEST
        elif kind is float:
            plain = value - value == 0.0  # not so for nan and the infinities
        else:
            plain = value is None or kind is bool
        if plain:
            return {_PLAIN: value}
        if self._json:
            check_json(key, value)
            return {_PLAIN: value}
        try:
            data = _pickled(value)
        except (pickle.PickleError, TypeError, AttributeError, RecursionError) as error:
            message = f"What is to be cached under {key!r} cannot be pickled ({type(error).__name__})."
            raise UnpicklableError(message, key=key) from error
        if self._signer is None:
            return {_UNSIGNED: data}
        return {_SIGNED: self._signer.sign(data, place=self._before + key)}

    def load(self, key: str, entry: dict[str, Any]) -> Any:
        """Return what was cached under *key*; a pickle is loaded only if its signature is right.

        Raises:
            DeserializationError: The entry is not one of this cache's, was changed, or needs code that is not there.
        """
        if _PLAIN in entry and len(entry) == 1:
            return entry[_PLAIN]
        data = entry.get(_UNSIGNED if self._signer is None else _SIGNED)
        if self._json or type(data) is not bytes or len(entry) != 1:
            message = f"What is stored for {key!r} was not written by this cache with its SERIALIZER."
            raise CorruptEntryError(message, key=key, collection=self._collection)
        if self._signer is not None:
            try:
                data = self._signer.verify(data, place=self._before + key)
            except CorruptEntryError as error:
                message = (
                    f"What is cached under {key!r} has no valid signature: it was changed, or signed with a secret "
                    "that is not in SECRET_KEY_FALLBACKS. Delete the key."
                )
                raise CorruptEntryError(message, key=key, collection=self._collection) from error
        try:
            return pickle.loads(data)  # noqa: S301 - signed by us, or in this process's own memory
        except Exception as error:
            message = f"The pickle cached under {key!r} cannot be loaded here ({type(error).__name__}); delete the key."
            raise DeserializationError(message, key=key, collection=self._collection) from error


def check_json(key: str, value: object) -> None:
    """Refuse what stores would keep, but JSON cannot hold exactly; the rest they refuse themselves.

    Raises:
        SerializationError: There is a tuple or bytes in the value.
    """
    level: list[Any] = [value]
    seen = 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, tuple | bytes):
                kind = type(item).__name__  # pyright: ignore[reportUnknownArgumentType] - whatever the tuple holds
                message = (
                    f"What is to be cached under {key!r} holds {kind}, which JSON does not have; use a list or str."
                )
                raise SerializationError(message, key=key)
            if type(item) is dict:
                below += item.values()
            elif type(item) is list:
                below += item
        seen += len(below)
        if not below or seen > MAX_CONTAINERS:
            return
        level = below


def is_cheap(value: object) -> bool:
    """Say whether pickling *value* surely runs no code but pickle's own, and not for long.

    Anything else, such as a lazy QuerySet, may ask a database, so it is not pickled in an event loop.
    """
    level: list[Any] = [value]
    seen = length = 0
    while level:
        seen += len(level)
        kinds = set(map(type, level))
        if seen > _CHEAP_ITEMS or not kinds <= _CHEAP:
            return False
        if str in kinds or bytes in kinds:
            length += sum([len(item) for item in level if type(item) is str or type(item) is bytes])
            if length > _CHEAP_LENGTH:
                return False
        below: list[Any] = []
        if not kinds <= _LEAVES:
            for item in level:
                if type(item) in _BRANCHES:
                    if len(item) > _CHEAP_ITEMS:
                        return False
                    below += item
                    if type(item) is dict:
                        below += item.values()
        level = below
    return True


def are_cheap(values: Iterable[object]) -> bool:
    """Say `is_cheap` of many values together."""
    return is_cheap(list(values))


def ttl_of(timeout: Any, default: float | None) -> float | None:
    """Return the ttl for one of Django's timeouts, in seconds: None for no end, 0 for what has ended already.

    Raises:
        InvalidTTLError: The timeout is not a number.
    """
    if timeout is DEFAULT_TIMEOUT:
        timeout = default
    if timeout is None:
        return None
    if type(timeout) is not int and type(timeout) is not float:
        try:
            timeout = float(timeout)
        except (TypeError, ValueError) as error:
            message = f"A timeout is a number of seconds or None, not {type(timeout).__name__}."
            raise InvalidTTLError(message) from error
    return 0 if timeout <= 0 else min(timeout, MAX_TTL)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
