"""Compare every store's answers to the script, and write the result as a table: operations down, stores across."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from published import cells, table
from stores import STORES

from conformance.replay import Line, reference, replay
from kv_core.capabilities import OPERATIONS

if TYPE_CHECKING:
    from stores import Handle

ALIKE, UNSURE, MISSING, NOT_RUN = "✓", "≈", "–", "?"  # noqa: RUF001 - a dash, as tables have it

Columns: TypeAlias = dict[str, dict[str, str]]
"""For each store, by operation, whether its answers are alike, how many are not, or that it lacks the operation."""

FOUND: Columns = {}
"""What this run has found."""


def differences(store: Handle, script: list[Line]) -> list[tuple[Line, str]]:
    """Replay the script, and return each line whose answer differs, with the answer that was given.

    Calls of operations that the store lacks have to be refused by name. What the others answer after them is compared
    with what a store answers that lacks the same; the answers in the script are those of a store that has them all.
    """
    alike = reference(store.can)
    expected = replay(alike, script)
    return [
        (Line(line.call, wanted), given)
        for line, wanted, given in zip(script, expected, replay(store, script), strict=True)
        if given != wanted and not (line.operation in store.unsure and (wanted, given) == ("False", "True"))
    ]


def note(columns: Columns, store: Handle, found: list[tuple[Line, str]], name: str) -> None:
    """Put the differences of one side of a store into its column; they are added up over its sides."""
    column = columns.setdefault(name, {})
    for operation in OPERATIONS:
        wrong = sum(line.operation == operation for line, _ in found)
        before = column.get(operation, ALIKE)
        if wrong:
            column[operation] = str(wrong + (int(before) if before.isdecimal() else 0))
        elif not before.isdecimal():
            there = UNSURE if operation in store.unsure else ALIKE
            column[operation] = there if operation in store.can else MISSING


def merge(columns: Columns, others: Columns) -> None:
    """Add what another process has found; the sides of a store may have been replayed in two."""
    for name, others_column in others.items():
        column = columns.setdefault(name, {})
        for operation, answer in others_column.items():
            column[operation] = min(answer, column.get(operation, answer))  # a number comes before the signs


def columns_of(text: str) -> Columns:
    """Return what a table says."""
    heads, *rows = cells(text)
    return {name: {row[0].strip("`"): row[number] for row in rows} for number, name in enumerate(heads[2:], start=2)}


def matrix(columns: Columns, script: list[Line]) -> str:
    """Return the table of what was found, with the number of calls of each operation."""
    rows = [
        [
            f"`{operation}`",
            str(sum(line.operation == operation for line in script)),
            *(columns.get(name, {}).get(operation, NOT_RUN) for name in STORES),
        ]
        for operation in OPERATIONS
    ]
    return table(["", "calls", *STORES], rows)
