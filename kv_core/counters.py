"""Count operations: exactly under threads, and in bounded memory. The twins of both sides share the counters."""

from __future__ import annotations

import threading
from bisect import bisect
from dataclasses import dataclass, field
from typing import Final

from kv_core.forks import renew_after_fork

MAX_COLLECTIONS: Final = 1000
"""How many collections are counted apart; what comes later is counted under `OTHER`."""
OTHER: Final = "(other)"
NONE: Final = ""
"""Stands for the collection of a call that is about none."""

_READS: Final = frozenset(("get", "get_many", "ttl", "ttl_many", "get_with_revision"))
_BOUNDS: Final = [(step << doublings) / 1e9 for doublings in range(45) for step in (5, 6, 7, 8)]
"""Where the buckets of latencies end, in seconds, up to ten hours: a percentile is at most 25 % too high."""


@dataclass(slots=True)
class OperationStatistics:
    """How often one operation was made, and how it went.

    Attributes:
        count: Calls, failed ones included.
        hits: Keys for which there was an entry.
        misses: Keys for which there was none.
        errors: Calls that raised.
        seconds: Their latencies added up.
    """

    count: int = 0
    hits: int = 0
    misses: int = 0
    errors: int = 0
    seconds: float = 0.0
    _latencies: list[int] = field(default_factory=lambda: [0] * len(_BOUNDS), repr=False)

    def hit_rate(self) -> float:
        """Return the share of keys that had an entry, 0.0 before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0

    def percentile(self, percent: float) -> float:
        """Return the latency, in seconds, that *percent* of the calls did not pass; 0.0 before the first."""
        wanted = self.count * percent / 100
        seen = 0
        for bucket, number in enumerate(self._latencies):
            seen += number
            if number and seen >= wanted:
                return _BOUNDS[bucket]
        return 0.0

    def _add(self, hits: int, misses: int, errors: int, seconds: float, bucket: int) -> None:
        self.count += 1
        self.hits += hits
        self.misses += misses
        self.errors += errors
        self.seconds += seconds
        self._latencies[bucket] += 1

    def _copy(self) -> OperationStatistics:
        return OperationStatistics(self.count, self.hits, self.misses, self.errors, self.seconds, list(self._latencies))

    def _plus(self, other: OperationStatistics) -> OperationStatistics:
        return OperationStatistics(
            self.count + other.count,
            self.hits + other.hits,
            self.misses + other.misses,
            self.errors + other.errors,
            self.seconds + other.seconds,
            [here + there for here, there in zip(self._latencies, other._latencies, strict=True)],
        )


@dataclass(slots=True)
class Statistics:
    """The counters of a stack, or of one collection, as they stood when they were asked for.

    Attributes:
        operations: What is counted for each operation, by its name.
        collections: The same for each collection, by its name.
    """

    operations: dict[str, OperationStatistics] = field(default_factory=dict[str, OperationStatistics])
    collections: dict[str, Statistics] = field(default_factory=dict[str, "Statistics"], repr=False)

    def operation(self, name: str) -> OperationStatistics:
        """Return the counters of an operation, all zero if it was not made."""
        return self.operations.get(name) or OperationStatistics()

    def get_collection(self, name: str) -> Statistics:
        """Return the counters of a collection, all zero if nothing was done in it."""
        return self.collections.get(name) or Statistics()

    @property
    def count(self) -> int:
        """All calls."""
        return sum(operation.count for operation in self.operations.values())

    @property
    def errors(self) -> int:
        """All calls that raised."""
        return sum(operation.errors for operation in self.operations.values())

    @property
    def hits(self) -> int:
        """Keys that were read and had an entry."""
        return sum(operation.hits for name, operation in self.operations.items() if name in _READS)

    @property
    def misses(self) -> int:
        """Keys that were read and had no entry."""
        return sum(operation.misses for name, operation in self.operations.items() if name in _READS)

    def hit_rate(self) -> float:
        """Return the share of read keys that had an entry, 0.0 before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class Counters:
    """The counters themselves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._collections: dict[str | None, dict[str, OperationStatistics]] = {}
        renew_after_fork(self)

    def record(
        self,
        operation: str,
        collection: str | None,
        seconds: float,
        *,
        hits: int = 0,
        misses: int = 0,
        error: bool = False,
    ) -> None:
        """Count one call.

        Args:
            operation: Its name.
            collection: The collection it was about (None: the default one), or `NONE`.
            seconds: How long it took.
            hits: Keys for which there was an entry.
            misses: Keys for which there was none.
            error: Whether it raised.
        """
        bucket = bisect(_BOUNDS, seconds, 0, len(_BOUNDS) - 1)
        with self._lock:
            here = self._collections.get(collection)
            if here is None:
                name = collection if len(self._collections) < MAX_COLLECTIONS else OTHER
                here = self._collections.setdefault(name, {})
            one = here.get(operation)
            if one is None:
                one = here[operation] = OperationStatistics()
            one._add(hits, misses, error, seconds, bucket)  # pyright: ignore[reportPrivateUsage] - of this module

    def read(self, default_collection: str) -> Statistics:
        """Return a copy of all counters as of one moment."""
        with self._lock:
            copies = {
                name: {operation: one._copy() for operation, one in here.items()}  # pyright: ignore[reportPrivateUsage] - of this module
                for name, here in self._collections.items()
            }
        found = Statistics()
        for name, here in copies.items():
            _add_up(found.operations, here)
            if name != NONE:
                place = default_collection if name is None else name
                _add_up(found.collections.setdefault(place, Statistics()).operations, here)
        return found

    def reset(self) -> None:
        """Begin again from zero."""
        with self._lock:
            self._collections = {}

    def renew_lock(self) -> None:
        """Take a new lock, as a child has to after a fork."""
        self._lock = threading.Lock()


def _add_up(total: dict[str, OperationStatistics], more: dict[str, OperationStatistics]) -> None:
    for operation, one in more.items():
        there = total.get(operation)
        total[operation] = one if there is None else there._plus(one)  # pyright: ignore[reportPrivateUsage] - of this module
