"""Run server processes, wait until they answer, and be sure that none is left."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

HOST = "127.0.0.1"
TO_START, TO_STOP = 25.0, 5.0  # seconds
ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM}


class DemoError(Exception):
    """The demo cannot go on; the text is the reason."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """One application in a server process of its own, started anew as often as one likes."""

    def __init__(
        self,
        name: str,
        kind: str,
        command: Callable[[int], Sequence[str]],
        *,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        """Say how the server is started; `start` does it.

        Args:
            name: What it is called in reports.
            kind: The framework and the server program, for reports.
            command: The words after `python -m` that start it, for a port.
            folder: The application's folder.
            environment: What it finds in its environment.
            log: Where it writes what it has to say.
        """
        self.name, self.kind = name, kind
        self._command, self._folder, self._environment = command, folder, dict(environment)
        self._log = log
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self.process is None else self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def run(self, words: Sequence[str], seconds: float = 30) -> None:
        """Run `python -m` with other words, where the server would run, to its end.

        Raises:
            DemoError: It failed, or takes too long.
        """
        try:
            done = subprocess.run(  # noqa: S603 - our own words
                [*_ends_with_us(), sys.executable, "-m", *words],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"`{words[0]} {words[1]}` did not end within {seconds:.0f} s.") from None
        if done.returncode:
            raise DemoError(f"`{words[0]} {words[1]}` failed.\n{done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start the process, without waiting for it."""
        words = [*_ends_with_us(), sys.executable, "-m", *self._command(self.port)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own words
                words,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a group of its own: Ctrl-C is ours to handle, and its workers end with it
            )

    def wait(self, path: str = "/stats") -> None:
        """Return once the application answers.

        Raises:
            DemoError: It ended instead, or does not answer in time.
        """
        until, retries = time.monotonic() + TO_START, 2
        while True:
            with suppress(httpx.TransportError):
                answer = httpx.get(self.url + path, timeout=5)
                if answer.is_success:
                    return
                raise DemoError(f"{self.name} answers {answer.status_code} at {path}.\n{self.tail()}")
            if not self.alive:
                if retries and "in use" in self.tail():  # another program was quicker to take the port
                    retries -= 1
                    self.port = free_port()
                    self.start()
                else:
                    raise DemoError(f"{self.name} ended at once.\n{self.tail()}")
            if time.monotonic() > until:
                raise DemoError(f"{self.name} did not answer within {TO_START:.0f} s.\n{self.tail()}")
            time.sleep(0.03)

    def ask_to_stop(self) -> None:
        """Ask the process to end, without waiting for it."""
        self._signal(signal.SIGTERM)

    def stop(self, seconds: float = TO_STOP) -> None:
        """End the process and its workers, by force after some seconds."""
        if self.process is None:
            return
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(seconds, 0.1))
        self._signal(signal.SIGKILL)  # to the group: whoever is left in it
        self.process.wait()
        self.process = None

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group that has ended
                os.killpg(self.process.pid, number)

    def tail(self, lines: int = 12) -> str:
        """Return the last lines of its log, if there are any."""
        text = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        if not text:
            return ""
        return "\n".join([f"  the last lines of {self.name}'s log:", *[f"    {line}" for line in text[-lines:]]])


class Servers:
    """Several servers that start and stop together; as a context manager none survives it."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        waiting = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # a second Ctrl-C must not leave anything running
        try:
            until = time.monotonic() + TO_STOP
            for server in self._servers:
                server.ask_to_stop()
            for server in self._servers:
                server.stop(until - time.monotonic())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, waiting)

    def check(self) -> None:
        """Raise DemoError if one of them has ended."""
        for server in self._servers:
            if not server.alive:
                raise DemoError(f"{server.name} ended by itself.\n{server.tail()}")


def _ends_with_us() -> list[str]:
    """Return the words before a command that end it even when we are killed, where the system can."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
