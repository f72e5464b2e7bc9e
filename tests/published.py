"""The tables of the documentation that the tests write: `pytest --publish` writes them, every other run compares.

In a page such a table stands between `<!-- table: name -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDEST = 40
DOCS = Path(__file__).parents[1] / "docs"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown has it, its columns in line where they are not too wide for that."""
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    widths = [width if width <= WIDEST else 3 for width in widths]
    lines.insert(1, ["-" * width for width in widths])
    return "".join(f"| {' | '.join(map(str.ljust, line, widths))} |\n" for line in lines)


def cells(text: str) -> list[list[str]]:
    """Return the heads and the rows of a table."""
    heads, _, *rows = text.splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (heads, *rows)]


def _place_of(name: str) -> re.Pattern[str]:
    """Return what finds a table in a page."""
    return re.compile(rf"(?<=<!-- table: {re.escape(name)} -->\n\n).*?(?=\n<!-- end -->)", re.DOTALL)


def read(page: str, name: str) -> str:
    """Return a table as it is published."""
    found = _place_of(name).search((DOCS / page).read_text(encoding="utf-8"))
    assert found, f"docs/{page} has no place for the table {name!r}"
    return found[0]


def publish(config: pytest.Config, page: str, name: str, text: str) -> None:
    """Compare a table with the one in a page; with `--publish`, put it there."""
    before = read(page, name)
    if config.getoption("publish"):
        path = DOCS / page
        path.write_text(_place_of(name).sub(lambda _: text, path.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        assert before == text, f"docs/{page} is out of date: `make tables` writes it"
