"""Read the pages of the documentation, and run one: `python pages.py PAGE URLS CHECK` in an empty folder.

A page runs from top to bottom in a process and a folder of its own. How its blocks are read:

- ```` ```python ```` runs as it stands; what it prints is in `# prints: …` comments or in the output block that follows
  (```` ```text title="output" ````), where `...` stands for anything on the line.
- ```` ```python title="async" ```` may await at its top level. The blocks of a page with this title share one event
  loop, and names of their own.
- A first line such as `# settings.py` makes the block a file of that name, which is imported.
- `<!-- not run: reason -->` above a block leaves it out; `test_docs.py` lists them all.

Each URL of `EXAMPLE_URLS`, such as `redis://localhost:6379/0`, stands for a server of the test's own.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import io
import json
import logging
import re
import sys
import tokenize
import types
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE_URLS = {
    "redis": "redis://localhost:6379/0",
    "valkey": "valkey://localhost:6379/0",
    "memcached": "memcached://localhost:11211",
    "mongodb": "mongodb://localhost:27017",
    "elasticsearch": "elasticsearch://localhost:9200",
}
"""How the pages write the URL of a server, by its kind."""

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)``` *$", re.MULTILINE | re.DOTALL)
SKIPPED = re.compile(r"<!-- not run: (?P<reason>[^>]+) -->\s*\Z")
FILE = re.compile(r"# (?P<name>\w+\.py)\n")
PRINTS = re.compile(r"# prints: ?(?P<text>.*)")


@dataclass
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    title: str
    body: str
    not_run: str | None

    @property
    def file(self) -> str | None:
        """The file that the block is."""
        found = FILE.match(self.body)
        return found["name"] if found else None

    def prints(self) -> list[str]:
        """Return the lines that the block's own comments promise."""
        if not PRINTS.search(self.body):
            return []
        comments = tokenize.generate_tokens(io.StringIO(self.body).readline)
        found = [PRINTS.match(token.string) for token in comments if token.type == tokenize.COMMENT]
        return [one["text"] for one in found if one]


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text()
    blocks = []
    for found in FENCE.finditer(text):
        language, _, rest = found["info"].strip().partition(" ")
        title = re.fullmatch(r'title="([^"]*)"', rest.strip())
        assert title or not rest, f"{page}: ```{found['info']} is not understood"
        skipped = SKIPPED.search(text, 0, found.start())
        line = text.count("\n", 0, found.start()) + 2
        body = dedent(found["body"])
        blocks.append(Block(page, line, language, title[1] if title else "", body, skipped and skipped["reason"]))
    return blocks


def name_of(page: Path) -> str:
    """Return a page's path from the root of the project."""
    return page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name


# What runs in the process of a page -----------------------------------------------------------------------------------


def run_page(page: Path, urls: dict[str, str], check: str) -> None:
    """Run the blocks of a page in order in the current folder, compare what they print, and run a check of ours.

    What the page calls a server's URL is replaced by the one that *urls* has for it.
    """
    sys.path.insert(0, str(Path.cwd()))
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries log is not what an example prints
    blocks = blocks_of(page)
    modules = {title: types.ModuleType(f"example_{title}") for title in ("sync", "async")}
    for module in modules.values():
        sys.modules[module.__name__] = module
    with asyncio.Runner() as runner:
        for number, block in enumerate(blocks):
            following = blocks[number + 1] if number + 1 < len(blocks) else None
            if block.language != "python" or block.not_run:
                continue
            for written, url in urls.items():
                block.body = block.body.replace(written, url)
            if block.file is not None:
                write_file(block, block.file)
                continue
            printed = io.StringIO()
            with redirect_stdout(printed):
                run_block(block, modules["async" if block.title == "async" else "sync"], runner)
            expected = block.prints()
            if following is not None and (following.language, following.title) == ("text", "output"):
                expected += following.body.splitlines()
            compare(block, expected, printed.getvalue().splitlines())
        exec(check, {"__name__": "check"})


def write_file(block: Block, name: str) -> None:
    """Write a block as the file that it is, and import it."""
    Path(name).write_text(block.body)
    importlib.import_module(name.removesuffix(".py"))


def run_block(block: Block, module: types.ModuleType, runner: asyncio.Runner) -> None:
    """Run a block in a module; its lines are those of the page."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if block.title == "async" else 0
    code: Any = compile("\n" * (block.line - 1) + block.body, str(block.page), "exec", flags=flags)
    result = eval(code, module.__dict__)
    if inspect.iscoroutine(result):
        runner.run(result)


def compare(block: Block, expected: list[str], printed: list[str]) -> None:
    """Say in which line what was printed is not what the page says."""
    patterns = [".*".join(map(re.escape, line.rstrip().split("..."))) for line in expected]
    same = len(patterns) == len(printed) and all(
        re.fullmatch(pattern, line.rstrip()) for pattern, line in zip(patterns, printed, strict=True)
    )
    if not same:
        texts = ["says", *expected], ["prints", *printed]
        shown = "\n".join(f"{head}:\n{indent(chr(10).join(lines), '    ')}" for head, *lines in texts)
        raise SystemExit(f"{name_of(block.page)}:{block.line}\n{shown}")


if __name__ == "__main__":
    run_page(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3])
