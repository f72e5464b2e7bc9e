"""Bytes that are no entry of the address that they lie under: key `k` in collection `c`."""

from __future__ import annotations

import json

import msgspec


def layout(**changes):
    """Return an entry as JSON in this library's layout, with changes; None leaves a field out."""
    entry = {
        "collection": "c",
        "created_at": "2025-01-01T00:00:00Z",
        "key": "k",
        "value": {"value": 1},
        "version": 1,
    } | changes
    return json.dumps({name: value for name, value in entry.items() if value is not None}).encode()


DAMAGED = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe\xfd",
    "not UTF-8 inside": layout().replace(b'"k"', b'"\xff"'),
    "garbage": b"hello",
    "garbage JSON": b'{"collection":"c","key":',
    "[]": b"[]",
    "{}": b"{}",
    "JSON null": b"null",
    "number": b"7",
    "more behind it": layout() + b"{}",
    "truncated": layout()[:-1],
    "no value": layout(value=None),
    "no key": layout(key=None),
    "no collection": layout(collection=None),
    "value is a list": layout(value=[]),
    "value is text": layout(value="{}"),
    "int date": layout(created_at=1735689600),
    "int end": layout(expires_at=1735689600),
    "no date": layout(expires_at="soon"),
    "date without zone": layout(expires_at="2099-01-01T00:00:00"),
    "version is text": layout(version="1"),
    "of another key": layout(key="other"),
    "of another collection": layout(collection="other"),
    "100,000 deep": layout(value={"x": 1}).replace(b"1}", b'{"d":' * 100_000 + b"1" + b"}" * 100_001, 1),
    "100,000 lists deep": layout(value={"x": "X"}).replace(b'"X"', b"[" * 100_000 + b"]" * 100_000, 1),
    "5,000 digits": layout(value={"x": "X"}).replace(b'"X"', b"9" * 5000, 1),
    "MessagePack garbage": b"\x86\xa1",
    "MessagePack list": b"\x90",
    "MessagePack, 100,000 deep": msgspec.msgpack.encode(json.loads(layout()) | {"value": {"x": 7}}).replace(
        b"\xa1x\x07", b"\xa1x" + b"\x91" * 100_000 + b"\xc0", 1
    ),
    "MessagePack, of another key": msgspec.msgpack.encode(json.loads(layout()) | {"key": "other"}),
    "gzip": b"\x1f\x8b\x08\x00",
    "pickle": b"\x80\x04}\x94.",
}
