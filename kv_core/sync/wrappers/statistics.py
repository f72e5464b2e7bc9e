# Written by tools/mirror.py from kv_core/aio/wrappers/statistics.py: change that file instead.
"""Count operations, hits, misses, errors, and how long they take."""

from __future__ import annotations

from time import perf_counter

from typing_extensions import override

from kv_core.counters import NONE, Counters, Statistics
from kv_core.spellings import also
from kv_core.sync.protocols import KeyValue
from kv_core.sync.wrappers._calls import Call, CallWrapper, T


class StatisticsWrapper(CallWrapper):
    """Count what passes, in this process. A stack and its twin on the other side share their counters."""

    @also(store="key_value")
    def __init__(self, key_value: KeyValue, *, _shared: Counters | None = None) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
        """
        self.key_value = key_value
        self._counters = Counters() if _shared is None else _shared

    @staticmethod
    def _share() -> Counters:
        """Return what the twins of one stack have in common."""
        return Counters()

    @property
    def statistics(self) -> Statistics:
        """The counters as they stand now."""
        return self._counters.read(self.default_collection)

    def get_statistics(self) -> Statistics:
        """Return the counters as they stand now."""
        return self._counters.read(self.default_collection)

    def reset_statistics(self) -> None:
        """Begin again from zero."""
        self._counters.reset()

    @override
    def _around(self, call: Call[T]) -> T:
        start = perf_counter()
        try:
            result = call(self.key_value)
        except BaseException:
            self._counters.record(call.name, _place(call), perf_counter() - start, error=True)
            raise
        seconds = perf_counter() - start
        hits = call.hits(result)
        misses = 0 if hits is None else len(call.keys) - hits
        self._counters.record(call.name, _place(call), seconds, hits=hits or 0, misses=misses)
        return result


def _place(call: Call[T]) -> str | None:
    """Return the collection that a call names, if it is about one that there can be."""
    collection = call.options.get("collection", NONE)
    return collection if collection is None or type(collection) is str else NONE
