"""Two threads that work on a disk store's databases. The twin is `kv_core/sync/_drivers/disk.py`.

One reads and one writes, so that a lock which another process holds stops no reads. Jobs queue up; all that wait are
done at once, writes to one database in one transaction, and their answers come back in one wake-up of each event loop.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, TypeVar

from typing_extensions import override

from kv_core.deadline import left, mark_unsent
from kv_core.disk_databases import Connect, Databases
from kv_core.disk_format import Connection, patiently, transaction
from kv_core.errors import BaseKeyValueError, StoreClosedError

T = TypeVar("T")

_BATCH: Final = 64
"""How many jobs are done before their callers hear of it."""
_MARGIN: Final = 0.02
"""How many seconds before its caller a job gives up on a lock, so that it can say that nothing was done."""


class Client:
    """A disk store's databases, which two threads use for all event loops of the process."""

    def __init__(self, connect: Connect, timeout: float, *, most: int = 1) -> None:
        self._connect = connect
        self._timeout = timeout
        self._most = most
        self._closed = False
        self._begin()
        _live.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._workers: dict[type[_Worker], _Worker] = {}

    def read(self, place: str, make: bool, job: Callable[..., T], *args: Any) -> Coroutine[Any, Any, T]:
        """Do a job that changes nothing; *make* the database if there is none.

        Raises:
            TimeoutError: It did not end in time.
        """
        return self._ask(_Worker, place, make, job, args)

    def write(self, place: str, make: bool, job: Callable[..., T], *args: Any) -> Coroutine[Any, Any, T]:
        """Do a job that may change something; *make* the database if there is none.

        Raises:
            TimeoutError: It did not end in time.
        """
        return self._ask(_Writer, place, make, job, args)

    async def _ask(self, kind: type[_Worker], place: str, make: bool, fn: Callable[..., T], args: tuple[Any, ...]) -> T:
        seconds = left(self._timeout)
        worker = self._workers.get(kind) or self._start(kind)
        loop = asyncio.get_running_loop()
        job = _Job(loop, monotonic() + seconds, place, make, fn, args)
        answer: T
        if seconds < self._timeout:  # a deadline of this call's own
            timer = loop.call_later(seconds, job.expire)
            try:
                worker.put(job)
                answer = await job.future
            finally:
                timer.cancel()
            return answer
        worker.put(job)
        (worker.watches.get(loop) or worker.watch(loop)).add(job, seconds)
        answer = await job.future
        return answer

    def _start(self, kind: type[_Worker]) -> _Worker:
        with self._lock:
            if self._closed:
                raise StoreClosedError
            if kind not in self._workers:
                worker = kind(Databases(self._connect, self._most))
                worker.finalizer = weakref.finalize(self, worker.stop)
                self._workers[kind] = worker
            return self._workers[kind]

    async def close(self) -> None:
        """End the threads when they have done what was asked before; they do not wait for locks any more."""
        with self._lock:
            self._closed = True
            workers = list(self._workers.values())
        loop = asyncio.get_running_loop()
        ends = [_Job(loop, 0.0, "", False, _nothing, ()) for _ in workers]
        for worker, end in zip(workers, ends, strict=True):
            worker.stop(end)
        if ends:
            await asyncio.wait([end.future for end in ends], timeout=self._timeout)
        for worker, end in zip(workers, ends, strict=True):
            if end.future.done():
                worker.thread.join()  # it has nothing left to do

    def workers(self) -> list[_Worker]:
        """Return the threads that were started."""
        return list(self._workers.values())

    def forget(self) -> None:
        """Leave the threads to the parent, as a child does after a fork."""
        for worker in self.workers():
            worker.finalizer.detach()
            _graves.append(worker)  # closing its connections would touch the parent's locks
        self._begin()


class _Job:
    """Something to do for a caller who waits in an event loop."""

    __slots__ = ("args", "begun", "end", "error", "expired", "fn", "future", "loop", "make", "place", "result")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        end: float,
        place: str,
        make: bool,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.end = end
        self.place = place
        self.make = make
        self.fn = fn
        self.args = args
        self.begun = self.expired = False
        self.result: Any = None
        self.error: BaseException | None = None

    def begin(self) -> bool:
        """Mark the job as begun, unless its caller has gone; a caller who goes later sees the mark."""
        self.begun = True
        return not self.expired and not self.future.done()

    def expire(self) -> None:
        """Tell the caller that it did not end in time, and whether it may still have an effect."""
        if self.future.done():
            return
        self.expired = True  # before the mark is read, as the thread sets the mark before it reads this
        error = TimeoutError()
        mark_unsent(error, not self.begun)
        self.future.set_exception(error)

    def do(self, connection: Connection) -> None:
        """Call the function."""
        self.result = self.fn(connection, *self.args)


