"""Let nothing be written."""

from __future__ import annotations

from typing import Any, Final, cast

from typing_extensions import override

from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers._calls import Call, CallWrapper, T
from kv_core.errors import ReadOnlyError
from kv_core.spellings import also

_READS: Final = frozenset(
    (
        *("get", "get_many", "ttl", "ttl_many", "get_with_revision"),
        *("keys", "iter_keys", "collections", "ping"),
    )
)
"""What passes; an operation that is not here is refused, so that a new one is until somebody decides."""
_NOTHING: Final[dict[str, Any]] = {"put": None, "put_many": None, "delete_many": 0, "cull": 0}
"""What a write that is not made answers; the others answer False."""


class ReadOnlyWrapper(CallWrapper):
    """Let nothing pass but operations that are known to read; those that later versions add are refused, too."""

    @also(store="key_value")
    def __init__(self, key_value: AsyncKeyValue, raise_on_write: bool = True) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            raise_on_write: Raise `ReadOnlyError`; with False writes do nothing, and answer None, False or 0
                (`increment`, which has no such answer, raises all the same).
        """
        self.key_value = key_value
        self.raise_on_write = raise_on_write

    @override
    def _capabilities(self) -> frozenset[str]:
        return super()._capabilities() & _READS

    @override
    async def _around(self, call: Call[T]) -> T:
        if call.name in _READS:
            return await call(self.key_value)
        if self.raise_on_write or call.name == "increment":
            message = f"This stack is read-only; {call} was not made."
            raise ReadOnlyError(message, key=call.key, collection=call.collection)
        return cast("T", _NOTHING.get(call.name, False))
