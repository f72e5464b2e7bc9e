"""Options are read by annotation; arguments have one name at a time."""

from pathlib import Path
from typing import Any

import pytest

from kv_core.aio.protocols import AsyncKeyValue
from kv_core.errors import ConfigurationError, StoreTimeoutError
from kv_core.options import (
    coerce,
    did_you_mean,
    error_types,
    from_environment,
    load_object,
    load_provider,
    takes_store,
)
from kv_core.spellings import also
from kv_core.sync.protocols import Store


@pytest.mark.parametrize(
    ("text", "annotation", "expected"),
    [
        ("1", int, 1),
        ("1", float, 1.0),
        ("1", int | None, 1),
        ("none", int | None, None),
        ("", float | None, None),
        ("1.5", int | float, 1.5),
        ("true", bool, True),
        ("off", bool, False),
        ("1", bool, True),
        (True, bool, True),
        (None, bool | None, None),
        ("1", str, "1"),
        ("1", str | None, "1"),
        ("1", str | int, "1"),
        ("/tmp", str | Path, "/tmp"),
        ("x", Any, "x"),
        (5, float, 5),
    ],
)
def test_text_is_read_by_annotation(text, annotation, expected):
    """Text becomes what the annotation asks for, and stays text where text is fine."""
    found = coerce(text, annotation)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "annotation"),
    [("x", int), ("1.5", int), ("maybe", bool), ("none", int), ("", float), (0, bool), (None, bool)],
)
def test_other_text_is_refused(text, annotation):
    """Text that is not what the annotation asks for is an error; so is, for a bool, what would only pass for one."""
    with pytest.raises(ValueError, match="wants"):
        coerce(text, annotation)


def test_stores_are_told_by_annotation():
    """A parameter that wants a store may be given the name of a stack."""
    assert takes_store(AsyncKeyValue | None)
    assert takes_store(Store)
    assert not takes_store(str | None)


def test_the_environment_is_looked_up_in_depth(monkeypatch):
    """`env:` works inside lists and dicts."""
    monkeypatch.setenv("OPTION", "x")

    assert from_environment({"a": ["env:OPTION", 1, {"b": "env:OPTION"}], "c": b"env:"}) == {
        "a": ["x", 1, {"b": "x"}],
        "c": b"env:",
    }


def test_hints():
    """The nearest name, or all of them."""
    assert did_you_mean("retri", ["retry", "timeout"]) == "Did you mean 'retry'?"
    assert did_you_mean("zzz", ["retry", "timeout"]) == "Known: retry, timeout."


def test_objects_by_dotted_path():
    """A dotted path is imported; a wrong one says so."""
    assert load_object("pathlib.Path", "x") is Path
    assert load_object(5, "x") == 5
    for wrong in ("pathlib.Nope", "nope.nope", "nope"):
        with pytest.raises(ConfigurationError, match=wrong):
            load_object(wrong, "x")


class Provider:
    """Somebody who knows a login."""

    def get_credentials(self):
        return "user", "password"


def test_credential_providers():
    """A provider is an object, the path to one, or a class of them; what cannot give a login is refused at once."""
    given = Provider()

    assert load_provider(given, "x") is given
    assert load_provider(None, "x") is None
    assert isinstance(load_provider(Provider, "x"), Provider)
    assert load_provider(f"{__name__}.Provider", "x").get_credentials() == ("user", "password")
    for wrong in (5, object(), "json.dumps", "nope.nope", type, int):
        with pytest.raises(ConfigurationError, match="credential_provider"):
            load_provider(wrong, "x")


def test_other_spellings():
    """Both names of an argument work, not both at once."""

    class Thing:
        @also(store="key_value")
        def __init__(self, key_value: int, other: int = 0) -> None:
            self.key_value = key_value

    assert Thing(1).key_value == Thing(key_value=1).key_value == Thing(store=1).key_value == 1  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="both key_value= and store="):
        Thing(store=1, key_value=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Thing(1, store=2)  # type: ignore[call-arg]


def test_errors_by_name():
    """Exceptions are types, names from kv_core.errors, or dotted paths; a wrong name has a hint."""
    assert error_types((OSError,), "x") == (OSError,)
    assert error_types(["StoreTimeoutError", "builtins.OSError"], "x") == (StoreTimeoutError, OSError)
    with pytest.raises(ConfigurationError, match="Did you mean 'StoreTimeoutError'"):
        error_types(["StoreTimoutError"], "x")
    for wrong in (["pathlib.Path"], [7], 7):
        with pytest.raises(ConfigurationError, match="is none"):
            error_types(wrong, "x")
