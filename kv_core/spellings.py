"""Accept the spellings of arguments that the field has published beside ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
S = TypeVar("S")


def also(**spellings: str) -> Callable[[Callable[Concatenate[S, P], None]], Callable[Concatenate[S, P], None]]:
    """Let a constructor take other names for its arguments, as in `@also(store="key_value")`.

    Args:
        **spellings: Ours for each other spelling. Both at once is a `TypeError`.
    """

    def decorate(init: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
        @wraps(init)
        def accept(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            options: dict[str, Any] = kwargs
            for other in spellings.keys() & options.keys():
                ours = spellings[other]
                if ours in options:
                    raise TypeError(f"{type(self).__name__} got both {ours}= and {other}=, two names of one argument.")
                options[ours] = options.pop(other)
            init(self, *args, **options)

        accept.__dict__["spellings"] = dict(spellings)
        return accept

    return decorate
