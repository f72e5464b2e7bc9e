# Written by tools/mirror.py from kv_core/aio/stores/_redis_server.py: change that file instead.
"""How a store asks one Redis or Valkey server: single commands, scripts, and many names in one round trip."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias

from typing_extensions import override

from kv_core import redis_scripts as scripts
from kv_core.sync._drivers.resp import Client
from kv_core.sync._runtime import Op

Failures: TypeAlias = dict[str, Exception]
"""What went wrong, by the names that it concerns; the others were done."""


class Link:
    """What a store asks, of one server or of a cluster."""

    execute: Op[..., Any]
    """Send one command about one name, and return its reply."""

    def evaluate(self, script: scripts.Script, names: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script; one that the server does not know yet is sent in full."""
        try:
            return self.execute("EVALSHA", script.sha, len(names), *names, *arguments)
        except Exception as error:
            if not forgotten(error):
                raise
        return self.execute("EVAL", script.text, len(names), *names, *arguments)

    @abstractmethod
    def read_many(self, names: Sequence[str]) -> list[bytes | Exception | None]:
        """Return the bytes of each name; an error stands in its place."""

    @abstractmethod
    def read_ttl_many(self, names: Sequence[str]) -> list[tuple[bytes | None, int] | Exception]:
        """Return the bytes and the milliseconds left of each name, as of one moment for each."""

    @abstractmethod
    def write_many(self, names: Sequence[str], data: Sequence[bytes], ends: Sequence[int]) -> Failures:
        """Keep bytes under each name, for so many milliseconds (0: no expiry)."""

    @abstractmethod
    def remove_many(self, names: Sequence[str], command: str = "DEL") -> tuple[int, Failures]:
        """Delete names; return how many there were."""

    @abstractmethod
    def scan(self, cursor: Any, pattern: str, size: int) -> tuple[Any, list[Any]]:
        """Return the next cursor (None: that was all) and about *size* names from *cursor* (None: the first)."""

    @abstractmethod
    def ping(self) -> None:
        """Return if there is an answer."""

    @abstractmethod
    def close(self) -> None:
        """Hang up."""


class Server(Link):
    """One server: bulk operations are one command, or one script."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.execute = client.execute
        self.pipeline = client.pipeline
        self.rest = client.rest

    @override
    def read_many(self, names: Sequence[str]) -> list[bytes | Exception | None]:
        found: list[bytes | Exception | None] = self.execute("MGET", *names)
        missing = [name for name, data in zip(names, found, strict=True) if data is None]
        if missing and self.execute("EXISTS", *missing):
            # MGET answers nil for what is not a string; GET says so. (Or an entry came between the two commands.)
            return self.pipeline([("GET", name) for name in names])
        return found

    @override
    def read_ttl_many(self, names: Sequence[str]) -> list[tuple[bytes | None, int] | Exception]:
        found = self.evaluate(scripts.READ_TTL, names, ())
        return list(zip(found[::2], found[1::2], strict=True))

    @override
    def write_many(self, names: Sequence[str], data: Sequence[bytes], ends: Sequence[int]) -> Failures:
        if any(ends):
            self.evaluate(scripts.WRITE_MANY, names, [*data, *(ends if len(set(ends)) > 1 else ends[:1])])
        else:
            self.execute("MSET", *[part for pair in zip(names, data, strict=True) for part in pair])
        return {}

    @override
    def remove_many(self, names: Sequence[str], command: str = "DEL") -> tuple[int, Failures]:
        return int(self.execute(command, *names)), {}

    @override
    def scan(self, cursor: Any, pattern: str, size: int) -> tuple[Any, list[Any]]:
        following, names = self.execute("SCAN", cursor or 0, "MATCH", pattern, "COUNT", size)
        return int(following) or None, names

    @override
    def ping(self) -> None:
        self.execute("PING")

    @override
    def close(self) -> None:
        self._client.close()


def forgotten(reply: object) -> bool:
    """Say whether a reply means that the server does not know the script."""
    return type(reply).__name__ == "NoScriptError"
