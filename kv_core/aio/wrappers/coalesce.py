"""Send what many tasks ask at once as one bulk operation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextvars import Context
from typing import Any

from typing_extensions import override

from kv_core import codec
from kv_core.address import check_key
from kv_core.aio._runtime import PerLoop
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.wrappers._calls import Call, CallWrapper, T
from kv_core.checks import whole
from kv_core.errors import BaseKeyValueError
from kv_core.spellings import also
from kv_core.ttl import check_ttl

Address = tuple[str, str]
Found = dict[str, Any] | None


class CoalesceWrapper(CallWrapper, whole=True):
    """Let a `get` or `put` go straight while nothing is out; what arrives meanwhile leaves together.

    In each event loop there is one bulk read and one bulk write out at a time. Writes leave in order of arrival, and
    whatever is about a key with a write on its way waits for it. A bulk operation that fails is made again one by one,
    so each caller gets its own error only; and it runs in a task of its own, so a caller that is cancelled disturbs
    no other.
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
        lane = self._lanes.current() or await self._lanes.open()
        return await lane.get((self._resolve(collection), key))

    @override
    async def put(
        self, key: str, value: dict[str, Any], *, collection: str | None = None, ttl: float | None = None
    ) -> None:
        check_key(key)
        check_ttl(ttl)
        lane = self._lanes.current() or await self._lanes.open()
        await lane.put((self._resolve(collection), key), value, ttl)

    @override
    async def _around(self, call: Call[T]) -> T:
        lane = self._lanes.current() or await self._lanes.open()
        if lane.writes_on_their_way:
            await lane.settled(self._addresses(call) if call.keys else None)
        return await call(self.key_value)

    @override
    async def iter_keys(self, collection: str | None = None) -> AsyncIterator[str]:
        lane = self._lanes.current() or await self._lanes.open()
        await lane.settled(None)
        async for key in super().iter_keys(collection):
            yield key

    @override
    async def close(self) -> None:
        await self._lanes.close()
        await super().close()


class _Lane:
    """What is out and what waits in one event loop."""

    def __init__(self, key_value: AsyncKeyValue, max_batch: int) -> None:
        self._key_value = key_value
        self._max_batch = max_batch
        self._reading = False
        self._reads: deque[tuple[Address, asyncio.Future[Found]]] = deque()
        self._writing = False
        self._writes: deque[tuple[Address, dict[str, Any], float | None, asyncio.Future[None]]] = deque()
        self.writes_on_their_way: dict[Address, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, address: Address) -> Found:
        if address in self.writes_on_their_way:
            await self.settled([address])
        if not self._reading:
            self._reading = True
            try:
                return await self._key_value.get(address[1], collection=address[0])
            finally:
                self._next_reads()
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._reads.append((address, future))
        return await future

    async def put(self, address: Address, value: dict[str, Any], ttl: float | None) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        straight = not self._writing
        self.writes_on_their_way[address] = future
        if straight:
            self._writing = True
            try:
                await self._key_value.put(address[1], value, collection=address[0], ttl=ttl)
            finally:
                self._arrived(address, future)
                self._next_writes()
            return
        self._writes.append((address, value, ttl, future))
        await asyncio.shield(future)

    async def settled(self, addresses: Sequence[Address] | None) -> None:
        """Wait until the writes of these addresses (None: all) that are on their way have ended."""
        if addresses is None:
            waiting = set(self.writes_on_their_way.values())
        else:
            waiting = {self.writes_on_their_way[one] for one in addresses if one in self.writes_on_their_way}
        if waiting:
            await asyncio.wait(waiting)

    async def close(self) -> None:
        """Wait for what is out."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _arrived(self, address: Address, future: asyncio.Future[None], error: BaseException | None = None) -> None:
        if self.writes_on_their_way.get(address) is future:
            del self.writes_on_their_way[address]
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                future.exception()  # whoever asked may have gone

    def _start(self, batch: Coroutine[Any, Any, None]) -> None:
        # A context of its own: the deadline of one caller is not that of the others.
        task = asyncio.get_running_loop().create_task(batch, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Reads ----------------------------------------------------------------------------------------------------------

    def _next_reads(self) -> None:
        if not self._reads:
            self._reading = False
            return
        wanted: dict[str, dict[str, list[asyncio.Future[Found]]]] = {}
        for _ in range(min(self._max_batch, len(self._reads))):
            (collection, key), future = self._reads.popleft()
            if not future.done():
                wanted.setdefault(collection, {}).setdefault(key, []).append(future)
        self._start(self._read(wanted))

    async def _read(self, wanted: dict[str, dict[str, list[asyncio.Future[Found]]]]) -> None:
        try:
            await asyncio.gather(*[self._read_collection(collection, keys) for collection, keys in wanted.items()])
        finally:
            self._next_reads()

    async def _read_collection(self, collection: str, wanted: dict[str, list[asyncio.Future[Found]]]) -> None:
        try:
            found = await self._key_value.get_many(list(wanted), collection=collection)
        except BaseKeyValueError:
            await asyncio.gather(*[self._read_one(collection, key, futures) for key, futures in wanted.items()])
            return
        except BaseException as error:
            for future in [future for futures in wanted.values() for future in futures]:
                _fail(future, error)
            raise
        for value, futures in zip(found, wanted.values(), strict=True):
            _answer(futures, value)

    async def _read_one(self, collection: str, key: str, futures: list[asyncio.Future[Found]]) -> None:
        try:
            value = await self._key_value.get(key, collection=collection)
        except BaseException as error:
            for future in futures:
                _fail(future, error)
            if not isinstance(error, BaseKeyValueError):
                raise
            return
        _answer(futures, value)

    # Writes ---------------------------------------------------------------------------------------------------------

    def _next_writes(self) -> None:
        if not self._writes:
            self._writing = False
            return
        batch = [self._writes.popleft() for _ in range(min(self._max_batch, len(self._writes)))]
        self._start(self._write(batch))

    async def _write(self, batch: list[tuple[Address, dict[str, Any], float | None, asyncio.Future[None]]]) -> None:
        left = list(batch)
        try:
            collections: dict[str, list[Any]] = {}
            for write in batch:
                collections.setdefault(write[0][0], []).append(write)
            for collection, writes in collections.items():
                await self._write_collection(collection, writes)
            left = []
        except BaseException as error:
            for address, _, _, future in left:
                self._arrived(address, future, error)
            raise
        finally:
            self._next_writes()

    async def _write_collection(self, collection: str, writes: list[Any]) -> None:
        try:
            await self._key_value.put_many(
                [address[1] for address, _, _, _ in writes],
                [value for _, value, _, _ in writes],
                collection=collection,
                ttl=[ttl for _, _, ttl, _ in writes],
            )
        except BaseKeyValueError:
            for address, value, ttl, future in writes:
                try:
                    await self._key_value.put(address[1], value, collection=collection, ttl=ttl)
                except BaseKeyValueError as error:
                    self._arrived(address, future, error)
                else:
                    self._arrived(address, future)
            return
        for address, _, _, future in writes:
            self._arrived(address, future)


def _answer(futures: list[asyncio.Future[Found]], value: Found) -> None:
    """Give each caller a value of its own."""
    for number, future in enumerate(futures):
        if not future.done():
            one = value if number == 0 or value is None else codec.decode_value(codec.encode_value(value))
            future.set_result(one)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    else:
        future.set_exception(error)
