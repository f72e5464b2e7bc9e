"""Measure how long something took."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter


@dataclass
class Watch:
    """What a stopwatch shows once it was stopped."""

    seconds: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Watch]:
    """Measure the seconds that the block takes, however it ends."""
    watch = Watch()
    start = perf_counter()
    try:
        yield watch
    finally:
        watch.seconds = perf_counter() - start
