"""Lay entries out as documents of one index: their ids, their fields, and the queries that find them.

The entry itself is one opaque field that Elasticsearch neither parses nor indexes.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from kv_core import address, codec
from kv_core.errors import ConfigurationError, CorruptEntryError, EntryTooLargeError, StoreSetupError

LARGEST: Final = 70 * 2**20
"""The largest entry, in bytes: as base64 it just fits into a request, of which a server takes 100 MiB unless told."""

FIELDS: Final[dict[str, dict[str, Any]]] = {
    "name": {"type": "keyword"},
    "collection": {"type": "keyword"},
    "address": {"type": "object", "enabled": False},
    "expires_at": {"type": "date"},
    "entry": {"type": "binary"},
}
MAPPING: Final[dict[str, Any]] = {"dynamic": False, "properties": FIELDS}

_LONGEST: Final = 512  # bytes, of an _id
_BATCH: Final = 32 * 2**20
_TOKEN: Final = re.compile(r"(\d+)\.(\d+)@(.*)")
_INDEX: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,254}")


class Operation(NamedTuple):
    """One line, or two, of a bulk request."""

    action: dict[str, Any]
    document: dict[str, Any] | None = None


class State(NamedTuple):
    """What decides about a conditional write.

    Attributes:
        number: The document's sequence number, which every write changes.
        term: The term of the primary shard that gave it.
        expires_at: When the entry ends, if it does.
    """

    number: int
    term: int
    expires_at: datetime | None

    def ended(self, now: datetime) -> bool:
        """Say whether the entry has ended."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def token(self) -> str:
        """The state as a revision carries it."""
        return f"{self.number}.{self.term}@{self.expires_at.isoformat() if self.expires_at else ''}"


def check_index(index: object) -> str:
    """Return the name of an index if it can mean nothing but one index.

    Raises:
        ConfigurationError: It has a character that Elasticsearch refuses, or takes for a pattern, list or date.
    """
    if not isinstance(index, str) or not _INDEX.fullmatch(index):
        raise ConfigurationError(
            "ElasticsearchStore: an index has a name of a-z, 0-9, '_', '.' and '-' that begins with a letter or digit, "
            f"of at most 255 characters, not {index!r}."
        )
    return index


def check_mapping(index: str, answer: Mapping[str, Any]) -> None:
    """Refuse an index that was not made for entries.

    Raises:
        StoreSetupError: It lacks a field, or has one of another type.
    """
    for described in answer.values():
        found = described["mappings"].get("properties", {})
        for name, wanted in FIELDS.items():
            if found.get(name, {}).get("type", "object") != wanted["type"] or name not in found:
                raise StoreSetupError(
                    f"The index {index!r} was not made by this store: its field {name!r} is not a {wanted['type']}. "
                    "Name another index=, or delete this one."
                )


def name_of(collection: str, key: str) -> str:
    """Return the id of an address, with a 160-bit digest in place of one too long; no two addresses share one."""
    name = address.encode(collection, key)
    data = name.encode()
    return name if len(data) <= _LONGEST else f"~{_digest(data)}"  # which has no "::", as every other id has


def term_of(collection: str) -> str:
    """Return what stands for a collection in the field of that name."""
    term = address.escape(collection)
    data = term.encode()
    return term if len(data) <= _LONGEST else f":{_digest(data)}"  # which no other begins with


def document(collection: str, key: str, data: bytes) -> dict[str, Any]:
    """Return the document of an entry.

    Raises:
        EntryTooLargeError: It does not fit into a request.
    """
    if len(data) > LARGEST:
        raise EntryTooLargeError(
            f"{key!r} in {collection!r} is {len(data):,} bytes; ElasticsearchStore sends at most {LARGEST:,}.",
            key=key,
            collection=collection,
        )
    fields: dict[str, Any] = {
        "name": name_of(collection, key),
        "collection": term_of(collection),
        "address": {"collection": collection, "key": key},
        "entry": b64encode(data).decode(),
    }
    ends = codec.decode(data, collection, key).expires_at
    if ends is not None:
        fields["expires_at"] = ends.isoformat()
    return fields


def entry_in(found: Mapping[str, Any], collection: str, key: str) -> bytes:
    """Return the bytes of the entry in a document that was found.

    Raises:
        CorruptEntryError: There are none.
    """
    try:
        return b64decode(found["_source"]["entry"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        message = f"What is stored under {key!r} in {collection!r} is not an entry; delete it or put a new value."
        raise CorruptEntryError(message, key=key, collection=collection) from error


def state_of(found: Mapping[str, Any]) -> State:
    """Return the state of a document that was found; one without a readable end has none."""
    return State(found["_seq_no"], found["_primary_term"], _moment(found["_source"].get("expires_at")))


def ended(found: Mapping[str, Any], now: datetime) -> bool:
    """Say whether the entry of a document that was found has ended."""
    ends = _moment(found["_source"].get("expires_at"))
    return ends is not None and ends <= now


def state_in(token: object) -> State | None:
    """Return the state that a revision's token carries; None if it is another store's."""
    parts = _TOKEN.fullmatch(str(token))
    return None if parts is None else State(int(parts[1]), int(parts[2]), _moment(parts[3]))


def place_in(found: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the collection and the key of a document that was found; None if it holds no entry."""
    place = found["_source"].get("address")
    try:
        collection, key = place["collection"], place["key"]
        return (collection, key) if name_of(collection, key) == found["_id"] else None
    except (KeyError, TypeError, AttributeError):
        return None


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def operation(
    action: str, collection: str, key: str, document: dict[str, Any] | None = None, state: State | None = None
) -> Operation:
    """Return one operation of a bulk request; with a *state* it is refused once the document has another."""
    line: dict[str, Any] = {"_id": name_of(collection, key)}
    if state is not None:
        line |= {"if_seq_no": state.number, "if_primary_term": state.term}
    return Operation({action: line}, document)


def lines(operations: Sequence[Operation]) -> list[dict[str, Any]]:
    """Return the body of a bulk request."""
    return [line for operation in operations for line in operation if line is not None]


def batches(operations: Sequence[Operation]) -> Iterator[Sequence[Operation]]:
    """Cut operations into requests that a server takes: one, unless they are many megabytes."""
    start = size = 0
    for number, (_, document) in enumerate(operations):
        length = 0 if document is None else len(document["entry"])
        if number > start and size + length > _BATCH:
            yield operations[start:number]
            start, size = number, 0
        size += length
    yield operations[start:]


# Queries --------------------------------------------------------------------------------------------------------------


def ours(collection: str | None = None) -> dict[str, Any]:
    """Find the documents of a collection, or of all of them: those that hold an entry."""
    return {"exists": {"field": "name"}} if collection is None else {"term": {"collection": term_of(collection)}}


def past(now: datetime) -> dict[str, Any]:
    """Find entries that have ended, up to a millisecond late: an index keeps no more of a date, and cuts the rest."""
    moment = now.astimezone(UTC).isoformat(timespec="milliseconds")
    return {"range": {"expires_at": {"lt": moment}}}


def living(now: datetime, collection: str | None = None) -> dict[str, Any]:
    """Find the entries of a collection, or of all of them, that have not ended."""
    return {"bool": {"filter": [ours(collection)], "must_not": [past(now)]}}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=20).hexdigest()