class _Watch:
    """Ends the jobs of one loop at their deadlines, which come in order, with one timer for all of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: deque[_Job] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, job: _Job, seconds: float) -> None:
        jobs = self._jobs
        while jobs and jobs[0].future.done():
            jobs.popleft()
        jobs.append(job)
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._fire)

    def _fire(self) -> None:
        self._timer = None
        jobs, now = self._jobs, monotonic()
        while jobs and (jobs[0].end <= now or jobs[0].future.done()):
            jobs.popleft().expire()
        if jobs:
            self._timer = self._loop.call_later(jobs[0].end - now, self._fire)


class _Worker:
    """A thread with connections, which does jobs one after the other."""

    finalizer: weakref.finalize[..., Any]
    name = "kv-disk-reader"

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._gate = threading.Lock()
        self._stopped = False
        self.turn = databases.turn
        self.watches: dict[asyncio.AbstractEventLoop, _Watch] = {}
        self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self.thread.start()

    def put(self, job: _Job) -> None:
        """Queue a job."""
        with self._gate:
            if self._stopped:
                raise StoreClosedError
            self._jobs.put(job)

    def watch(self, loop: asyncio.AbstractEventLoop) -> _Watch:
        """Return what ends the jobs of a loop in time."""
        for ended in [known for known in self.watches if known.is_closed()]:
            self.watches.pop(ended, None)
        return self.watches.setdefault(loop, _Watch(loop))

    def stop(self, end: _Job | None = None) -> None:
        """End after the jobs that are queued; *end* is answered then."""
        with self._gate:
            if end is not None:
                self._jobs.put(end)
            self._jobs.put(None)
            self._stopped = True

    def _run(self) -> None:
        ends = False
        while not ends:
            jobs = [self._jobs.get()]
            while len(jobs) < _BATCH and jobs[-1] is not None:
                try:
                    jobs.append(self._jobs.get_nowait())
                except Empty:
                    break
            ends = jobs[-1] is None
            batch = [job for job in jobs if job is not None and job.begin()]
            with self.turn:
                self._work(batch)
                if ends:
                    self._databases.close()
            _deliver(batch)

    def _work(self, batch: list[_Job]) -> None:
        known = self._databases.get
        for job in batch:
            if job.future.done() or job.fn is _nothing:
                continue
            try:
                try:
                    job.result = job.fn(known(job.place) or self._open(job.place, job.make), *job.args)
                except sqlite3.OperationalError:  # locked; or it comes again
                    patiently(job.end - _MARGIN, partial(self._check, job), self._do, job)
            except BaseException as error:  # noqa: BLE001 - it is the caller's
                job.error = error

    def _check(self, *jobs: _Job) -> None:
        if self._stopped:
            raise StoreClosedError
        if jobs and all(job.future.done() for job in jobs):
            raise TimeoutError  # nobody waits any more

    def _do(self, job: _Job) -> None:
        job.do(self._open(job.place, job.make))

    def _open(self, place: str, make: bool) -> Connection:
        return self._databases.get(place) or self._databases.open(place, make)


class _Writer(_Worker):
    """A thread that does the jobs of a batch in one transaction for each database."""

    name = "kv-disk-writer"

    @override
    def _work(self, batch: list[_Job]) -> None:
        by_place: dict[str, list[_Job]] = {}
        for job in batch:
            by_place.setdefault(job.place, []).append(job)
        for jobs in by_place.values():
            self._work_in_one(jobs)

    def _work_in_one(self, batch: list[_Job]) -> None:
        if len(batch) > 1:
            try:
                until = min(job.end for job in batch) - _MARGIN
                patiently(until, partial(self._check, *batch), self._do_together, batch)
            except Exception:  # noqa: BLE001 - it comes again for the job that caused it
                for job in batch:
                    job.error = None
            else:
                return
        super()._work(batch)

    def _do_together(self, batch: list[_Job]) -> None:
        connection = self._open(batch[0].place, any(job.make for job in batch))
        with transaction(connection):
            for job in batch:
                before = connection.total_changes
                try:
                    job.do(connection)
                except BaseKeyValueError as error:
                    if connection.total_changes != before:
                        raise
                    job.error = error  # it was refused before it changed anything


def _deliver(batch: list[_Job]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in batch:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed, and nobody waits any more
            loop.call_soon_threadsafe(_settle, jobs)


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        if not job.future.done():
            if job.error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(job.error)


def _nothing(_: Connection) -> None:
    """Stand for the end of the queue."""


_live: weakref.WeakSet[Client] = weakref.WeakSet()
_graves: list[object] = []
_held: list[_Worker] = []


def _before_fork() -> None:
    """Wait until no thread is inside SQLite, whose own locks the child could never release."""
    for client in list(_live):
        _held.extend(worker for worker in client.workers() if worker.turn.acquire(timeout=0.2))


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().turn.release()


def _after_fork_in_child() -> None:
    _held.clear()
    for client in list(_live):
        client.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
