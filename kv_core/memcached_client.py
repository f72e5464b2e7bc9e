"""A connection to a Memcached server, over pymemcache's client, on which every wait ends with the call's deadline."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from ssl import SSLContext
from time import monotonic
from typing import Any, Final

from kv_core.deadline import mark_unsent
from kv_core.errors import MissingDependencyError
from kv_core.memcached_items import Item
from kv_core.memcached_options import Address, Servers

try:
    from pymemcache import Client
    from pymemcache import exceptions as errors
except ImportError as error:
    raise MissingDependencyError("MemcachedStore needs pymemcache: pip install 'kvstack[memcached]'") from error

CHUNK: Final = 1000
"""How many commands leave at once; more could fill both ends' buffers with replies that nobody reads."""
BELIEVED: Final = 0.1
"""For how many seconds a writer believes a generation that it has read; who destroys a collection waits as long."""

_MARGIN: Final = 0.02
"""How many seconds before its caller a call gives up, so that it can say what was done."""
_DEFAULT_ITEM_SIZE: Final = 1024 * 1024
_AT_ONCE: Final = -1
"""When a login ends as an item, which it becomes on a server that wants none; nobody shall read it there."""
_RECORD: Final = 16_000
_STORE_REPLIES: Final = frozenset((b"STORED", b"NOT_STORED", b"EXISTS", b"NOT_FOUND"))
_REMEMBERED: Final = 10_000

__all__ = ["BELIEVED", "CHUNK", "Call", "Connection", "Known", "errors"]


class Call:
    """What a connection has to know of a call: by when it ends, whether it was sent, and whether its caller waits."""

    __slots__ = ("_end", "_gone", "ended", "sent")

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds - min(_MARGIN, seconds / 10)
        self._gone = False
        self.sent = False
        self.ended = False

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: There are none.
        """
        seconds = self._end - monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def send(self) -> float:
        """Mark the call as sent, and return the seconds that are left.

        Raises:
            TimeoutError: There are none, or its caller has gone.
        """
        seconds = self.left()
        before, self.sent = self.sent, True  # before the other mark is read, as `failed` does it the other way round
        if self._gone:
            self.sent = before
            raise TimeoutError
        return seconds

    def failed(self, error: BaseException) -> None:
        """Let nothing more be sent, and mark what ended the call if nothing was."""
        self._gone = True
        if not self.sent:
            mark_unsent(error)


class _Socket:
    """A socket whose waits end with the call: not each of them after a timeout of its own."""

    def __init__(self, sock: socket.socket, call: Call) -> None:
        self._sock = sock
        self.call = call

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self.call.send())
        self._sock.sendall(data)

    def recv(self, size: int) -> bytes:
        self._sock.settimeout(self.call.left())
        return self._sock.recv(size)

    def is_quiet(self) -> bool:
        """Say whether the server has neither hung up nor sent what nobody asked for."""
        self._sock.setblocking(False)
        try:
            socket.socket.recv(self._sock, 1, socket.MSG_PEEK)  # below TLS, which has no such flag
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def hang_up(self) -> None:
        """End what another thread does with the socket."""
        self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._sock.close()


class _Items:
    """Gives and takes items as they are."""

    @staticmethod
    def serialize(_: bytes, data: bytes) -> tuple[bytes, int]:
        return data, 0

    @staticmethod
    def deserialize(_: bytes, data: bytes, flags: int) -> Item:
        return Item(data, flags)


class Known:
    """What was learned about a server, until the next connection: it may be another one by then."""

    def __init__(self) -> None:
        self.item_size: int | None = None
        self._generations: dict[str, tuple[int, float]] = {}

    def forget(self) -> None:
        """Know nothing."""
        self.item_size = None
        self._generations.clear()

    def generation(self, collection: str) -> int | None:
        """Return the number of a collection's generation, if it was seen a moment ago."""
        number, until = self._generations.get(collection, (None, 0.0))
        return number if monotonic() < until else None

    def saw(self, collection: str, number: int, since: float) -> None:
        """Remember a number that was asked for at *since*."""
        if len(self._generations) >= _REMEMBERED:
            self._generations.clear()
        self._generations[collection] = number, since + BELIEVED

    def lost(self, collection: str) -> None:
        """Forget the number of a collection."""
        self._generations.pop(collection, None)


