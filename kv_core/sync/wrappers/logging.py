# Written by tools/mirror.py from kv_core/aio/wrappers/logging.py: change that file instead.
"""Write a line to the log for every operation."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final, cast

from typing_extensions import override

from kv_core import codec
from kv_core.errors import ConfigurationError, SerializationError
from kv_core.spellings import also
from kv_core.sync.protocols import KeyValue
from kv_core.sync.wrappers._calls import Call, CallWrapper, T
from kv_core.ttl import Keep

_LEVELS: Final = logging.getLevelNamesMapping()
_PLAIN: Final = (str, int, float, bool, type(None), Keep)


class LoggingWrapper(CallWrapper):
    """Log `PUT key='test' collection=None ttl=None` when the operation has ended, and the error's name if it failed.

    Names are escaped, so one operation is one line. Values are left out unless asked for.
    """

    @also(store="key_value")
    def __init__(
        self,
        key_value: KeyValue,
        logger: logging.Logger | str | None = None,
        log_level: int | str = logging.INFO,
        log_values: bool = False,
        structured_logs: bool = False,
    ) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            logger: Where the lines go, or its name; by default the logger of this module.
            log_level: Their level, or its name; where it is off, nothing is done.
            log_values: Show the values that are put and found, too.
            structured_logs: Write each line as JSON.

        Raises:
            ConfigurationError: *logger* is no logger, or *log_level* no level.
        """
        self.key_value = key_value
        if logger is None or isinstance(logger, str):
            logger = logging.getLogger(logger or __name__)
        if not callable(getattr(logger, "isEnabledFor", None)):
            raise ConfigurationError(f"LoggingWrapper: logger is a logger or its name, not {type(logger).__name__}.")
        level = _LEVELS.get(log_level.upper()) if isinstance(log_level, str) else log_level
        if type(level) is not int:
            raise ConfigurationError(f"LoggingWrapper: log_level is a level or its name, not {log_level!r}.")
        self.logger = logger
        self.log_level = level
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
        if not self.log_values:
            facts.pop("initial", None)  # it becomes the value
        facts = {name: _shown(fact) for name, fact in facts.items()}
        if self.log_values and call.operation.writes_value and len(call.arguments) > 1:
            given = call.arguments[1]
            if call.operation.bulk and isinstance(given, list | tuple):
                facts["values"] = [_checked(value) for value in cast("list[object]", given)]
            else:
                facts["value"] = _checked(given)
        facts |= more
        if self.structured_logs:
            line = _json({"operation": call.name, **facts})
        else:
            line = " ".join([call.name.upper(), *[f"{name}={_repr(fact)}" for name, fact in facts.items()]])
        self.logger.log(self.log_level, "%s", line)


def _shown(fact: object) -> object:
    """Return a name or a number to be shown, or the type of anything else, whose own text may say anything."""
    if type(fact) in (list, tuple):
        return [_shown(one) for one in cast("list[object]", fact)]
    return fact if type(fact) in _PLAIN else f"<{type(fact).__name__}>"


def _checked(value: object) -> object:
    """Return a value, or the type of what no store keeps: written down, it might have no end."""
    if type(value) is int:  # what a counter is changed by
        return _shown(value)
    try:
        codec.check_value(value)
    except SerializationError:
        return f"<{type(value).__name__}>"
    return value


def _repr(fact: object) -> str:
    try:
        return repr(fact)
    except Exception:  # noqa: BLE001 - of a number that no store takes, such as one of 5,000 digits
        return f"<{type(fact).__name__}>"


def _json(facts: Mapping[str, object]) -> str:
    try:
        return json.dumps(facts, separators=(",", ":"), default=repr)
    except Exception:  # noqa: BLE001 - as above
        return json.dumps({name: _repr(fact) for name, fact in facts.items()}, separators=(",", ":"))
