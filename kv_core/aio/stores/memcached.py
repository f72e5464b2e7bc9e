"""Keep entries on Memcached servers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from typing_extensions import override

from kv_core import codec, counter
from kv_core.aio._runtime import gather, run_blocking, sleep
from kv_core.aio.stores._backend import DEFAULT_COLLECTION, Write
from kv_core.aio.stores.base import BaseStore
from kv_core.capabilities import ALL, Promises, unsupported
from kv_core.deadline import left
from kv_core.decisions import Action, Decision, Written
from kv_core.entry import Revision
from kv_core.errors import BaseKeyValueError
from kv_core.memcached_client import BELIEVED, Call, Connection, errors
from kv_core.memcached_errors import partly, translate
from kv_core.memcached_items import MAX_NAME, Rendezvous, item_name
from kv_core.memcached_options import servers_of
from kv_core.memcached_pool import Node
from kv_core.memcached_table import MemcachedTable, Put, Spot
from kv_core.ttl import KEEP, SYSTEM_CLOCK, Clock, KeptTTL, When, expiry

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", Spot, Put)

_WITHDRAWN: Final = frozenset(("keys", "iter_keys", "collections", "destroy", "cull"))


class MemcachedStore(BaseStore):
    """A store on one Memcached server or several, one item a key.

    A cache: a server that runs out of memory drops what was used least, and one that is started again is empty.
    An acknowledged write is in the server's memory, on one node; a node that is away is an error for its keys, and
    never a miss. Entries end by the reader's clock, exactly; the server keeps each one to two seconds longer.

    Nothing can be listed, and the store does not know what it holds beside what it is asked for: `keys`, `iter_keys`,
    `collections`, `destroy` and `cull` are not there. `destroy_collection` works by a number that each item carries,
    and that is kept beside a collection's items on each node. If a server drops that record, the collection's
    entries on that node go with it.

    The client blocks: beside a loop it runs in one of a bounded number of threads.
    """

    _has = ALL - _WITHDRAWN
    _promises = Promises(
        clock="the reader's, exact; the server keeps entries up to two seconds longer",
        acknowledged="in the memory of one server",
        largest="1 MiB with its name, or the server's item size (`-I`)",
        dropped="what is used least, when the server is full",
    )

    def __init__(
        self,
        *,
        url: str | None = None,
        host: str | None = None,
        port: int | None = None,
        servers: Sequence[str] | None = None,
        username: str | None = None,
        password: str | None = None,
        client: object = None,
        credential_provider: object = None,
        default_collection: str = DEFAULT_COLLECTION,
        timeout: float = 5.0,
        max_entry_size: int | None = None,
        _clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Describe the servers; the first operation connects.

        Args:
            url: `memcached://host:port,host:port`, `memcacheds://` (TLS) or `memcached:///path/of/a/socket`, with the
                options `key_prefix`, `max_connections` (to each node), `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`
                and `ssl_check_hostname`.
            host: Instead of a URL: the server's name (localhost).
            port: Its port (11211).
            servers: Instead of these: several nodes, each `host:port`, `[IPv6]:port` or the path of a Unix socket.
                All processes name them alike, in any order.
            username: The user to log in as, where the server has a file of them (its option -Y).
            password: The password to log in with.
            client: Instead of an address: a client of pymemcache. Its servers, TLS context and key prefix are used,
                through connections of the store's own; the client itself is not used, and not closed.
            credential_provider: An object whose `get_credentials()` returns user and password, or the dotted path to
                one; it is asked at each new connection.
            default_collection: Where an entry goes when no collection is named.
            timeout: How long a whole operation may take, waiting for a connection included, in seconds.
            max_entry_size: The largest entry that is written, in bytes as they are sent. What the server does not
                take (its option -I, 1 MiB) is refused in any case.

        Raises:
            ConfigurationError: The options contradict each other, or one is not known.
        """
        super().__init__(
            default_collection=default_collection, timeout=timeout, max_entry_size=max_entry_size, _clock=_clock
        )
        where = servers_of(
            url=url,
            host=host,
            port=port,
            servers=servers,
            username=username,
            password=password,
            client=client,
            credential_provider=credential_provider,
        )
        names = where.names()
        self._nodes = [Node(name, at, where) for name, at in zip(names, where.addresses, strict=True)]
        self._nearest = Rendezvous(names)
        self._longest = MAX_NAME - len(where.prefix)
        self._table = MemcachedTable(_clock, type(self).__name__)

    # Calls ----------------------------------------------------------------------------------------------------------

    async def _do(
        self,
        spot: Spot,
        job: Callable[Concatenate[Connection, str, P], T],
        collection: str,
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Do a job on the node of an entry."""
        node = self._node(spot)
        return await self._call(collection, spot.key, self._ask, node, job, collection, *args, **kwargs)

    async def _ask(
        self, node: Node, job: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        call = Call(left(self._timeout))
        try:
            return await run_blocking(node.run, call, job, *args, **kwargs)
        except BaseException as error:
            node.give_up(call, error)
            if isinstance(error, BaseKeyValueError | TimeoutError) or not isinstance(error, Exception):
                raise
            raise translate(errors, error, f"{type(self).__name__} at {node.name}") from error

    def _spot(self, collection: str, key: str) -> Spot:
        return Spot(key, item_name(collection, key, self._longest))

    def _node(self, spot: Spot) -> Node:
        return self._nodes[self._nearest.choose(spot.name)]

    def _by_node(self, things: Sequence[S]) -> list[tuple[Node, list[S]]]:
        """Divide entries among their nodes."""
        if len(self._nodes) == 1:
            return [(self._nodes[0], list(things))]
        found: defaultdict[int, list[S]] = defaultdict(list)
        for thing in things:
            found[self._nearest.choose(thing.name)].append(thing)
        return [(self._nodes[index], some) for index, some in found.items()]

    async def _try(
        self, collection: str, node: Node, job: Callable[[Connection, str, list[S]], T], some: list[S], default: T
    ) -> tuple[T, BaseKeyValueError | None]:
        """Return a node's answer, or what went wrong there."""
        try:
            return await self._ask(node, job, collection, some), None
        except Exception as error:  # noqa: BLE001 - it is told of the node's keys
            return default, self._about(error, collection, None)

    # Entries --------------------------------------------------------------------------------------------------------

    @override
    async def _read(self, collection: str, key: str) -> bytes | None:
        spot = self._spot(collection, key)
        return await self._do(spot, self._table.read, collection, spot)

    @override
    async def _read_many(self, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        return await self._call(collection, None, self._fetch, collection, keys)

    async def _fetch(self, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        parts = self._by_node([self._spot(collection, key) for key in dict.fromkeys(keys)])
        answers = await gather(*[self._ask(node, self._table.read_many, collection, some) for node, some in parts])
        found = {
            spot.key: data
            for (_, some), part in zip(parts, answers, strict=True)
            for spot, data in zip(some, part, strict=True)
        }
        return [found[key] for key in keys]

    @override
    async def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        spot = self._spot(collection, key)
        put = Put(*spot, data, ttl)
        if when == "always":
            await self._do(spot, self._table.put, collection, put)
            return True
        return await self._do(spot, self._table.put_if, collection, put, when == "present")

    @override
    async def _write_many(self, collection: str, writes: Sequence[Write]) -> None:
        puts = [Put(*self._spot(collection, key), data, ttl) for key, data, ttl in writes]
        await self._call(collection, None, self._put_many, collection, puts)

    async def _put_many(self, collection: str, puts: Sequence[Put]) -> None:
        parts = self._by_node(puts)
        job = self._table.put_many
        none: dict[str, BaseKeyValueError] = {}
        answers = await gather(*[self._try(collection, node, job, some, none) for node, some in parts])
        failed: dict[str, BaseKeyValueError] = {}
        for (_, some), (refused, error) in zip(parts, answers, strict=True):
            failed.update(refused if error is None else {put.key: error for put in some})
        if failed:
            raise partly(failed, [put.key for put in puts], collection)

    @override
    async def _remove(self, collection: str, key: str) -> bool:
        spot = self._spot(collection, key)
        return bool(await self._do(spot, self._table.remove_many, collection, [spot]))

    @override
    async def _remove_many(self, collection: str, keys: Sequence[str]) -> int:
        return await self._call(collection, None, self._delete_many, collection, keys)

    async def _delete_many(self, collection: str, keys: Sequence[str]) -> int:
        parts = self._by_node([self._spot(collection, key) for key in keys])
        job = self._table.remove_many
        answers = await gather(*[self._try(collection, node, job, some, 0) for node, some in parts])
        failed = {
            spot.key: error
            for (_, some), (_, error) in zip(parts, answers, strict=True)
            if error is not None
            for spot in some
        }
        if failed:
            raise partly(failed, keys, collection)
        return sum(removed for removed, _ in answers)

    async def _change(self, collection: str, key: str, decide: Callable[[bytes | None], Decision[T]]) -> T:
        spot = self._spot(collection, key)
        answer: T = await self._do(spot, self._table.change, collection, spot, decide)
        return answer

    @override
    async def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        def decide(found: bytes | None) -> Decision[bool]:
            if found is None or codec.fingerprint(found) != token:
                return False, Action.LEAVE
            if data is None:
                return True, Action.DROP
            return True, Written(data, codec.decode(data, collection, key).expires_at)

        return await self._change(collection, key, decide)

    @override
    async def _touch(self, collection: str, key: str, ttl: float | None) -> bool:
        def decide(found: bytes | None) -> Decision[bool]:
            if found is None:
                return False, Action.LEAVE
            data = self._dump(collection, key, codec.decode(found, collection, key).value, ttl)
            return True, Written(data, expiry(self._clock.now(), ttl))

        return await self._change(collection, key, decide)

    @override
    async def _increment(self, collection: str, key: str, amount: int, first: int | None, ttl: float | None) -> int:
        def decide(found: bytes | None) -> Decision[int]:
            if found is None:
                if first is None:
                    raise counter.missing(collection, key)
                return first, Written(
                    self._dump(collection, key, {"value": first}, ttl), expiry(self._clock.now(), ttl)
                )
            entry = codec.decode(found, collection, key)
            total = counter.add(counter.number_in(entry.value, collection, key), amount, collection, key)
            data = self._dump(collection, key, {"value": total}, KEEP, Revision("", entry.expires_at))
            return total, Written(data, entry.expires_at)

        return await self._change(collection, key, decide)

    # The rest -------------------------------------------------------------------------------------------------------

    @override
    async def _clear(self, collection: str | None) -> bool:
        if collection is None:
            raise unsupported(self, "destroy")
        found = await self._call(collection, None, self._clear_nodes, collection)
        if found:
            await sleep(BELIEVED)  # nobody writes by the old generation any more
        return found

    async def _clear_nodes(self, collection: str) -> bool:
        try:
            return any(await gather(*[self._ask(node, self._table.clear, collection) for node in self._nodes]))
        except BaseKeyValueError as error:
            if len(self._nodes) > 1:
                error.outcome = "unknown"  # another node may have done it
            raise

    @override
    async def _ping(self) -> None:
        await self._call(None, None, self._ping_nodes)

    async def _ping_nodes(self) -> None:
        await gather(*[self._ask(node, self._table.ping) for node in self._nodes])

    @override
    async def _release(self) -> None:
        for node in self._nodes:
            node.close()