class Connection:
    """One connection, which is used by one call at a time."""

    def __init__(self, address: Address, servers: Servers, known: Known) -> None:
        self.known = known
        self.prefix = servers.prefix
        self._address = address
        self._tls = servers.tls
        self._login = servers.login
        self._sock: _Socket | None = None
        self._call = Call(0)
        self._client: Any = Client(address, serde=_Items, default_noreply=False, key_prefix=servers.prefix)
        self._client.check_key = _with_prefix

    def begin(self, call: Call) -> None:
        """Serve *call* from now on; connect if need be."""
        self._call = call
        if self._sock is not None and self._client.sock is self._sock and self._sock.is_quiet():
            self._sock.call = call
        else:
            self._connect()

    def _connect(self) -> None:
        self.close()
        self.known.forget()
        connecting = Call(self._call.left())  # its marks are not the call's: a login changes nothing
        self._sock = self._client.sock = _Socket(_open(self._address, self._tls, connecting), connecting)
        try:
            if self._login is not None:
                username, password = self._login()
                self._client.set(b"login", f"{username} {password}".encode(), expire=_AT_ONCE)
        except BaseException:
            self.close()
            raise
        self._sock.call = self._call

    def hang_up(self) -> None:
        """End the call that another thread makes."""
        if self._sock is not None:
            with suppress(OSError):  # it ended by itself
                self._sock.hang_up()

    def close(self) -> None:
        """Close the socket."""
        if self._sock is not None:
            self._sock.close()
        self._sock = self._client.sock = None

    def get(self, names: Sequence[bytes]) -> dict[bytes, Item]:
        """Return the items that are there."""
        items: dict[bytes, Item] = self._client.get_many(names)
        return items

    def gets(self, names: Sequence[bytes]) -> dict[bytes, tuple[Item, bytes]]:
        """Return the items that are there, each with the token that `cas` takes."""
        items: dict[bytes, tuple[Item, bytes]] = self._client.gets_many(names)
        return items

    def set(self, name: bytes, data: bytes, flags: int, expires: int) -> None:
        """Keep an item."""
        self._client.set(name, data, expires, flags=flags)

    def add(self, name: bytes, data: bytes, flags: int = 0, expires: int = 0) -> bool:
        """Keep an item if there is none of the name."""
        return bool(self._client.add(name, data, expires, flags=flags))

    def cas(self, name: bytes, data: bytes, token: bytes, flags: int = 0, expires: int = 0) -> bool:
        """Keep an item if it was not changed since; with an end in the past, delete it."""
        return bool(self._client.cas(name, data, token, expires, flags=flags))

    def version(self) -> None:
        """Ask for a sign of life."""
        self._client.version()

    def send_all(self, commands: Sequence[bytes]) -> list[bytes]:
        """Send commands at once, and return the line that answers each; over TLS, in pieces."""
        pieces = [commands] if self._tls is None else _pieces(commands)
        return [reply for piece in pieces for reply in self._send(piece)]

    def _send(self, commands: Sequence[bytes]) -> list[bytes]:
        sock: _Socket = self._client.sock
        sock.sendall(b"".join(commands))
        said = b""
        while said.count(b"\r\n") < len(commands):
            heard = sock.recv(_RECORD)
            if not heard:
                raise errors.MemcacheUnexpectedCloseError
            said += heard
        replies = said.split(b"\r\n")[:-1]
        for reply in replies:
            if reply not in _STORE_REPLIES and not reply.startswith(b"SERVER_ERROR"):
                raise errors.MemcacheClientError(reply)  # what follows cannot be told apart any more
        return replies

    def store_line(self, verb: bytes, name: bytes, data: bytes, flags: int, expires: int, token: bytes = b"") -> bytes:
        """Return a command that stores an item, to be sent with others."""
        head = b"%b %b%b %d %d %d" % (verb, self.prefix, name, flags, expires, len(data))
        return b"%b%b\r\n%b\r\n" % (head, b" " + token if token else b"", data)

    def item_size(self) -> int:
        """Return how large an item may be, in bytes, with its name and header."""
        if self.known.item_size is None:
            try:
                size = int(self._client.stats(b"settings")[b"item_size_max"])
            except (errors.MemcacheClientError, KeyError, ValueError):  # a proxy stands before it
                size = _DEFAULT_ITEM_SIZE
                self._connect()
            self.known.item_size = size
        return self.known.item_size


def _with_prefix(name: bytes, key_prefix: bytes) -> bytes:
    """Stand for the client's check: our names are made to fit."""
    return key_prefix + name


def _pieces(commands: Sequence[bytes]) -> list[list[bytes]]:
    """Divide commands into pieces that fit into a TLS record each, if they can.

    The server (1.6.18) stops reading where commands fill one record and part of the next.
    """
    pieces: list[list[bytes]] = []
    room = 0
    for command in commands:
        room -= len(command)
        if room < 0:
            pieces.append([])
            room = _RECORD - len(command)
        pieces[-1].append(command)
    return pieces


def _open(address: Address, tls: SSLContext | None, call: Call) -> socket.socket:
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        sock = socket.create_connection(address, call.left())
    try:
        sock.settimeout(call.left())
        if isinstance(address, str):
            sock.connect(address)
            return sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock if tls is None else tls.wrap_socket(sock, server_hostname=address[0])
    except BaseException:
        sock.close()
        raise
