"""How a store asks a Redis or Valkey cluster: a client for each primary, and one pipeline to each for many names.

The library's own cluster clients are not used: an error of one node makes them hang up on all of them, their commands
know no deadline, and their pipelines take twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from typing_extensions import override

from kv_core import redis_scripts as scripts
from kv_core.aio._drivers.resp import Client
from kv_core.aio._runtime import SingleFlight, gather, within
from kv_core.aio.stores._redis_server import Failures, Link, Server, forgotten
from kv_core.deadline import mark_unsent
from kv_core.errors import StoreClosedError, StoreConnectionError
from kv_core.redis_cluster import Remap, Slots, key_of, outdated, parts, redirect

REDIRECTS: Final = 5
"""How often one command follows nodes that send it elsewhere."""

PAUSE: Final = 0.1
"""How long the nodes are not asked for their slots again after they were, in seconds."""


class Cluster(Link):
    """A cluster: each command goes to the primary that serves its name, and follows its slot when that moves."""

    def __init__(
        self,
        connect: Callable[[str], Client],
        known: Sequence[str],
        slot: Callable[[bytes], int],
        refused: type[Exception],
        timeout: float,
        remap: Remap | None = None,
    ) -> None:
        """Connect nothing yet.

        Args:
            connect: Makes the client of a node, given its address.
            known: Addresses to begin with.
            slot: Which slot a name belongs to.
            refused: The library's class of errors that a server answers with.
            timeout: How long it may take to learn who serves what, in seconds.
            remap: Where to reach a node instead of where the cluster says.
        """
        self.execute = self._execute
        self._connect = connect
        self._known = tuple(known)
        self._slot = slot
        self._refused = refused
        self._timeout = timeout
        self._remap = remap
        self._servers: dict[str, Server] = {}
        self._slots: Slots | None = None
        self._stale = False
        self._learned = 0.0
        self._learning: SingleFlight[str, Slots] = SingleFlight()
        self._closed = False

    # Who serves what ------------------------------------------------------------------------------------------------

    async def _served(self) -> Slots:
        slots = self._slots
        if slots is not None and not (self._stale and monotonic() - self._learned > PAUSE):
            return slots
        try:
            return await self._learning.run("slots", self._refresh)
        except BaseException as error:
            mark_unsent(error)
            raise

    async def _refresh(self) -> Slots:
        slots = await within(self._timeout, self._learn)
        self._slots, self._stale, self._learned = slots, False, monotonic()
        for address in self._servers.keys() - set(slots.primaries):
            await self._servers[address].rest()
        return slots

    async def _learn(self) -> Slots:
        """Ask one node after the other; one that is silent leaves time for the rest."""
        primaries = () if self._slots is None else self._slots.primaries
        *others, last = dict.fromkeys((*primaries, *self._known))
        share = self._timeout / (len(others) + 2)
        for address in others:
            with suppress(Exception):
                return await self._ask(address, share)
        return await self._ask(last, share)

    async def _ask(self, address: str, seconds: float) -> Slots:
        reply = await within(seconds, self._server(address).execute, "CLUSTER", "SLOTS")
        return Slots(reply, parts(address)[0], self._remap)

    def _server(self, address: str) -> Server:
        if self._closed:
            raise StoreClosedError
        server = self._servers.get(address)
        if server is None:
            server = self._servers.setdefault(address, Server(self._connect(address)))
        return server

    # Commands -------------------------------------------------------------------------------------------------------

    async def _execute(self, *command: Any) -> Any:
        slots = await self._served()
        return await self._follow(slots.owners[self._slot(key_of(command).encode())], command)

    async def _follow(self, address: str | None, command: Sequence[Any]) -> Any:
        """Send a command to a node, and on to the one that this one names instead."""
        for _ in range(REDIRECTS):
            if address is None:
                break
            try:
                return await self._server(address).execute(*command)
            except Exception as error:
                elsewhere = redirect(error, parts(address)[0], self._remap)
                self._stale = self._stale or outdated(error, self._refused)
                if elsewhere is None:
                    raise
            address = elsewhere.address
            if elsewhere.kind == "ASK":
                [_, reply] = await self._server(address).pipeline([("ASKING",), command])
                if isinstance(reply, Exception):
                    raise reply
                return reply
        self._stale = True
        raise StoreConnectionError("No node of the cluster serves this key's slot at the moment.")

    async def _pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send commands about one name each, in one go to each node; an error stands in its reply's place."""
        owners = (await self._served()).owners
        places: dict[str | None, list[int]] = {}
        for number, command in enumerate(commands):
            places.setdefault(owners[self._slot(key_of(command).encode())], []).append(number)
        parts = await gather(
            *[self._part(address, [commands[number] for number in numbers]) for address, numbers in places.items()]
        )
        replies: list[Any] = [None] * len(commands)
        for numbers, part in zip(places.values(), parts, strict=True):
            for number, reply in zip(numbers, part, strict=True):
                replies[number] = reply
        return replies

    async def _part(self, address: str | None, commands: Sequence[Sequence[Any]]) -> list[Any]:
        if address is None:
            return await gather(*[self._attempt(address, command) for command in commands])
        try:
            replies = await self._server(address).pipeline(commands)
        except Exception as error:  # noqa: BLE001 - it is the reply to each of them
            self._stale = True
            return [error] * len(commands)
        moved = [number for number, reply in enumerate(replies) if isinstance(reply, Exception) and redirect(reply)]
        again = await gather(*[self._attempt(address, commands[number]) for number in moved])
        for number, reply in zip(moved, again, strict=True):
            replies[number] = reply
        return replies

    async def _attempt(self, address: str | None, command: Sequence[Any]) -> Any:
        try:
            return await self._follow(address, command)
        except Exception as error:  # noqa: BLE001 - it is the reply
            return error

    # Many names -----------------------------------------------------------------------------------------------------

    @override
    async def read_many(self, names: Sequence[str]) -> list[bytes | Exception | None]:
        return await self._pipeline([("GET", name) for name in names])

    @override
    async def read_ttl_many(self, names: Sequence[str]) -> list[tuple[bytes | None, int] | Exception]:
        script = scripts.READ_TTL
        found = await self._pipeline([("EVALSHA", script.sha, 1, name) for name in names])
        unknown = [number for number, reply in enumerate(found) if forgotten(reply)]
        again = await self._pipeline([("EVAL", script.text, 1, names[number]) for number in unknown])
        for number, reply in zip(unknown, again, strict=True):
            found[number] = reply
        return found

    @override
    async def write_many(self, names: Sequence[str], data: Sequence[bytes], ends: Sequence[int]) -> Failures:
        replies = await self._pipeline(
            [
                ("SET", name, each, "PX", end) if end else ("SET", name, each)
                for name, each, end in zip(names, data, ends, strict=True)
            ]
        )
        return failures(names, replies)

    @override
    async def remove_many(self, names: Sequence[str], command: str = "DEL") -> tuple[int, Failures]:
        replies = await self._pipeline([(command, name) for name in names])
        failed = failures(names, replies)
        return sum(int(reply) for reply in replies if not isinstance(reply, Exception)), failed

    @override
    async def scan(self, cursor: Any, pattern: str, size: int) -> tuple[Any, list[Any]]:
        """Scan one primary after the other."""
        primaries, position = cursor or ((await self._served()).primaries, None)
        try:
            position, names = await self._server(primaries[0]).scan(position, pattern, size)
        except Exception:
            self._stale = True
            raise
        if position is None:
            primaries = primaries[1:]
        return ((primaries, position) if primaries else None), names

    @override
    async def ping(self) -> None:
        """Ask every primary."""
        await gather(*[self._server(address).ping() for address in (await self._served()).primaries])

    @override
    async def close(self) -> None:
        self._closed = True
        for server in self._servers.values():
            await server.close()


def failures(names: Sequence[str], replies: Sequence[Any]) -> Failures:
    """Return the errors among replies, by the names that they are about."""
    return {name: reply for name, reply in zip(names, replies, strict=True) if isinstance(reply, Exception)}
