"""Memcached."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servers.base import LOOPBACK, Kind, local_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Memcached(Kind):
    """Memcached, from Debian or the user."""

    name = "memcached"
    label = "Memcached"
    image = "memcached:1.6-alpine"
    container_port = 11211

    def binaries(self) -> Iterator[tuple[Path, str]]:
        """No wheel carries one."""
        if found := local_program("memcached"):
            yield found, "local memcached"

    def command(self, binary: Path, port: int, folder: Path) -> list[str]:
        """As a user without rights, which it insists on, and without UDP."""
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return [str(binary), *user, "-l", LOOPBACK, "-p", str(port), "-U", "0"]

    def url(self, host: str, port: int) -> str:
        """A plain URL."""
        return f"memcached://{host}:{port}"

    def version(self, url: str) -> str:
        """Ask in its own words."""
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or LOOPBACK, parts.port or 11211), timeout=2) as connection:
            connection.sendall(b"version\r\n")
            answer = connection.recv(4096).decode()
        word, _, version = answer.strip().partition(" ")
        if word != "VERSION":
            message = f"not a Memcached: {answer[:60]!r}"
            raise OSError(message)
        return version
