"""Memcached."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from copy import copy
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servers.base import LOOPBACK, Kind, NotAvailableError, Server, local_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Memcached(Kind):
    """Memcached, from Debian or the user."""

    name = "memcached"
    label = "Memcached"
    image = "memcached:1.6-alpine"
    container_port = 11211
    extra: tuple[str, ...] = ()
    scheme = "memcached"
    ended_by = signal.SIGKILL  # it has nothing to save, and would take a second

    def binaries(self) -> Iterator[tuple[Path, str]]:
        """No wheel carries one."""
        if found := local_program("memcached"):
            yield found, "local memcached"

    def command(self, binary: Path, port: int, folder: Path) -> list[str]:
        """As a user without rights, which it insists on, and without UDP."""
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return [str(binary), *user, "-l", LOOPBACK, "-p", str(port), "-U", "0", *self.extra]

    def with_options(self, *extra: str, scheme: str = "memcached") -> Memcached:
        """Return this kind with further options; `memcacheds` if they make it speak TLS."""
        other = copy(self)
        other.extra, other.scheme = extra, scheme
        return other

    def url(self, host: str, port: int) -> str:
        """A plain URL."""
        return f"{self.scheme}://{host}:{port}"

    def version(self, url: str) -> str:
        """Ask in its own words."""
        parts = urlsplit(url)
        connection = socket.create_connection((parts.hostname or LOOPBACK, parts.port or 11211), timeout=2)
        if parts.scheme == "memcacheds":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(connection)
        with connection:
            connection.sendall(b"version\r\n")
            answer = connection.recv(4096).decode()
        word, _, version = answer.strip().partition(" ")
        if word == "CLIENT_ERROR" and version == "unauthenticated":
            return "that wants a login"
        if word != "VERSION":
            message = f"not a Memcached: {answer[:60]!r}"
            raise OSError(message)
        return version


class Nodes(Server):
    """Several servers that keep the entries of one store, and are stopped together."""

    def __init__(self, servers: list[Server]) -> None:
        hosts = ",".join(f"{server.host}:{server.port}" for server in servers)
        super().__init__(f"memcached://{hosts}", "")
        self.servers = servers

    def stop(self) -> None:
        """End all of them."""
        for server in self.servers:
            server.stop()


class MemcachedNodes(Kind):
    """Two nodes of Memcached."""

    name = "memcached_nodes"
    label = "Memcached on two nodes"

    def start_container(self) -> Server:
        """Start two containers."""
        return self.start_two(Memcached().start_container)

    def start(self) -> Server:
        """Start two processes."""
        return self.start_two(Memcached().start)

    def start_two(self, start: Callable[[], Server]) -> Server:
        """Start both, or none."""
        first = start()
        try:
            nodes = Nodes([first, start()])
        except NotAvailableError:
            first.stop()
            raise
        nodes.description = self.described(nodes.url, first.description.rpartition(", ")[2])
        return nodes

    def version(self, url: str) -> str:
        """Ask each of them."""
        hosts = urlsplit(url).netloc.split(",")
        return ", ".join(Memcached().version(f"memcached://{host}") for host in hosts)
