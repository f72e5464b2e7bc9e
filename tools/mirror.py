"""Write the sync side from the async one: kv_core/sync from kv_core/aio and tests/sync from tests/aio."""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import tokenize_rt
import unasync

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).resolve().parents[1]
TREES = {"kv_core/aio": "kv_core/sync", "tests/aio": "tests/sync"}
HEADER = "# Written by tools/mirror.py from {source}: change that file instead.\n"

# Twins that people write: they export the same names as the file of that name on the other side, which must exist.
HANDWRITTEN = (
    "kv_core/sync/_runtime.py",
    "kv_core/sync/_drivers/*.py",
    "kv_core/sync/wrappers/coalesce.py",
    "tests/sync/test_runtime.py",
)

# What a name is called on the sync side: one line each, also applied to the words of strings, docstrings and comments.
# A name that no source uses is an error, and so is an `AsyncSomething` in a source that is not listed here.
NAMES = {
    "AsyncConditionalPut": "ConditionalPut",
    "AsyncCull": "Cull",
    "AsyncDestroy": "Destroy",
    "AsyncEnumerate": "Enumerate",
    "AsyncIncrement": "Increment",
    "AsyncKeyValue": "KeyValue",
    "AsyncPing": "Ping",
    "AsyncRevisions": "Revisions",
    "AsyncStore": "Store",
    "AsyncTouch": "Touch",
}

# The same for several tokens at once.
PHRASES = {
    "kv_core.aio": "kv_core.sync",
}

# unasync converts these by itself (AsyncIterator, __aenter__, ...); NAMES may add to them.
BUILT_IN: dict[str, str] = dict(unasync._ASYNC_TO_SYNC)  # pyright: ignore[reportPrivateUsage]

# Names that would be wrong on the sync side, and what to do about each (unless NAMES has it).
REFUSED = {
    "AsyncGenerator": "say AsyncIterator, whose mirror image has the same arguments",
    "Awaitable": "name the type in _runtime.py, which has a twin",
    "Coroutine": "name the type in _runtime.py, which has a twin",
    "aclose": "list it in NAMES",
    "aclosing": "list it in NAMES",
    "aio": "say kv_core.aio in full",
    "aiter": "list it in NAMES",
    "anext": "list it in NAMES",
    "asyncio": "go through _runtime.py, which has a twin",
}

TEXT_TOKENS = {"STRING", "FSTRING_MIDDLE", "TSTRING_MIDDLE", "COMMENT"}
SIDE_WORDS = re.compile(r"\b(async|asynchronous(?:ly)?|await(?:s|ed|ing|able)?)\b", re.IGNORECASE)


def is_handwritten(name: str) -> bool:
    """Tell whether the sync file `name` is written by people."""
    return any(fnmatch(name, pattern) for pattern in HANDWRITTEN)


def twin(name: str) -> str:
    """Return the name of the file on the sync side that belongs to the async file `name`."""
    for tree, target in TREES.items():
        if name.startswith(f"{tree}/"):
            return target + name.removeprefix(tree)
    raise ValueError(name)


def words(token: tokenize_rt.Token) -> list[str]:
    """Return the names in a token: itself, or the words of a string or comment."""
    if token.name == "NAME":
        return [token.src]
    return re.findall(r"\w+", token.src) if token.name in TEXT_TOKENS else []


def token_traps(tokens: list[tokenize_rt.Token]) -> Iterator[tuple[int, str]]:
    """Yield line and complaint for each token that unasync would convert wrongly."""
    for token, after in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        line = token.line or 0
        if token.src == "await" and after.name not in {"UNIMPORTANT_WS", "ESCAPED_NL"}:
            yield line, f"`await{after.src.strip()}` would lose its {after.src.strip()!r}: put a space behind await"
        if token.name == "COMMENT" and (found := SIDE_WORDS.search(token.src)):
            yield line, f"a comment says {found[0]!r}, which is not true on the sync side"
        for word in words(token):
            if word in NAMES:
                continue
            if token.name == "NAME" and word in REFUSED:
                yield line, f"{word}: {REFUSED[word]}"
            elif re.match("Async[A-Z]", word) and word not in BUILT_IN:
                yield line, f"{word} is not in the table NAMES of tools/mirror.py"


