"""The protocols of a key-value store."""

from kv_core.aio.protocols.key_value import (
    AsyncConditionalPut,
    AsyncCull,
    AsyncDestroy,
    AsyncEnumerate,
    AsyncIncrement,
    AsyncKeyValue,
    AsyncPing,
    AsyncRevisions,
    AsyncStore,
    AsyncTouch,
)

__all__ = [
    "AsyncConditionalPut",
    "AsyncCull",
    "AsyncDestroy",
    "AsyncEnumerate",
    "AsyncIncrement",
    "AsyncKeyValue",
    "AsyncPing",
    "AsyncRevisions",
    "AsyncStore",
    "AsyncTouch",
]
