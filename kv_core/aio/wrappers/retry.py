"""Try failed operations again."""

from __future__ import annotations

import random
from collections.abc import Callable
from time import monotonic

from typing_extensions import override

from kv_core.aio._runtime import sleep, within
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers._calls import Call, CallWrapper, T
from kv_core.checks import not_negative, positive, whole
from kv_core.deadline import unsent
from kv_core.errors import BaseKeyValueError, ConfigurationError, Outcome, StoreTimeoutError
from kv_core.options import error_types
from kv_core.spellings import also


class RetryWrapper(CallWrapper):
    """Repeat operations that failed, when and as long as that makes sense.

    After an error whose outcome is `"not_applied"` any operation is repeated; after `"unknown"` only reads, `put`,
    `put_many` and `delete`. Waits grow exponentially with full jitter
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), and everything, the attempts
    included, ends within one budget of time.
    """

    @also(store="key_value")
    def __init__(
        self,
        key_value: AsyncKeyValue,
        max_retries: int = 3,
        initial_delay: float = 0.1,
        max_delay: float = 10.0,
        exponential_base: float = 2.0,
        max_elapsed: float = 5.0,
        retry_on: tuple[type[Exception], ...] | None = None,
        *,
        _random: Callable[[], float] = random.random,
    ) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            max_retries: How often a failed operation is tried again.
            initial_delay: The longest wait before the first retry, in seconds.
            max_delay: The longest wait before any, in seconds.
            exponential_base: How much longer each wait may be than the one before.
            max_elapsed: How long all attempts and waits may take together, in seconds.
            retry_on: The errors that are worth a retry; by default those that are `.retryable`.

        Raises:
            ConfigurationError: An option is out of range.
        """
        self.key_value = key_value
        self.max_retries = whole(max_retries, "RetryWrapper: max_retries", least=0)
        self.initial_delay = not_negative(initial_delay, "RetryWrapper: initial_delay (seconds)")
        self.max_delay = not_negative(max_delay, "RetryWrapper: max_delay (seconds)")
        self.exponential_base = positive(exponential_base, "RetryWrapper: exponential_base")
        if self.exponential_base < 1:
            raise ConfigurationError(f"RetryWrapper: exponential_base is at least 1, not {exponential_base!r}.")
        self.max_elapsed = positive(max_elapsed, "RetryWrapper: max_elapsed (seconds)")
        self.retry_on = None if retry_on is None else error_types(retry_on, "RetryWrapper: retry_on")
        self._random = _random

    @override
    async def _around(self, call: Call[T]) -> T:
        lost: list[Exception] = []
        try:
            return await within(self.max_elapsed, self._attempts, call, lost)
        except BaseKeyValueError:
            raise
        except TimeoutError as error:
            outcome: Outcome = "unknown" if lost else _outcome(error)
            message = f"{call} did not end within {self.max_elapsed:g} s, retries included."
            raise StoreTimeoutError(message, outcome=outcome, key=call.key, collection=call.collection) from error

    async def _attempts(self, call: Call[T], lost: list[Exception]) -> T:
        """Try until it works or is not worth it; the errors of attempts that may have been applied go to *lost*."""
        end = monotonic() + self.max_elapsed
        for attempt in range(self.max_retries + 1):
            try:
                result = await call(self.key_value)
            except Exception as error:
                if _outcome(error) == "unknown":
                    lost.append(error)
                delay = self._random() * min(self.max_delay, self.initial_delay * self.exponential_base**attempt)
                last = attempt == self.max_retries or monotonic() + delay >= end
                if last or not self._worth_it(call, error, lost=bool(lost)):
                    if lost and isinstance(error, BaseKeyValueError):
                        error.outcome = "unknown"
                    if attempt:
                        error.add_note(f"after {attempt + 1} attempts")
                    raise
                await sleep(delay)
            else:
                if lost and call.name == "delete" and not result:
                    raise lost[0]  # the first attempt may have deleted it: False would be a guess
                return result
        raise AssertionError("unreachable")

    def _worth_it(self, call: Call[T], error: Exception, *, lost: bool) -> bool:
        if self.retry_on is not None:
            wanted = isinstance(error, self.retry_on)
        else:
            wanted = isinstance(error, BaseKeyValueError) and error.retryable
        return wanted and (not lost or call.operation.repeatable)


def _outcome(error: Exception) -> Outcome:
    if isinstance(error, BaseKeyValueError):
        return error.outcome
    return "not_applied" if unsent(error) else "unknown"
