"""Run a function in a forked child, tell whether what it put is whole, and count what a process holds open."""

from __future__ import annotations

import gc
import os
import signal
import time
import traceback
import warnings
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Child:
    """A forked child that runs a function and ends without cleaning up after its parent."""

    def __init__(self, function: Callable[[], object]) -> None:
        reading, writing = os.pipe()
        self._said = reading
        self.pid = os.fork()
        if self.pid:
            os.close(writing)
            return
        status = 1
        try:
            signal.alarm(30)
            function()
            status = 0
        except BaseException:  # noqa: BLE001 - the parent raises it
            os.write(writing, traceback.format_exc()[-4000:].encode())
        finally:
            os._exit(status)

    def check(self) -> None:
        """Wait for its end, and fail with its traceback if it failed."""
        with os.fdopen(self._said, encoding="utf-8", errors="replace") as said:
            text = said.read()
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, text or f"the child ended with {status}"


def sockets() -> frozenset[str]:
    """Return the sockets that this process has open, each by a name that no other has."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one by which the folder was read
            found.append(path.readlink().name)
    return frozenset(name for name in found if name.startswith("socket:"))


def opened_since(before: frozenset[str], patience: float = 2.0) -> frozenset[str]:
    """Return the sockets that were opened since *before* and are open still.

    What a driver leaves to the garbage collector, or closes in a thread of its own, has so many seconds to go.
    """
    end = time.monotonic() + patience
    while (opened := sockets() - before) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    return opened


def in_child(work: Callable[[], object]) -> int:
    """Return the process id of a child in which *work* is done."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: what is tested here
        pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(1800 if os.environ.get("KV_TEST_FULL") else 60)  # whatever happens, it ends
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the child ends here
            os.write(2, repr(error).encode())
            os._exit(1)
    return pid


def status(pid: int) -> int:
    """Return how a child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def sealed(number: int, size: int = 200) -> dict[str, Any]:
    """Return a value that shows whether all of it is that of one put."""
    text = f"{number} " * size
    return {"n": number, "text": text, "sum": blake2b(f"{number}{text}".encode()).hexdigest()}


def number_of(value: dict[str, Any] | None) -> int:
    """Return the number of a value that `sealed` made; fail if it is not whole."""
    assert value is not None
    assert value["sum"] == blake2b(f"{value['n']}{value['text']}".encode()).hexdigest()
    return value["n"]
