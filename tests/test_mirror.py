"""The mirror writes what it should, refuses what it cannot convert, and notices an edited line."""

import contextlib
import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "mirror.py"
SPEC = importlib.util.spec_from_file_location("mirror", TOOL)
mirror = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mirror)

STORE = '''\
"""Keep entries for a `kv_core.aio` user."""

from collections.abc import AsyncIterator

from kv_core.aio._runtime import sleep
from kv_core.aio.protocols import AsyncKeyValue

TARGET = "kv_core.aio.stores.memory:MemoryStore"


class Store:
    """Keep what an AsyncKeyValue keeps."""

    inner: "AsyncKeyValue | None" = None

    async def __aenter__(self) -> "Store":
        await sleep(0)  # an AsyncKeyValue needs a rest
        return self

    async def keys(self) -> AsyncIterator[str]:
        async for key in self.inner.keys():
            yield f"{key}!"
'''

MIRRORED = '''\
# Written by tools/mirror.py from kv_core/aio/store.py: change that file instead.
"""Keep entries for a `kv_core.sync` user."""

from collections.abc import Iterator

from kv_core.sync._runtime import sleep
from kv_core.sync.protocols import KeyValue

TARGET = "kv_core.sync.stores.memory:MemoryStore"


class Store:
    """Keep what an KeyValue keeps."""

    inner: "KeyValue | None" = None

    def __enter__(self) -> "Store":
        sleep(0)  # an KeyValue needs a rest
        return self

    def keys(self) -> Iterator[str]:
        for key in self.inner.keys():
            yield f"{key}!"
'''


@pytest.fixture
def project(tmp_path):
    """A small project whose sources use every name of the table."""
    write(tmp_path, "kv_core/aio/store.py", STORE)
    write(tmp_path, "kv_core/aio/_runtime.py", "from asyncio import sleep as sleep\n")
    write(tmp_path, "kv_core/sync/_runtime.py", "from time import sleep as sleep\n")
    write(tmp_path, "kv_core/aio/names.py", "".join(f"{name} = 1\n" for name in sorted(mirror.NAMES)))
    write(tmp_path, "tests/aio/test_phrases.py", "".join(f"# {phrase}\n" for phrase in sorted(mirror.PHRASES)))
    return tmp_path


def write(root, name, text):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def run(root, *arguments):
    """Run the tool, and return its exit status and what it said."""
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        status = mirror.main(["--root", str(root), *arguments])
    return status, said.getvalue()


def test_the_sync_side_is_written_and_then_up_to_date(project):
    """Names change in code, strings, docstrings and comments; what is written passes the check."""
    assert run(project)[0] == 0

    assert (project / "kv_core/sync/store.py").read_text() == MIRRORED
    assert run(project, "--check")[0] == 0


def test_an_edited_line_is_stale(project):
    """The check fails when a generated line was edited, and changes nothing."""
    run(project)
    path = project / "kv_core/sync/store.py"
    edited = path.read_text().replace("yield f", "yield  f")
    path.write_text(edited)

    status, output = run(project, "--check")

    assert (status, path.read_text()) == (1, edited)
    assert "kv_core/sync/store.py is stale" in output


def test_a_missing_and_a_left_over_file_are_named(project):
    """The check names what is not there and what should not be; writing puts both right."""
    run(project)
    (project / "kv_core/sync/store.py").rename(project / "kv_core/sync/shop.py")

    status, output = run(project, "--check")

    assert status == 1
    assert "kv_core/sync/store.py is missing" in output
    assert "kv_core/sync/shop.py is left over" in output
    assert run(project)[0] == 0
    assert run(project, "--check")[0] == 0
    assert not (project / "kv_core/sync/shop.py").exists()


def test_handwritten_twins_are_left_alone_but_must_exist(project):
    """The tool writes no twin that people write, says when one is missing, and when one has no source."""
    run(project)
    assert (project / "kv_core/sync/_runtime.py").read_text() == "from time import sleep as sleep\n"
    (project / "kv_core/sync/_runtime.py").unlink()
    write(project, "kv_core/sync/_drivers/redis.py", "")

    status, output = run(project)

    assert status == 1
    assert "kv_core/sync/_runtime.py is missing: write it by hand" in output
    assert "kv_core/sync/_drivers/redis.py is left over" in output


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("async def f(x):\n    await(x)\n", "trap.py:2: `await(` would lose its '('"),
        ("class AsyncUnlisted:\n    pass\n", "trap.py:1: AsyncUnlisted is not in the table"),
        ('x = "AsyncUnlisted | None"\n', "trap.py:1: AsyncUnlisted is not in the table"),
        ('"""An AsyncUnlisted."""\n', "trap.py:1: AsyncUnlisted is not in the table"),
        ('async def f(x):\n    return f"{await x}"\n', "trap.py:2: an f-string awaits"),
        ('async def f(x):\n    return f"{[y async for y in x]}"\n', "trap.py:2: an f-string awaits"),
        ('def f(x):\n    return f"{x.__anext__}"\n', "trap.py:2: an f-string uses __anext__, which changes its name"),
        ('async def f():\n    """Return.\n\n    Await it.\n    """\n', "trap.py:4: a docstring says 'Await'"),
        ("x = 1  # the async side\n", "trap.py:1: a comment says 'async'"),
        ("from collections.abc import AsyncGenerator\n", "trap.py:1: AsyncGenerator: say AsyncIterator"),
        ("from collections.abc import Awaitable\n", "trap.py:1: Awaitable: name the type in _runtime.py"),
        ("import asyncio\n", "trap.py:1: asyncio: go through _runtime.py"),
        ("from contextlib import aclosing\n", "trap.py:1: aclosing: list it in NAMES"),
        ("from kv_core import aio\n", "trap.py:1: aio: say kv_core.aio in full"),
    ],
)
def test_traps_are_named(project, source, complaint):
    """What would be converted wrongly is refused with its line, and nothing is written."""
    write(project, "kv_core/aio/trap.py", source)

    status, output = run(project)

    assert status == 1
    assert f"kv_core/aio/{complaint}" in output
    assert not (project / "kv_core/sync/trap.py").exists()


def test_an_unused_name_in_the_table_is_refused(project):
    """A name that no source uses has to leave the table."""
    (project / "kv_core/aio/names.py").unlink()
    (project / "kv_core/aio/store.py").write_text("")

    status, output = run(project)

    assert status == 1
    assert "no source uses 'AsyncKeyValue'" in output


def test_help_says_what_it_is_for():
    """The help names the trees and both options."""
    done = subprocess.run([sys.executable, str(TOOL), "--help"], capture_output=True, text=True, check=True)

    assert "kv_core/sync from kv_core/aio" in done.stdout
    assert "--check" in done.stdout
