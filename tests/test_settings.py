"""Settings are read once: what is right is built on both sides, and all that is wrong is said together."""

import asyncio
import logging

import pytest

from kv_core.aio.stores.memory import MemoryStore as AsyncMemoryStore
from kv_core.aio.wrappers.retry import RetryWrapper as AsyncRetryWrapper
from kv_core.errors import ConfigurationError
from kv_core.registry import Registry
from kv_core.settings import parse_stack, parse_stacks
from kv_core.sync.stores.disk import DiskStore
from kv_core.sync.stores.memory import MemoryStore
from kv_core.sync.stores.redis import RedisStore
from kv_core.sync.wrappers.retry import RetryWrapper
from kv_core.sync.wrappers.statistics import StatisticsWrapper

STACK = {
    "LOCATION": "memory://?max_entries_per_collection=3",
    "STORE": {"timeout": 0.5},
    "COLLECTION": "app",
    "WRAPPERS": ["statistics", {"wrapper": "retry", "max_retries": 7}],
}


def problems(settings):
    with pytest.raises(ConfigurationError) as caught:
        parse_stacks(settings)
    return [str(problem) for problem in caught.value.problems]


def test_a_stack_is_built_outermost_first():
    """Wrappers nest as they are listed; options arrive; both sides are the same."""
    spec = parse_stack(STACK)
    sync, async_ = spec.build_sync(), spec.build_async()

    assert isinstance(sync, StatisticsWrapper)
    assert isinstance(sync.key_value, RetryWrapper)
    assert sync.key_value.max_retries == 7
    assert isinstance(sync.key_value.key_value, MemoryStore)
    assert sync.default_collection == "app"
    assert isinstance(async_.key_value, AsyncRetryWrapper)
    assert isinstance(async_.key_value.key_value, AsyncMemoryStore)


def test_twins_see_the_same_data_and_counters():
    """What one side puts the other reads, and both count into one place; another spec has its own."""
    spec = parse_stack(STACK)
    sync, async_ = spec.build_sync(), spec.build_async()
    sync.put("key", {"n": 1})

    assert asyncio.run(async_.get("key")) == {"n": 1}
    assert sync.get_statistics().count == async_.get_statistics().count == 2
    assert parse_stack(STACK).build_sync().get("key") is None


def test_two_applications_with_equal_settings_are_apart():
    """Two registries share nothing."""
    one, two = Registry({"default": "memory://"}), Registry({"default": "memory://"})
    one.store().put("key", {})

    assert two.store().get("key") is None


def test_a_name_shares_within_the_process():
    """`memory://name` is one store wherever it is named."""
    one, two = Registry({"default": "memory://test-stack"}), Registry({"default": "memory://test-stack"})
    one.store().put("key", {})

    assert two.store().get("key") == {}


def test_a_stack_may_stand_on_another():
    """`kv:alias` is the other stack: its entries and its wrappers."""
    registry = Registry({"default": {"LOCATION": "kv:base", "WRAPPERS": ["statistics"]}, "base": "memory://"})
    registry.store().put("key", {})

    assert registry.store("base").get("key") == {}
    assert registry.store().key_value is registry.store("base")


def test_urls_say_which_store(tmp_path):
    """The scheme picks the store, its query the options, and redis-py's own options stay in the URL."""
    disk = parse_stack(f"disk://{tmp_path}/data?max_size=1000000").build_sync()
    redis = parse_stack("redis://:p%40ss@host.example:6380/2?socket_keepalive=true&timeout=0.25").build_sync()

    assert isinstance(disk, DiskStore)
    assert not (tmp_path / "data").exists()
    assert isinstance(redis, RedisStore)
    assert redis._timeout == 0.25


