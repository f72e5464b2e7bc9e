"""Several Redis or Valkey processes that belong together: a cluster, and a primary that sentinels watch."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

from servers.base import LOOPBACK, Kind, NotAvailableError, Server, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.redis import Redis

SLOTS = 16384
SERVICE = "mymaster"


class ServerSet(Server):
    """Several servers that are stopped together."""

    def __init__(self, url: str, description: str, servers: dict[str, Server]) -> None:
        super().__init__(url, description, next(iter(servers.values())).process)
        self.servers = servers

    def stop(self) -> None:
        """End all of them."""
        for server in self.servers.values():
            server.stop()


def say(server: Server, *words: object) -> Any:
    """Send a command through redis-py, which serves for both, and return the reply."""
    import redis

    with redis.Redis(host=LOOPBACK, port=server.port, decode_responses=True, socket_timeout=2) as client:
        return client.execute_command(*words)


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for a condition; OSError if it takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Exception):
            if condition():
                return
        if time.monotonic() > deadline:
            message = "the servers did not come together in time"
            raise OSError(message)
        time.sleep(0.02)


class SetOf(Kind):
    """A kind that is made of several servers of another."""

    form: str

    def __init__(self, single: Redis) -> None:
        self.single = single
        self.name = f"{single.name}_{self.form}"
        self.label = f"{single.label} {self.form.capitalize()}"

    def start_container(self) -> Server:
        """Not in containers: the servers tell addresses that lie behind their network."""
        message = "no containers for several servers"
        raise NotAvailableError(message)

    def start_binary(self, binary: Path, where: str) -> Server:
        """Start all of them on free ports of loopback."""
        servers: dict[str, Server] = {}
        try:
            url = self.assemble(binary, where, servers)
        except Exception as error:
            for server in servers.values():
                server.stop()
            message = f"{self.label}: {error}"
            raise OSError(message) from error
        return ServerSet(url, f"{self.label} of {len(servers)}, {where} {self.version(url)}", servers)

    def binaries(self) -> Iterator[tuple[Path, str]]:
        """Those of the single server."""
        return self.single.binaries()

    def assemble(self, binary: Path, where: str, servers: dict[str, Server]) -> str:
        """Start the servers, note each in *servers*, let them find each other, and return their URL."""
        raise NotImplementedError

    def version(self, url: str) -> str:
        """Ask the first of them."""
        host, _, port = url.partition("://")[2].partition("/")[0].partition(",")[0].rpartition(":")
        return self.single.version(f"{self.single.scheme}://{host}:{port}")


class Cluster(SetOf):
    """Three primaries that share the slots."""

    form = "cluster"

    def assemble(self, binary: Path, where: str, servers: dict[str, Server]) -> str:
        """Share the slots out, and introduce the nodes to each other."""
        node_kind = self.single.with_options(
            {"--cluster-enabled": "yes", "--cluster-config-file": "nodes.conf", "--cluster-node-timeout": 2000},
            port=cluster_port,
        )
        for number in range(3):
            servers[f"node {number}"] = node_kind.start_binary(binary, where)
        nodes = list(servers.values())
        for number, node in enumerate(nodes):
            say(node, "CLUSTER ADDSLOTSRANGE", SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1)
            say(node, "CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            say(node, "CLUSTER MEET", LOOPBACK, nodes[0].port)
        for node in nodes:
            until(lambda one=node: together(one))
        return f"{self.single.scheme}+cluster://" + ",".join(f"{LOOPBACK}:{node.port}" for node in nodes)


class Sentinel(SetOf):
    """A primary, its replica, and three sentinels that watch them."""

    form = "sentinel"

    def assemble(self, binary: Path, where: str, servers: dict[str, Server]) -> str:
        """Wait until the replica has a copy, and the sentinels know it and each other."""
        lively: dict[str, object] = {"--repl-diskless-sync-delay": 0}
        primary = servers["primary"] = self.single.with_options(lively).start_binary(binary, where)
        following = lively | {"--replicaof": f"{LOOPBACK} {primary.port}"}
        replica = servers["replica"] = self.single.with_options(following).start_binary(binary, where)
        until(lambda: say(replica, "INFO", "replication")["master_link_status"] == "up")
        watching = self.single.watching(
            f"sentinel monitor {SERVICE} {LOOPBACK} {primary.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 2000",
        )
        for number in range(3):
            servers[f"sentinel {number}"] = watching.start_binary(binary, where)
        sentinels = [server for name, server in servers.items() if name.startswith("sentinel")]
        for sentinel in sentinels:
            until(lambda one=sentinel: watched(one))
        hosts = ",".join(f"{LOOPBACK}:{sentinel.port}" for sentinel in sentinels)
        return f"{self.single.scheme}+sentinel://{hosts}/{SERVICE}"


def together(node: Server) -> bool:
    """Say whether a node of a cluster knows who serves every slot."""
    return say(node, "CLUSTER INFO")["cluster_state"] == "ok" and len(say(node, "CLUSTER SLOTS")) == 3


def watched(sentinel: Server) -> bool:
    """Say whether a sentinel knows the replica and the two other sentinels."""
    [state] = say(sentinel, "SENTINEL MASTERS").values()
    return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == 2)


def cluster_port() -> int:
    """Return a free port whose partner, 10,000 above, is free for the cluster's own talk."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError, OverflowError), socket.socket() as probe:
            probe.bind((LOOPBACK, port + 10_000))
            return port
