"""Know which node of a Redis or Valkey cluster serves a name.

The protocol is at https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

SLOTS: Final = 16384

Remap: TypeAlias = Callable[[tuple[str, int]], tuple[str, int]]
"""Where to reach a node that the cluster knows by some host and port."""

_KEPT: Final = ("client_name", "credential_provider", "driver_info", "health_check_interval", "lib_name", "lib_version")
_KEPT_KINDS: Final = ("ssl_", "socket_keepalive", "socket_read_size", "socket_type", "username", "password")


class Redirect(NamedTuple):
    """A node's answer that another one serves the slot: for good (MOVED), or for this once (ASK)."""

    kind: Literal["MOVED", "ASK"]
    address: str


def join(host: str, port: int) -> str:
    """Return an address as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parts(address: str) -> tuple[str, int]:
    """Return the host and the port of an address."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


@dataclass(frozen=True)
class Nodes:
    """What a cluster client of the user's tells: where the nodes are, and how it connects to one of them.

    Attributes:
        known: Addresses to begin with.
        options: Its connections' class and options, without those that are about its own way with nodes and replies.
        remap: Its `address_remap`.
    """

    known: tuple[str, ...]
    options: Mapping[str, Any] = field(repr=False)
    remap: Remap | None

    @classmethod
    def of(cls, manager: Any, connection_class: type, options: Mapping[str, Any], max_connections: int) -> Nodes:
        """Read a client's manager of nodes and the options of its connections."""
        kept = {
            name: value
            for name, value in options.items()
            if value is not None and (name in _KEPT or name.startswith(_KEPT_KINDS))
        }
        return cls(
            tuple(join(node.host, int(node.port)) for node in manager.startup_nodes.values()),
            kept | {"connection_class": connection_class, "max_connections": max_connections},
            getattr(manager, "address_remap", None),
        )


class Slots:
    """Which address serves which slot.

    Attributes:
        primaries: The addresses, each once.
        owners: The address of each slot; None where no node serves it.
    """

    def __init__(self, reply: Sequence[Any], asked: str, remap: Remap | None = None) -> None:
        """Read what `CLUSTER SLOTS` answered.

        Args:
            reply: Its ranges: first slot, last slot, the primary as [host, port, …], the replicas.
            asked: The host that was asked: a node that does not know its own name gives none.
            remap: Where to reach a node instead of where the cluster says.
        """
        self.owners: list[str | None] = [None] * SLOTS
        for first, last, primary, *_ in reply:
            host = primary[0].decode() if isinstance(primary[0], bytes) else primary[0]
            address = reached(host or asked, int(primary[1]), remap)
            self.owners[int(first) : int(last) + 1] = [address] * (int(last) - int(first) + 1)
        self.primaries = tuple(dict.fromkeys(owner for owner in self.owners if owner is not None))


def reached(host: str, port: int, remap: Remap | None) -> str:
    """Return the address by which a node is reached."""
    return join(*(remap((host, port)) if remap else (host, port)))


def redirect(error: BaseException, asked: str = "", remap: Remap | None = None) -> Redirect | None:
    """Return where an error sends its command, or None if it is another error.

    redis-py has classes for these errors, valkey-py only their text.

    Args:
        error: What a node answered.
        asked: The host of that node: one that does not know its own name means this one.
        remap: Where to reach a node instead of where the cluster says.
    """
    text = str(error).split()
    code = {"MovedError": "MOVED", "AskError": "ASK"}.get(type(error).__name__)
    if code is None and len(text) == 3:
        code, *text = text
    if len(text) != 2 or code not in ("MOVED", "ASK"):
        return None
    if not text[1].rpartition(":")[2].isdecimal():
        return None
    host, port = parts(text[1])
    return Redirect("MOVED" if code == "MOVED" else "ASK", reached(host or asked, port, remap))


def outdated(error: BaseException, refused: type[Exception]) -> bool:
    """Say whether an error means that slots may have moved: a node that is gone, sends elsewhere or finds others gone.

    Args:
        error: What a command ended with.
        refused: The library's class of errors that a server answers with.
    """
    down = type(error).__name__ in ("ClusterDownError", "MasterDownError") or "CLUSTERDOWN" in str(error)
    return down or redirect(error) is not None or not isinstance(error, refused)


def key_of(command: Sequence[Any]) -> Any:
    """Return the name that a command is about; it has one."""
    return command[3] if command[0] in ("EVAL", "EVALSHA") else command[1]
