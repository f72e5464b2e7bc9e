"""Send what many tasks ask at once as one bulk operation."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from kv_core import codec
from kv_core.address import check_collection, check_key
from kv_core.aio._runtime import PerLoop
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers._calls import Call, CallWrapper, T
from kv_core.checks import whole
from kv_core.errors import (
    BaseKeyValueError,
    PartialFailureError,
    SerializationError,
    StoreConnectionError,
    StoreTimeoutError,
)
from kv_core.spellings import also
from kv_core.ttl import check_ttl

_logger = logging.getLogger(__name__)

Address = tuple[str, str]
Found = dict[str, Any] | None


class CoalesceWrapper(CallWrapper, whole=True):
    """Let a `get` or `put` go straight while nothing is out; what arrives meanwhile leaves together.

    In each event loop there is one bulk read and one bulk write out at a time; after one the next call waits for what
    arrives in the same turn of the loop, and if nothing does, calls go straight again. Writes leave in order of
    arrival, and whatever is about a key with a write on its way waits for it. A bulk operation that fails is made
    again one by one, so each caller gets its own error only; and it runs in a task of its own, so a caller that is
    cancelled disturbs no other. (A write whose caller was cancelled before it left is not made.) That task has no
    context variables of any caller: wrappers that depend on them belong outside.
    """

    @also(store="key_value")
    def __init__(self, key_value: AsyncKeyValue, max_batch: int = 1000) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            max_batch: How many operations leave together at most.

        Raises:
            ConfigurationError: *max_batch* is not a whole number from 1.
        """
        self.key_value = key_value
        self.max_batch = whole(max_batch, "CoalesceWrapper: max_batch")
        self._lanes = PerLoop(lambda: _Lane(key_value, self.max_batch), _Lane.close)

    @override
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        check_key(key)
        if collection is not None:
            check_collection(collection)
        lane = self._lanes.current() or await self._lanes.open()
        if lane.writing:
            await lane.settled([(self._resolve(collection), key)], self.default_collection)
        if lane.straight_read or lane.reading or lane.reads_come_together:
            return await lane.read_later(collection, key)
        lane.straight_read = True
        try:
            return await self.key_value.get(key, collection=collection)
        finally:
            lane.straight_read = False

    @override
    async def put(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> None:
        check_key(key)
        if collection is not None:
            check_collection(collection)
        lane = self._lanes.current() or await self._lanes.open()
        if lane.writing or lane.writes_come_together:
            check_ttl(ttl)
            await lane.write_later((self._resolve(collection), key), value, ttl)
            return
        lane.writing = True
        lane.straight_write = collection, key
        try:
            await self.key_value.put(key, value, collection=collection, ttl=ttl)
        finally:
            lane.end_straight_write()

    @override
    async def _around(self, call: Call[T]) -> T:
        lane = self._lanes.current() or await self._lanes.open()
        if lane.writing:
            await lane.settled(self._addresses(call) if call.keys else None, self.default_collection)
        return await call(self.key_value)

    @override
    async def iter_keys(self, collection: str | None = None) -> AsyncIterator[str]:
        lane = self._lanes.current() or await self._lanes.open()
        await lane.settled(None, self.default_collection)
        async for key in super().iter_keys(collection):
            yield key

    @override
    async def close(self) -> None:
        await self._lanes.close()
        await super().close()


@dataclass(slots=True, eq=False)
class _Write:
    """A write that waits to leave, or is out."""

    address: Address
    value: dict[str, Any]
    encoded: bytes | None
    ttl: float | None
    caller: asyncio.Future[None]
    """The one who waits for its outcome."""
    waiting: tuple[asyncio.Future[None], ...] = ()
    """Those who wait until it is over."""
    over: bool = False


class _Lane:
    """What is out and what waits in one event loop."""

    def __init__(self, key_value: AsyncKeyValue, max_batch: int) -> None:
        self._key_value = key_value
        self._max_batch = max_batch
        self._loop = asyncio.get_running_loop()
        self.straight_read = False
        """Whether a read is out that went alone."""
        self.reading = False
        """Whether a bulk read is out, or about to leave."""
        self.reads_come_together = False
        self._reads: deque[tuple[str | None, str, asyncio.Future[Found]]] = deque()
        self.writing = False
        """Whether a write is on its way."""
        self.straight_write: tuple[str | None, str] | None = None
        """The collection that was named, and the key, of the write that went alone."""
        self._waiting: list[asyncio.Future[None]] = []  # for it
        self.writes_come_together = False
        self._writes: deque[_Write] = deque()
        self.writes: dict[Address, _Write] = {}
        """The latest write of each key that has one on its way."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def settled(self, addresses: Sequence[Address] | None, default_collection: str) -> None:
        """Wait until the writes of these addresses (None: all) that are on their way have ended."""
        waiting: list[asyncio.Future[None]] = []
        if self.straight_write is not None:
            collection, key = self.straight_write
            if addresses is None or (collection or default_collection, key) in addresses:
                waiting.append(self._loop.create_future())
                self._waiting.append(waiting[-1])
        for write in self.writes.values() if addresses is None else map(self.writes.get, addresses):
            if write is not None:
                waiting.append(self._loop.create_future())
                write.waiting += (waiting[-1],)
        for future in waiting:
            await future

    async def close(self) -> None:
        """Wait for what is out."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _start(self, batch: Coroutine[Any, Any, None]) -> None:
        # A context of its own: the deadline of one caller is not that of the others.
        task = self._loop.create_task(batch, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Reads ----------------------------------------------------------------------------------------------------------

    def read_later(self, collection: str | None, key: str) -> asyncio.Future[Found]:
        future: asyncio.Future[Found] = asyncio.Future(loop=self._loop)  # sooner made than by create_future
        self._reads.append((collection, key, future))
        if not self.reading:
            self.reading = True
            self._start(self._read())  # which takes what is asked in this turn of the loop
        return future

    def _next_reads(self) -> dict[str | None, dict[str, list[asyncio.Future[Found]]]]:
        """Return the reads that leave together, by collection and key."""
        wanted: dict[str | None, dict[str, list[asyncio.Future[Found]]]] = {}
        reads, left = self._reads, self._max_batch
        while reads and left:
            collection, key, future = reads.popleft()
            if not future.done():  # else its caller was cancelled
                left -= 1
                place = wanted.get(collection)
                if place is None:
                    wanted[collection] = {key: [future]}
                elif key in place:
                    place[key].append(future)
                else:
                    place[key] = [future]
        if wanted:
            self.reads_come_together = self._max_batch - left > 1
        return wanted

    async def _read(self) -> None:
        try:
            while wanted := self._next_reads():
                await _all([self._read_collection(collection, keys) for collection, keys in wanted.items()])
        finally:
            self.reading = any(not future.done() for _, _, future in self._reads)
            if self.reading:  # somebody cancelled this task, and not those who wait
                self._start(self._read())

    async def _read_collection(self, collection: str | None, wanted: dict[str, list[asyncio.Future[Found]]]) -> None:
        try:
            if len(wanted) > 1:
                try:
                    found = await self._key_value.get_many(list(wanted), collection=collection)
                    for value, futures in list(zip(found, wanted.values(), strict=True)):
                        _answer(futures, value)
                    return
                except Exception as error:  # noqa: BLE001 - one by one, each caller gets its own
                    _logger.debug("A bulk read failed, and is made one by one: %s", type(error).__name__)
            await _all([self._read_one(collection, key, futures) for key, futures in wanted.items()])
        finally:  # only when this task is cancelled is anything left
            for futures in wanted.values():
                _cancel(futures)

    async def _read_one(self, collection: str | None, key: str, futures: list[asyncio.Future[Found]]) -> None:
        try:
            _answer(futures, await self._key_value.get(key, collection=collection))
        except Exception as error:  # noqa: BLE001 - the caller gets it
            _fail(futures, error)

    # Writes ---------------------------------------------------------------------------------------------------------

    def write_later(self, address: Address, value: dict[str, Any], ttl: float | None) -> asyncio.Future[None]:
        """Let a write wait until the one that is out has ended."""
        try:
            encoded = codec.encode_value(value)  # the caller may change its own
        except SerializationError:
            encoded = None  # the store will say so
        write = self.writes[address] = _Write(address, value, encoded, ttl, asyncio.Future(loop=self._loop))
        self._writes.append(write)
        if not self.writing:
            self.write_on()
        return write.caller

    def end_straight_write(self) -> None:
        """Note that the write that went alone is over."""
        self.straight_write = None
        if self._waiting:
            _release(self._waiting)
            self._waiting = []
        if self._writes:
            self.write_on()
        else:
            self.writing = False

    def end_write(self, write: _Write) -> None:
        """Note that a write is over, and let those go on who waited for it."""
        write.over = True
        if self.writes.get(write.address) is write:
            del self.writes[write.address]
        _release(write.waiting)

    def write_on(self) -> None:
        """Let the writes that wait leave, if there are any."""
        self.writing = bool(self._writes)
        if self.writing:
            self._start(self._write())

    def _next_writes(self) -> list[_Write]:
        """Return the writes that leave together."""
        batch: list[_Write] = []
        while self._writes and len(batch) < self._max_batch:
            write = self._writes.popleft()
            if write.caller.done():
                self.end_write(write)  # its caller was cancelled
            else:
                batch.append(write)
        if batch:
            self.writes_come_together = len(batch) > 1
        return batch

    async def _write(self) -> None:
        batch: list[_Write] = []
        try:
            while batch := self._next_writes():
                collections: dict[str, list[_Write]] = {}
                for write in batch:
                    collections.setdefault(write.address[0], []).append(write)
                await _all([self._write_collection(collection, writes) for collection, writes in collections.items()])
        finally:
            for write in batch:  # somebody cancelled this task
                if not write.over:
                    self.end_write(write)
                    _cancel([write.caller])
            self.write_on()

    async def _write_collection(self, collection: str, writes: list[_Write]) -> None:
        values = [write.value if write.encoded is None else codec.decode_value(write.encoded) for write in writes]
        bulk: Exception | None = None
        done: set[str] = set()
        if len(writes) > 1:
            try:
                await self._key_value.put_many(
                    [write.address[1] for write in writes],
                    values,
                    collection=collection,
                    ttl=[write.ttl for write in writes],
                )
            except Exception as error:  # noqa: BLE001 - one by one, each caller gets its own
                _logger.debug("A bulk write failed, and is made one by one: %s", type(error).__name__)
                bulk = error
                if isinstance(error, PartialFailureError):
                    done = set(error.succeeded) - set(error.failed) - set(error.unknown)
            else:
                for write in writes:
                    self._landed(write)
                return
        turns: dict[str, list[tuple[_Write, dict[str, Any]]]] = {}
        for write, value in zip(writes, values, strict=True):
            if write.address[1] in done:
                self._landed(write)
            else:
                turns.setdefault(write.address[1], []).append((write, value))
        await _all([self._write_in_turn(collection, turn, bulk) for turn in turns.values()])

    async def _write_in_turn(
        self, collection: str, turn: list[tuple[_Write, dict[str, Any]]], bulk: Exception | None
    ) -> None:
        """Make the writes of one key one after the other, and none any more when the store is not there."""
        gone: Exception | None = None
        for write, value in turn:
            error = None if gone is None else _another(gone)
            if gone is None:
                try:
                    await self._key_value.put(write.address[1], value, collection=collection, ttl=write.ttl)
                except Exception as own:  # noqa: BLE001 - the caller gets it
                    error = own
                    if isinstance(error, BaseKeyValueError) and _may_have_happened(bulk):
                        error.outcome = "unknown"
                    if isinstance(error, StoreConnectionError | StoreTimeoutError):
                        gone = error
            self._landed(write, error)

    def _landed(self, write: _Write, error: Exception | None = None) -> None:
        self.end_write(write)
        if not write.caller.done():
            if error is None:
                write.caller.set_result(None)
            else:
                write.caller.set_exception(error)
                write.caller.exception()  # the caller may be cancelled yet, and not ask


async def _all(calls: list[Coroutine[Any, Any, None]]) -> None:
    """Make calls at once that do not fail."""
    if len(calls) == 1:
        await calls[0]
    elif calls:
        await asyncio.gather(*calls)


def _may_have_happened(error: Exception | None) -> bool:
    return error is not None and not (isinstance(error, BaseKeyValueError) and error.outcome == "not_applied")


def _answer(futures: list[asyncio.Future[Found]], value: Found) -> None:
    """Give each caller a value of its own."""
    if len(futures) > 1:
        for future in futures[1:]:
            if not future.done():
                future.set_result(value if value is None else _copied(value))
    if not futures[0].done():
        futures[0].set_result(value)


def _copied(value: dict[str, Any]) -> dict[str, Any]:
    try:
        return codec.decode_value(codec.encode_value(value))
    except SerializationError:
        return copy.deepcopy(value)  # a wrapper inside made more of it than stores keep


def _fail(futures: list[asyncio.Future[Found]], error: Exception) -> None:
    """Give each caller an error of its own."""
    for number, future in enumerate(futures):
        if not future.done():
            future.set_exception(_another(error) if number else error)
            future.exception()  # the caller may be cancelled yet, and not ask


def _another(error: Exception) -> Exception:
    """Return a copy of an error: whoever it passes may add to it."""
    try:
        another = copy.copy(error)
    except Exception:  # noqa: BLE001 - not every class can be copied
        return error
    another.__cause__, another.__context__ = error.__cause__, error.__context__
    return another.with_traceback(error.__traceback__)


def _release(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def _cancel(futures: Iterable[asyncio.Future[Any]]) -> None:
    for future in futures:
        future.cancel()  # nothing happens to one that is done
