"""Know which node of a Redis or Valkey cluster serves a name.

The protocol is at https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

SLOTS: Final = 16384


class Redirect(NamedTuple):
    """A node's answer that another one serves the slot: for good (MOVED), or for this once (ASK)."""

    kind: Literal["MOVED", "ASK"]
    address: str


def join(host: str, port: int) -> str:
    """Return an address as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Slots:
    """Which address serves which slot.

    Attributes:
        primaries: The addresses, each once.
        owners: The address of each slot; None where no node serves it.
    """

    def __init__(self, reply: Sequence[Any], asked: str) -> None:
        """Read what `CLUSTER SLOTS` answered.

        Args:
            reply: Its ranges: first slot, last slot, the primary as [host, port, …], the replicas.
            asked: The host that was asked: a node that does not know its own name gives none.
        """
        self.owners: list[str | None] = [None] * SLOTS
        for first, last, primary, *_ in reply:
            host = primary[0].decode() if isinstance(primary[0], bytes) else primary[0]
            address = join(host or asked, int(primary[1]))
            self.owners[int(first) : int(last) + 1] = [address] * (int(last) - int(first) + 1)
        self.primaries = tuple(dict.fromkeys(owner for owner in self.owners if owner is not None))


def redirect(error: BaseException) -> Redirect | None:
    """Return where an error sends its command, or None if it is another error.

    redis-py has classes for these errors, valkey-py only their text.
    """
    text = str(error).split()
    code = {"MovedError": "MOVED", "AskError": "ASK"}.get(type(error).__name__)
    if code is None and len(text) == 3:
        code, *text = text
    if len(text) != 2 or code not in ("MOVED", "ASK"):
        return None
    host, _, port = text[1].rpartition(":")
    return Redirect("MOVED" if code == "MOVED" else "ASK", join(host, int(port))) if port.isdecimal() else None


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
