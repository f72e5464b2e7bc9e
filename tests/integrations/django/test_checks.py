"""The system checks tell what is wrong with the settings, all at once and without connecting."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

OURS = {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": "memory://"}


def ids(settings: Any, **given: Any) -> list[str]:
    """Return the ids of our messages for these settings."""
    defaults: dict[str, Any] = {"KV_STORES": {"default": "redis://localhost"}, "CACHES": {"default": OURS}}
    for name, value in (defaults | given).items():
        setattr(settings, name, value)
    return sorted(message.id for message in messages())


def messages() -> list[Any]:
    """Return our messages."""
    return [message for message in run_checks() if str(message.id).startswith("kv_django.")]


def test_good_settings_are_fine(settings: Any) -> None:
    """Nothing is said where nothing is wrong."""
    assert ids(settings) == []


def test_every_problem_is_an_error(settings: Any) -> None:
    """Stores, caches and the sessions' alias; each problem is a message with its place and a hint."""
    stores = {"a": "redsi://user:secret@host", "b": {"LOCATION": "memory://?max_entires_per_collection=1"}}
    assert ids(settings, KV_STORES=stores) == ["kv_django.E001"] * 2
    assert "KV_STORES['a']" in messages()[0].msg
    assert "redis" in messages()[0].hint
    assert "secret" not in str(messages())
    caches = {"default": OURS, "b": {**OURS, "LOCATION": "kv:nowhere"}, "c": {**OURS, "OPTIONS": {"STOER": 1}}}
    assert ids(settings, CACHES=caches) == ["kv_django.E001"] * 2
    assert [message.msg.partition(":")[0] for message in messages()] == [
        "CACHES['b']['LOCATION']",
        "CACHES['c']['OPTIONS']['STOER']",
    ]
    assert ids(settings, KV_SESSION_STORE="nowhere") == ["kv_django.E001"]
    settings.KV_SESSION_STORE = None
    assert ids(settings, KV_STORES={"other": "redis://localhost"}) == ["kv_django.E001"]


@pytest.mark.parametrize(
    ("cache", "text"),
    [
        ({"LOCATION": "memroy://"}, "['LOCATION']: no store has the scheme 'memroy'. Did you mean 'memory'?"),
        ({"LOCATION": "kv:defualt"}, "['LOCATION']: there is no stack 'defualt'. Did you mean 'default'?"),
        ({"LOCATION": "kv:zip"}, "['LOCATION']: there is no stack 'zip'. Known: default."),
        ({"LOCATION": ["redis://a"]}, "['LOCATION']: a location is a URL, not list."),
        ({"OPTIONS": {"COLLECTION": 5}}, "['OPTIONS']['COLLECTION']: A collection is a str or None, not int."),
        (
            {"OPTIONS": {"WRAPPERS": ["retri"]}},
            "['OPTIONS']['WRAPPERS'][0]: there is no wrapper 'retri'. Did you mean 'retry'?",
        ),
        (
            {"OPTIONS": {"STORE": {"timeuot": 1}}},
            "['OPTIONS']['STORE']['timeuot']: the option 'timeuot' is not known. Did you mean 'timeout'?",
        ),
    ],
)
def test_a_problem_has_its_place_in_the_settings(settings: Any, cache: dict[str, Any], text: str) -> None:
    """What the check prints can be searched for in settings.py, and no name that nobody wrote is in it."""
    assert ids(settings, CACHES={"pages": {**OURS, **cache}, "default": OURS}) == ["kv_django.E001"]

    message = messages()[0]

    assert f"{message.msg} {message.hint or ''}".strip() == f"CACHES['pages']{text}"


@pytest.mark.parametrize(
    ("caches", "expected"),
    [
        ({"a": {}, "b": {}}, ["kv_django.W001"]),
        ({"a": {}, "b": {"KEY_PREFIX": "b"}}, []),
        ({"a": {}, "b": {"KEY_PREFIX": "b", "OPTIONS": {"COLLECTION": "cache"}}}, ["kv_django.W001"]),
        ({"a": {}, "b": {"OPTIONS": {"STORE": {"timeout": 1}}}}, []),
        ({"a": {"OPTIONS": {"MAX_ENTRIES": 10}}}, []),
        ({"a": {"LOCATION": "kv:default", "OPTIONS": {"MAX_ENTRIES": 10}}}, ["kv_django.W003"]),
        ({"a": {"LOCATION": "redis://localhost", "OPTIONS": {"MAX_ENTRIES": 10}}}, ["kv_django.W003"]),
    ],
)
def test_what_may_surprise_is_a_warning(settings: Any, caches: dict[str, Any], expected: list[str]) -> None:
    """Two caches in one collection, and MAX_ENTRIES where it does not count."""
    dummy = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

    assert ids(settings, CACHES=dummy | {alias: OURS | more for alias, more in caches.items()}) == expected


def test_sessions_in_memory_are_a_warning(settings: Any) -> None:
    """Each worker would have its own."""
    assert ids(settings, KV_STORES={"default": "kv:x", "x": "memory://"}) == ["kv_django.W002"]
    assert ids(settings, KV_STORES={"default": "memory://"}, SESSION_ENGINE="django.contrib.sessions.backends.db") == []
