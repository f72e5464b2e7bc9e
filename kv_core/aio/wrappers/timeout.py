"""Give up on operations that take too long."""

from __future__ import annotations

from typing_extensions import override

from kv_core.aio._runtime import interrupting, within
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers._calls import Call, CallWrapper, T
from kv_core.checks import positive
from kv_core.deadline import unsent
from kv_core.errors import BaseKeyValueError, Outcome, StoreTimeoutError
from kv_core.spellings import also


class TimeoutWrapper(CallWrapper):
    """Let every operation end within *timeout* seconds.

    The deadline travels with the call: stores turn what is left of it into socket and busy timeouts.
    """

    @also(store="key_value")
    def __init__(self, key_value: AsyncKeyValue, timeout: float = 5.0, *, interrupt: bool = False) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            timeout: How long an operation may take, in seconds.
            interrupt: End calls of a blocking store that knows no deadline, too, by making them in another thread
                and no longer waiting for it. A write that was given up may still land.

        Raises:
            ConfigurationError: *timeout* is not more than 0.
        """
        self.key_value = key_value
        self.timeout = positive(timeout, "TimeoutWrapper: timeout (seconds)")
        self._within = interrupting if interrupt else within

    @override
    async def _around(self, call: Call[T]) -> T:
        try:
            return await self._within(self.timeout, call, self.key_value)
        except BaseKeyValueError:
            raise
        except TimeoutError as error:
            outcome: Outcome = "not_applied" if unsent(error) else "unknown"
            message = f"{call} did not end within {self.timeout:g} s."
            raise StoreTimeoutError(message, outcome=outcome, key=call.key, collection=call.collection) from error