def test_urls_of_embedded_stores(tmp_path):
    """Each embedded store has a scheme; the twins of a simple one share; a place where none is wanted is refused."""
    described = {"many": f"multi-disk://{tmp_path}/data?max_size=1000000", "simple": "simple://?max_entries=5"}
    registry = Registry({**described, "null": "null://"})
    registry.store("simple").put("key", {"n": 1})

    assert [type(registry.store(alias)).__name__ for alias in registry.specs] == [
        "MultiDiskStore",
        "SimpleStore",
        "NullStore",
    ]
    assert asyncio.run(registry.astore("simple").get("key")) == {"n": 1}
    assert not (tmp_path / "data").exists()
    for url in ("simple://name", "null:///path"):
        with pytest.raises(ConfigurationError, match="no host and no path"):
            parse_stack(url)


def test_text_becomes_what_the_constructor_wants():
    """What the environment gives as text is read by the annotation, never by looks."""
    described = {
        "location": "memory://",
        "store": {"max_entry_size": "100", "timeout": "2"},
        "collection": "123",
        "wrappers": [{"wrapper": "timeout", "timeout": "1.5", "interrupt": "true"}],
    }
    store = parse_stack(described).build_sync()

    assert store.timeout == 1.5
    assert store.key_value._max_entry_size == 100
    assert store.default_collection == "123"


def test_the_environment_may_hold_secrets(monkeypatch):
    """`env:NAME` is read from the environment, and what it held is not shown."""
    monkeypatch.setenv("STACK_URL", "redis://:hunter2@localhost:1/0")
    spec = parse_stack({"LOCATION": "env:STACK_URL"})

    assert "hunter2" not in repr(spec)
    assert "***@localhost" in repr(spec)
    [found] = problems({"default": "env:STACK_NOPE"})
    assert found.startswith("KV_STORES['default']['LOCATION']: the environment variable STACK_NOPE is not set.")


@pytest.mark.faults(120)
def test_all_problems_are_said_together():
    """Each problem has its path and, where there is one, what was probably meant."""
    found = problems(
        {
            "a": {"LOCATON": "memory://"},
            "b": "memroy://",
            "c": {"LOCATION": "memory://?max_entires_per_collection=3", "STORE": {"timeuot": 1}},
            "d": {"LOCATION": "memory://", "WRAPPERS": ["retri", {"wrapper": "retry", "max_retry": 1}, {"x": 1}, 5]},
            "e": {"LOCATION": "memory://", "WRAPPERS": "retry"},
            "f": 7,
            "g": "kv:gg",
            "h": {"LOCATION": "memory://", "STORE": {"timeout": -1}},
            "i": {"LOCATION": "memory://", "WRAPPERS": [{"wrapper": "retry", "max_retries": -1}]},
            "j": {"LOCATION": "memory://", "WRAPPERS": [{"wrapper": "timeout", "timeout": "soon"}]},
            "k": "no url",
            "l": "kv:m",
            "m": "kv:l",
        }
    )

    for alias, expected in {
        "a": "LOCATON",
        "b": "Did you mean 'memory'?",
        "c": "Did you mean 'max_entries_per_collection'?",
        "d": "Did you mean 'retry'?",
        "e": "WRAPPERS is a list",
        "f": "a stack is a URL or a mapping, not int",
        "g": "there is no stack 'gg'",
        "h": "timeout (seconds) is more than 0",
        "i": "max_retries is a whole number from 0",
        "j": "timeout wants float",
        "k": "a store's location is a URL",
        "l": "",
        "m": "refer to each other in a circle",
    }.items():
        here = [text for text in found if text.startswith(f"KV_STORES['{alias}']")]
        assert (expected.lower() in " ".join(here).lower()) or alias == "l", (alias, here)
    assert sum("Did you mean 'timeout'?" in text for text in found) == 1
    assert sum("Did you mean 'max_retries'?" in text for text in found) == 1


