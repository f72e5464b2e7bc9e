# Written by tools/mirror.py from kv_core/aio/wrappers/logging.py: change that file instead.
"""Write a line to the log for every operation."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from typing_extensions import override

from kv_core.spellings import also
from kv_core.sync.protocols import KeyValue
from kv_core.sync.wrappers._calls import Call, CallWrapper, T


class LoggingWrapper(CallWrapper):
    """Log `PUT key='test' collection=None ttl=None` when the operation has ended, and the error's name if it failed.

    Names are escaped, so one operation is one line. Values are left out unless asked for.
    """

    @also(store="key_value")
    def __init__(
        self,
        key_value: KeyValue,
        logger: logging.Logger | None = None,
        log_level: int = logging.INFO,
        log_values: bool = False,
        structured_logs: bool = False,
    ) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            logger: Where the lines go; by default the logger of this module.
            log_level: Their level; where it is off, nothing is done.
            log_values: Show the values that are put and found, too.
            structured_logs: Write each line as JSON.
        """
        self.key_value = key_value
        self.logger = logger or logging.getLogger(__name__)
        self.log_level = log_level
        self.log_values = log_values
        self.structured_logs = structured_logs

    @override
    def _around(self, call: Call[T]) -> T:
        if not self.logger.isEnabledFor(self.log_level):
            return call(self.key_value)
        try:
            result = call(self.key_value)
        except BaseException as error:
            self._log(call, {"error": type(error).__name__})
            raise
        found = {"result": result} if self.log_values and call.operation.reads_value else {}
        self._log(call, found)
        return result

    def _log(self, call: Call[Any], more: Mapping[str, Any]) -> None:
        facts: dict[str, Any] = {}
        if call.arguments:
            facts["keys" if call.operation.bulk else "key"] = call.arguments[0]
        facts |= call.options
        if self.log_values and call.operation.writes_value and len(call.arguments) > 1:
            facts["values" if call.operation.bulk else "value"] = call.arguments[1]
        facts |= more
        if self.structured_logs:
            line = msgspec.json.encode({"operation": call.name, **facts}, enc_hook=repr).decode()
        else:
            line = " ".join([call.name.upper(), *[f"{name}={fact!r}" for name, fact in facts.items()]])
        self.logger.log(self.log_level, "%s", line)
