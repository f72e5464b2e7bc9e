"""Stores are described wherever an application keeps its settings."""

import subprocess
import sys

import pytest
from starlette.applications import Starlette
from starlette.config import Config
from starlette.testclient import TestClient

from kv_core.errors import ConfigurationError
from kv_starlette import KVSettings, kv_lifespan
from kv_starlette.sources import stacks_of


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """No setting of the outside world."""
    for name in ("KV_STORES", "KV_URL"):
        monkeypatch.delenv(name, raising=False)


def test_mapping():
    """A mapping is taken as it is."""
    assert stacks_of({"default": "memory://"}) == {"default": "memory://"}


def test_environment_nested(monkeypatch):
    """Variables with double underscores build the mapping; lists come as JSON."""
    monkeypatch.setenv("KV_STORES__default__LOCATION", "memory://")
    monkeypatch.setenv("KV_STORES__default__WRAPPERS", '["statistics", {"wrapper": "retry", "max_retries": 2}]')
    monkeypatch.setenv("KV_STORES__sessions__LOCATION", "memory://")

    with TestClient(Starlette(lifespan=kv_lifespan(KVSettings()))) as client:
        registry = client.app_state["kv"]

        assert registry.spec().parts == ("statistics", "retry", "memory")
        assert set(registry.specs) == {"default", "sessions"}


def test_environment_json(monkeypatch):
    """One variable may hold everything."""
    monkeypatch.setenv("KV_STORES", '{"default": {"LOCATION": "memory://", "COLLECTION": "app"}}')

    assert stacks_of(KVSettings()) == {"default": {"LOCATION": "memory://", "COLLECTION": "app"}}


def test_url_is_the_default_store(monkeypatch):
    """KV_URL describes the default store where KV_STORES has none."""
    monkeypatch.setenv("KV_URL", "memory://one")
    assert stacks_of(KVSettings()) == {"default": "memory://one"}

    monkeypatch.setenv("KV_STORES", '{"default": "memory://two"}')
    assert stacks_of(KVSettings()) == {"default": "memory://two"}


def test_settings_of_ones_own(monkeypatch):
    """An application's settings inherit ours."""
    monkeypatch.setenv("KV_URL", "memory://")
    monkeypatch.setenv("TITLE", "Links")

    class Settings(KVSettings):
        title: str

    settings = Settings()

    assert (settings.title, stacks_of(settings)) == ("Links", {"default": "memory://"})


def test_settings_show_no_secret(monkeypatch):
    """Neither the settings nor an error shows a password."""
    monkeypatch.setenv("KV_STORES", '{"default": {"LOCATION": "redis://:hunter2@h/0", "STORE": {"nope": 1}}}')
    settings = KVSettings()

    with pytest.raises(ConfigurationError) as caught:
        kv_lifespan(settings)

    assert "hunter2" not in f"{settings!r} {settings} {caught.value} {caught.value.problems}"


def test_starlette_config():
    """A Starlette Config holds JSON under KV_STORES, or a URL under KV_URL."""
    config = Config(
        environ={"APP_KV_STORES": '{"sessions": "memory://"}', "APP_KV_URL": "memory://"}, env_prefix="APP_"
    )

    assert stacks_of(config) == {"default": "memory://", "sessions": "memory://"}


@pytest.mark.parametrize("text", ["[", "[]", '"memory://"'])
def test_config_that_is_not_a_json_object(text):
    """What is not a JSON object of stacks is refused by name."""
    with pytest.raises(ConfigurationError, match="KV_STORES is"):
        stacks_of(Config(environ={"KV_STORES": text}))


def test_no_settings_at_all():
    """Settings that describe no store are an error that says what to set."""
    with pytest.raises(ConfigurationError, match="set KV_STORES, or KV_URL"):
        stacks_of(KVSettings())


def test_starlette_alone_is_enough():
    """Without pydantic-settings everything but KVSettings works, and that says what to install."""
    script = """
import sys
sys.modules["pydantic_settings"] = sys.modules["fastapi"] = None
import kv_starlette
from kv_core.errors import MissingDependencyError
kv_starlette.kv_lifespan({"default": "memory://"})
try:
    kv_starlette.KVSettings
except MissingDependencyError as error:
    assert "kvstack[fastapi]" in str(error)
else:
    raise SystemExit("no error")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