@pytest.mark.faults(120)
def test_what_constructors_refuse_is_said_of_every_part(monkeypatch):
    """A part that is wrong hides nothing of the others, and each problem says which part it is about."""
    monkeypatch.delenv("STACK_ONE", raising=False)
    monkeypatch.delenv("STACK_TWO", raising=False)
    found = problems(
        {
            "a": {
                "LOCATION": "memory://",
                "STORE": {"timeout": -1},
                "WRAPPERS": [
                    {"wrapper": "retry", "max_retries": -1},
                    "prefix_keys",
                    {"wrapper": "fernet", "keys": ["env:STACK_ONE", "env:STACK_TWO"]},
                    {"wrapper": "timeout", "timeout": -1},
                    {"wrapper": "statistics", "every": 5},
                ],
            }
        }
    )

    where = "KV_STORES['a']"
    assert sorted(text.partition(": ")[0] for text in found) == [
        where,
        f"{where}['WRAPPERS'][0]",
        f"{where}['WRAPPERS'][1]",
        f"{where}['WRAPPERS'][2]['keys']",
        f"{where}['WRAPPERS'][2]['keys']",
        f"{where}['WRAPPERS'][3]",
        f"{where}['WRAPPERS'][4]['every']",
    ]
    for expected in ("timeout (seconds)", "max_retries", "'prefix'", "STACK_ONE", "STACK_TWO"):
        assert any(expected in text for text in found), expected


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ({"LOCATION": "memory://", "location": "disk://data"}, "a key is there twice"),
        ({"LOCATION": "memory://", "WRAPPERS": [{"wrapper": "fallback", "fallback": 5}]}, "not int"),
        ({"LOCATION": "memory://", "WRAPPERS": [{"wrapper": "read_only", "raise_on_write": None}]}, "wants bool"),
        ({"LOCATION": "memory://", "WRAPPERS": [{"wrapper": "read_only", "raise_on_write": 0}]}, "wants bool"),
        ({"LOCATION": "memory://", "WRAPPERS": [{"wrapper": "retry", 5: 6}]}, "the option '5' is not known"),
        ({"LOCATION": "memory://", "WRAPPERS": [{"wrapper": "retry", "store": "kv:a"}]}, "'store' is not known"),
        ({"LOCATION": "memory://", "COLLECTION": "env:STACK_NOPE"}, "STACK_NOPE is not set"),
        ({"LOCATION": "memory://", "STORE": {"timeout": "env:STACK_NOPE"}}, "STACK_NOPE is not set"),
    ],
)
def test_what_would_be_misread_is_refused(stack, expected):
    """A setting that could not mean what it says is one problem, not a stack that does something else."""
    [found] = problems({"a": stack})

    assert expected in found


def test_an_alias_is_text():
    """A number as an alias is no alias."""
    assert problems({1: "memory://"}) == ["KV_STORES: an alias is text, not int."]


@pytest.mark.faults(117, 118)
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost:6379/abc", "database number"),
        ("redis://localhost:6379/0?nope=1", "unknown option 'nope'"),
        ("redis://localhost:6379/0?retry_on_timeout=true", "RetryWrapper"),
        ("redis://:s3cret@localhost:99999/0", "is not a URL"),
        ("redis://", "names no host"),
    ],
)
def test_redis_urls_are_read_before_anything_is_sent(url, expected):
    """A URL that would be misread is refused, and its password is not shown."""
    [found] = problems({"default": url})

    assert expected in found
    assert "s3cret" not in found


def test_no_password_is_shown(caplog):
    """Neither the registry's repr nor an error or a log has it."""
    caplog.set_level(logging.DEBUG)
    settings = {"default": {"LOCATION": "redis://user:s3cret@localhost:1/0", "WRAPPERS": ["retri"]}}

    with pytest.raises(ConfigurationError) as caught:
        Registry(settings)
    registry = Registry({"default": "redis://user:s3cret@localhost:1/0"})

    for text in (str(caught.value), repr(caught.value), repr(registry), repr(registry.store()), caplog.text):
        assert "s3cret" not in text


def test_a_setting_of_another_name():
    """Problems name the setting as it is called where it came from."""
    with pytest.raises(ConfigurationError, match="MY_STORES"):
        parse_stacks({"default": "x://"}, setting="MY_STORES")
    with pytest.raises(ConfigurationError, match="not list"):
        parse_stacks([])  # type: ignore[arg-type]
