# Written by tools/mirror.py from kv_core/aio/protocols/__init__.py: change that file instead.
"""The protocols of a key-value store."""

from kv_core.sync.protocols.key_value import (
    ConditionalPut,
    Cull,
    Destroy,
    Enumerate,
    Increment,
    KeyValue,
    Ping,
    Revisions,
    Store,
    Touch,
)

__all__ = [
    "ConditionalPut",
    "Cull",
    "Destroy",
    "Enumerate",
    "Increment",
    "KeyValue",
    "Ping",
    "Revisions",
    "Store",
    "Touch",
]
