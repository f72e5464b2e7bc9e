"""Turn what settings say into what constructors take: by the constructor's annotations, never by looks."""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, TypeGuard, Union, get_args, get_origin

from kv_core import errors
from kv_core.errors import ConfigurationError, MissingDependencyError, StoreAuthenticationError

_TRUE = frozenset(("true", "1", "yes", "on"))
_FALSE = frozenset(("false", "0", "no", "off"))


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest of *known*, or all of them."""
    names = sorted(known)
    near = get_close_matches(given, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(names)}." if names else ""


def parameters(kind: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """Return the public parameters of a constructor by name, with their annotations resolved."""
    found = inspect.signature(kind, eval_str=True).parameters
    return {
        name: parameter
        for name, parameter in found.items()
        if not name.startswith("_") and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


def coerce(value: Any, annotation: Any) -> Any:
    """Return *value* as a constructor wants it: text, which URLs and the environment give, becomes a number or a bool.

    Raises:
        ValueError: The text cannot be read as what the annotation asks for, or something else than true or false is
            given for a bool, which any object would pass for.
    """
    wanted = _members(annotation)
    if not isinstance(value, str):
        if bool in wanted and type(value) not in wanted:
            raise ValueError(f"wants {_names(wanted)}, not {type(value).__name__}")
        return value
    if str in wanted or not wanted & {int, float, bool}:
        return value
    text = value.strip()
    if types.NoneType in wanted and text.lower() in ("none", ""):
        return None
    if bool in wanted and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    for kind in (int, float):
        if kind in wanted:
            try:
                return kind(text)
            except ValueError:
                continue
    raise ValueError(f"wants {_names(wanted)}, and this text is not one")


def _names(kinds: set[Any]) -> str:
    return " or ".join(sorted(kind.__name__ for kind in kinds if kind is not types.NoneType))


def takes_store(annotation: Any) -> bool:
    """Say whether a parameter wants a store, so that settings may name a stack there."""
    return any(
        getattr(kind, "__name__", "").removeprefix("Async") in ("KeyValue", "Store") for kind in _members(annotation)
    )


def _members(annotation: Any) -> set[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return {member for part in get_args(annotation) for member in _members(part)}
    return {get_origin(annotation) or annotation}


def from_environment(value: Any) -> Any:
    """Return *value* with every `"env:NAME"` in it, lists and dicts included, replaced by that variable.

    Raises:
        LookupError: Variables are not set; its arguments are their names.
    """
    unset: dict[str, None] = {}
    found = _replaced(value, unset)
    if unset:
        raise LookupError(*unset)
    return found


def _replaced(value: Any, unset: dict[str, None]) -> Any:
    if isinstance(value, str):
        if not value.startswith("env:"):
            return value
        name = value.removeprefix("env:")
        if name not in os.environ:
            unset[name] = None
        return os.environ.get(name)
    if is_mapping(value):
        return {key: _replaced(item, unset) for key, item in value.items()}
    if is_list(value):
        return [_replaced(item, unset) for item in value]
    return value


def is_mapping(given: object) -> TypeGuard[Mapping[str, Any]]:
    """Say whether *given* is a mapping, as settings have them."""
    return isinstance(given, Mapping)


def is_list(given: object) -> TypeGuard[Sequence[Any]]:
    """Say whether *given* is a list or the like, and not text."""
    return isinstance(given, Sequence) and not isinstance(given, str | bytes)


def load_object(given: Any, name: str) -> Any:
    """Return *given*, or what it names if it is a dotted path such as `"package.module.thing"`.

    Raises:
        ConfigurationError: There is nothing under that path.
    """
    if not isinstance(given, str):
        return given
    module, _, attribute = given.replace(":", ".").rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except MissingDependencyError:
        raise
    except (ImportError, AttributeError, ValueError) as error:
        message = f"{name}: there is no {given!r}; give a dotted path such as 'app.keys.provider'."
        raise ConfigurationError(message) from error


def load_provider(given: Any, store: str) -> Any:
    """Return who gives a store's login: *given*, what its dotted path names, or, of a class, an object of it.

    Raises:
        ConfigurationError: There is nobody under that path, or nobody who has a method `get_credentials`.
    """
    option = f"{store}: credential_provider"
    found = load_object(given, option)
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:  # whatever somebody else's code raises
            message = f"{option}: an object of the class cannot be made without arguments ({type(error).__name__})."
            raise ConfigurationError(message) from error
    if found is None or any(callable(getattr(found, f"get_credentials{end}", None)) for end in ("", "_async")):
        return found
    raise ConfigurationError(f"{option} has a method get_credentials() that returns a login.")


def no_login(store: str, error: Exception) -> StoreAuthenticationError:
    """Return the error for a credential provider that raised one; what that says may be secret."""
    return StoreAuthenticationError(f"{store}: the credential provider gave no login but {type(error).__name__}.")


def error_types(given: Any, name: str) -> tuple[type[Exception], ...]:
    """Return the exception types of *given*: types, names from `kv_core.errors`, or dotted paths.

    Raises:
        ConfigurationError: One of them is not an exception.
    """
    found: list[type[Exception]] = []
    for one in given if is_list(given) else [given]:
        kind = getattr(errors, one, None) if isinstance(one, str) and "." not in one else load_object(one, name)
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            hint = (
                did_you_mean(one, errors.__all__) if isinstance(one, str) else "Give types or names of kv_core.errors."
            )
            raise ConfigurationError(f"{name} is a list of exceptions, and {one!r} is none. {hint}")
        found.append(kind)
    return tuple(found)