def tree_traps(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and complaint for what only the syntax tree shows: docstrings and f-strings."""
    changing = NAMES.keys() | BUILT_IN.keys()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False) or ""
            for found in SIDE_WORDS.finditer(text):
                line = node.body[0].lineno + text.count("\n", 0, found.start())
                yield line, f"a docstring says {found[0]!r}, which is not true on the sync side"
        if isinstance(node, ast.FormattedValue):  # one token up to Python 3.11, several later: unasync differs
            for inner in ast.walk(node.value):
                name = getattr(inner, "id", None) or getattr(inner, "attr", None)
                advice = "give the value a name before it"
                if isinstance(inner, ast.Await) or (isinstance(inner, ast.comprehension) and inner.is_async):
                    yield node.lineno, f"an f-string awaits: {advice}"
                elif name in changing:
                    yield (
                        node.lineno,
                        f"an f-string uses {name}, which changes its name: {advice}",
                    )


def convert_text(tokens: list[tokenize_rt.Token]) -> str:
    """Return the source with the names in strings and comments as the sync side calls them."""
    table = {name: plain for name, plain in (BUILT_IN | NAMES).items() if name not in REFUSED or name in NAMES}
    known = re.compile(r"\b(" + "|".join(map(re.escape, table)) + r")\b")
    text: str = tokenize_rt.tokens_to_src(
        token._replace(src=known.sub(lambda found: table[found[0]], token.src)) if token.name in TEXT_TOKENS else token
        for token in tokens
    )
    return text


def ruff(folder: Path, command: str, *arguments: str) -> None:
    """Run ruff with this project's own settings, wherever the folder lies."""
    config = ["--config", str(HERE / "pyproject.toml"), "--no-cache", "--quiet", "--no-respect-gitignore"]
    subprocess.run([sys.executable, "-m", "ruff", command, *config, *arguments, "."], cwd=folder, check=True)


def generate(root: Path, into: Path) -> list[str]:
    """Generate the sync side of `root` below `into`, and return what stands in the way, if anything does."""
    problems: list[str] = []
    used: set[str] = set()
    copies: list[str] = []
    for path in sorted(path for tree in TREES for path in (root / tree).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        tokens = tokenize_rt.src_to_tokens(text)
        used |= {word for token in tokens for word in words(token)} | {phrase for phrase in PHRASES if phrase in text}
        if is_handwritten(twin(name)):
            continue
        for phrase, plain in PHRASES.items():
            text = text.replace(phrase, plain)
        tokens = tokenize_rt.src_to_tokens(text)
        traps = [*token_traps(tokens), *tree_traps(ast.parse(text, name))]
        problems += [f"{name}:{line}: {complaint}" for line, complaint in sorted(set(traps))]
        copy = into / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(HEADER.format(source=name) + convert_text(tokens), encoding="utf-8")
        copies.append(str(copy))
    unused = sorted((NAMES.keys() | PHRASES.keys()) - used)
    problems += [f"tools/mirror.py: no source uses {name!r}: take it out of the table" for name in unused]
    if not problems:
        rules = [unasync.Rule(f"/{tree}/", f"/{target}/", NAMES) for tree, target in TREES.items()]
        unasync.unasync_files(copies, rules)  # pyright: ignore[reportUnknownMemberType]  # published without types
        for tree in TREES:
            shutil.rmtree(into / tree, ignore_errors=True)
        ruff(into, "check", "--select", "I,F401", "--fix-only")
        ruff(into, "format")
    return problems


def read(root: Path, trees: Iterable[str]) -> dict[str, str]:
    """Return name and text of every Python file in these trees."""
    paths = (path for tree in trees for path in (root / tree).rglob("*.py"))
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def main(arguments: list[str] | None = None) -> int:
    """Write or check the sync side, and return the exit status."""
    parser = argparse.ArgumentParser(description=f"{__doc__} Names are converted by the table NAMES in this file.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file is missing, left over or stale"
    )
    parser.add_argument(
        "--root", type=Path, default=HERE, metavar="FOLDER", help="the project to mirror (default: this one)"
    )
    options = parser.parse_args(arguments)
    root: Path = options.root.resolve()

    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder).resolve()
        if problems := generate(root, into):
            print(*problems, sep="\n", file=sys.stderr)
            return 1
        fresh = read(into, TREES.values())
    there = read(root, TREES.values())
    by_hand = {name for name in there if is_handwritten(name)}
    expected = {twin(name) for name in read(root, TREES)}

    problems = [f"{name} is missing: write it by hand" for name in sorted(expected - fresh.keys() - by_hand)]
    problems += [f"{name} is left over: nothing on the other side has this name" for name in sorted(by_hand - expected)]
    missing = sorted(fresh.keys() - there.keys())
    left_over = sorted(there.keys() - fresh.keys() - by_hand)
    stale = sorted(name for name in fresh.keys() & there.keys() if fresh[name] != there[name])
    if options.check:
        problems += [f"{name} is missing: run `make mirror`" for name in missing]
        problems += [f"{name} is left over: run `make mirror`" for name in left_over]
        problems += [f"{name} is stale: run `make mirror`" for name in stale]
        print(f"{len(fresh)} generated files compared")
    else:
        for name in left_over:
            (root / name).unlink()
        for name in missing + stale:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(fresh[name], encoding="utf-8")
        print(f"{len(fresh)} generated files: {len(missing) + len(stale)} written, {len(left_over)} removed")
    print(*problems, sep="\n" if problems else "", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
