"""Compare calls fairly on a machine that drifts: alternating rounds in one process, medians of their ratios."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Self

Operation = Callable[[], Any]
"""A call without arguments; what it returns is awaited if it can be."""
Clock = Callable[[], float]

_ROUNDS = 61
_WARM_UP = 0.25  # seconds: connections, caches and a database's log reach the size that they keep
_LONGEST = 8.0  # seconds for the rounds of one comparison; slow contenders have fewer of them
_FEWEST = 7
_SECONDS = 0.004  # for one contender in one round: most rounds then pass without another process taking the core


@dataclass(frozen=True)
class Rival:
    """What an operation of ours is compared with, and the bar that it has to hold.

    Attributes:
        name: What it is.
        call: One call of it.
        at_most: How many times its time ours may take.
        faster: How many times faster ours has to be.
    """

    name: str
    call: Operation
    at_most: float | None = None
    faster: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of the report. Times are in microseconds a call, unless `shown` has another unit."""

    title: str
    what: str
    ours: float
    rival: str
    theirs: float | None
    shown: str
    bar: str
    held: bool | None


class Bench:
    """Measures, prints and collects; one event loop serves all calls that wait."""

    def __init__(self, *, quick: bool = False, only: Sequence[str] = ()) -> None:
        self.quick = quick
        self.only = only
        self.rows: list[Row] = []
        self._title = ""
        self._rounds = _ROUNDS // 6 if quick else _ROUNDS
        self._warm_up = _WARM_UP / 6 if quick else _WARM_UP
        self._loop = asyncio.Runner()
        self._servers: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.close()
        for server in self._servers.values():
            if server is not None:
                server.stop()

    def server(self, kind: str) -> str | None:
        """Return the URL of a server of a kind that the tests know, started when first asked for; None without one."""
        if kind not in self._servers:
            self._servers[kind] = _server(kind)
        return None if self._servers[kind] is None else str(self._servers[kind].url)

    @property
    def redis(self) -> str | None:
        """The URL of a Redis."""
        return self.server("redis")

    def run(self, call: Operation) -> Any:
        """Make one call that belongs to no measurement: to fill a store, or to close it."""
        result = call()
        return self._loop.run(_wait(result)) if inspect.isawaitable(result) else result

    def title(self, text: str) -> None:
        """Begin a part of the report."""
        self._title = text
        print(f"\n{text}\n{'':46}{'ours µs':>10}  {'against':34}{'µs':>10}  {'':14}bar")

    def compare(self, what: str, ours: Operation, *rivals: Rival, calls: int = 1) -> None:
        """Measure an operation and its rivals.

        Args:
            what: What the operation is.
            ours: One call of it.
            rivals: What it is compared with.
            calls: How many operations one call makes, where it makes several at once.
        """
        rounds = self._measure([ours, *[rival.call for rival in rivals]])
        for number, rival in enumerate(rivals, 1):
            mine, theirs = (median(one[at] for one in rounds) * 1e6 / calls for at in (0, number))
            ratio = median(one[0] / one[number] for one in rounds)
            held: bool | None
            if rival.faster is not None:
                shown, bar, held = f"{1 / ratio:.1f}x faster", f">= {rival.faster:g}x", 1 / ratio >= rival.faster
            else:
                shown = f"{ratio:.2f}x" if ratio > 0.5 else f"{1 / ratio:.1f}x faster"
                bar = "" if rival.at_most is None else f"<= {rival.at_most:g}x"
                held = None if rival.at_most is None else ratio <= rival.at_most
            self._report(Row(self._title, what, mine, rival.name, theirs, shown, bar, held), first=number == 1)

    def cost(self, what: str, ours: Operation, bare: Operation, *, at_most: float | None = None) -> None:
        """Measure what an operation that waits for nobody costs beyond a bare one, in microseconds of this process."""
        rounds = self._measure([ours, bare], process_time)
        mine, theirs = (median(one[at] for one in rounds) * 1e6 for at in (0, 1))
        extra = median(one[0] - one[1] for one in rounds) * 1e6
        self._report_absolute(what, mine, "without it", theirs, f"{extra:+.2f} µs", extra, at_most)

    def absolute(self, what: str, number: float, unit: str, *, at_most: float | None = None) -> None:
        """Report a number that was measured elsewhere."""
        self._report_absolute(what, number, "", None, f"{number:.1f} {unit}", number, at_most, unit)

    def time(self, what: str, ours: Operation, *, aim: float) -> None:
        """Measure an operation by itself; *aim* was reached on another machine, so it is shown and not judged."""
        number = median(one[0] for one in self._measure([ours])) * 1e6
        self._report(Row(self._title, what, number, f"aim: {aim:g} µs", None, f"{number:.2f} µs", "", None))

    def _report_absolute(
        self,
        what: str,
        mine: float,
        rival: str,
        theirs: float | None,
        shown: str,
        number: float,
        at_most: float | None,
        unit: str = "µs",
    ) -> None:
        bar = "" if at_most is None else f"<= {at_most:g} {unit}"
        self._report(
            Row(self._title, what, mine, rival, theirs, shown, bar, None if at_most is None else number <= at_most)
        )

    def _report(self, row: Row, *, first: bool = True) -> None:
        self.rows.append(row)
        verdict = "" if row.held is None else "ok" if row.held else "MISSED"
        what = row.what if first else ""
        ours = f"{row.ours:.2f}" if first and row.rival else ""
        theirs = "" if row.theirs is None else f"{row.theirs:.2f}"
        line = f"{what:46}{ours:>10}  {row.rival:34}{theirs:>10}  {row.shown:14}{row.bar:10} {verdict}"
        print(line.rstrip(), flush=True)

    def summary(self) -> int:
        """Print how many bars were held, and return how many were not."""
        missed = sum(row.held is False for row in self.rows)
        print(f"\n{sum(row.held is True for row in self.rows)} bars held, {missed} missed")
        return missed

    def as_json(self) -> list[dict[str, Any]]:
        """Return the report as data."""
        return [asdict(row) for row in self.rows]

    def _measure(self, calls: list[Operation], clock: Clock = perf_counter) -> list[list[float]]:
        """Return, for each round, the seconds that one call of each contender took."""
        gc.collect()
        gc.disable()  # as timeit does: a collection would hit contenders by chance
        try:
            repeats = [self._repeats(call) for call in calls]
            rounds: list[list[float]] = []
            end = perf_counter() + _LONGEST
            while len(rounds) < self._rounds and (len(rounds) < _FEWEST or perf_counter() < end):
                rounds.append([self._spin(call, times, clock) for call, times in zip(calls, repeats, strict=True)])
            return rounds
        finally:
            gc.enable()

    def _repeats(self, call: Operation) -> int:
        """Warm a contender up, and return how many calls fill its time."""
        end = perf_counter() + self._warm_up
        repeats = 1
        while True:
            seconds = self._spin(call, repeats) * repeats
            if seconds < _SECONDS / 4:
                repeats *= 4
            elif perf_counter() >= end:
                return max(1, round(repeats * _SECONDS / seconds))

    def _spin(self, call: Operation, repeats: int, clock: Clock = perf_counter) -> float:
        if inspect.iscoroutinefunction(call):
            return self._loop.run(_spin_waiting(call, repeats, clock))
        start = clock()
        for _ in range(repeats):
            call()
        return (clock() - start) / repeats


async def _spin_waiting(call: Operation, repeats: int, clock: Clock) -> float:
    start = clock()
    for _ in range(repeats):
        await call()
    return (clock() - start) / repeats


async def _wait(result: Any) -> Any:
    return await result


def _server(kind: str) -> Any:
    """Find or start a server as the tests do."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from servers import KINDS, NotAvailableError

    try:
        server = KINDS[kind].find()
    except (KeyError, NotAvailableError):
        return None
    print(f"{server.description}: {server.url}")
    return server
