"""Make the calls of the kept script on a store, and note each answer in words that do not depend on the store."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stores import Handle

from kv_core.capabilities import OPERATIONS
from kv_core.entry import Revision
from kv_core.errors import BaseKeyValueError
from kv_core.sync.stores.memory import MemoryStore
from kv_core.ttl import KEEP

if TYPE_CHECKING:
    from collections.abc import Iterable

SCRIPT = Path(__file__).with_name("script.txt")
ARROW = "  ->  "
STEP = 100.0
"""What a remaining ttl is rounded up to, in seconds; the script's ttls are multiples of it."""


@dataclass(frozen=True)
class Line:
    """A call, as Python writes it, and its answer."""

    call: str
    answer: str = ""

    @property
    def operation(self) -> str:
        """The operation that is called."""
        return self.call.partition("(")[0]

    def __str__(self) -> str:
        return f"{self.call}{ARROW}{self.answer}"


def load() -> list[Line]:
    """Return the kept script."""
    return [Line(*line.split(ARROW)) for line in SCRIPT.read_text(encoding="ascii").splitlines()]


class Replay:
    """Calls made one after the other on a store, with the revisions that they read."""

    def __init__(self, store: Handle) -> None:
        self._store = store
        self._revisions: list[Revision] = []
        self._names = {
            **{name: partial(self._make, name) for name in OPERATIONS},
            "latest": self._latest,
            "KEEP": KEEP,
            "nan": math.nan,
            "inf": math.inf,
        }

    def answers(self, script: Iterable[Line]) -> list[str]:
        """Return what each call answers."""
        return [self.answer(line) for line in script]

    def answer(self, line: Line) -> str:
        """Make a call, and return its answer as text: the error's name, or what it returned."""
        try:
            answer = eval(line.call, self._names)  # the script is ours
        except BaseKeyValueError as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - the matrix counts it as a difference
            return f"unnamed {type(error).__name__}"
        return ascii(answer)

    def _make(self, operation: str, *arguments: Any, **options: Any) -> Any:
        if operation in {"touch", "increment"}:
            self._revisions.clear()  # touching, and adding nothing, may leave a revision or change it
        answer = self._store.call(operation, *arguments, **options)
        if operation == "get_with_revision" and answer is not None:
            self._revisions.append(answer[1])
        return _told(operation, answer, options)

    def _latest(self, back: int) -> Revision:
        """Return a revision that was read lately, or one that no entry ever had."""
        return self._revisions[-back] if back <= len(self._revisions) else Revision("none")


def _told(operation: str, answer: Any, options: dict[str, Any]) -> Any:
    """Return an answer without what stores may choose: orders, revisions, and the time that has gone by."""
    match operation:
        case "keys" | "iter_keys" | "collections" if options.get("limit") is not None:
            return f"{len(answer)} names"
        case "keys" | "iter_keys" | "collections":
            return sorted(answer)
        case "ttl":
            return _rounded(answer)
        case "ttl_many":
            return [_rounded(one) for one in answer]
        case "get_with_revision":
            return answer and (answer[0], answer[1])
        case "ping":
            return "seconds" if type(answer) is float else answer
    return answer


def _rounded(answer: tuple[Any, float | None]) -> tuple[Any, float | None]:
    value, left = answer
    return value, left if left is None else math.ceil(left / STEP - 1e-6) * STEP


def replay(store: Handle, script: Iterable[Line]) -> list[str]:
    """Make every call, and return the answers."""
    return Replay(store).answers(script)


def reference(can: frozenset[str]) -> Handle:
    """Return a store in memory that has just these operations."""
    kind = type("Reference", (MemoryStore,), {"_has": can})
    return Handle(kind(), run=lambda answer: answer)
