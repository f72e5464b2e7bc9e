"""Every scheme of `KV_STORES` builds its store in a Starlette application."""

import pytest
from locations import NETWORK, location
from starlette.applications import Starlette
from starlette.testclient import TestClient

from kv_core.errors import ConfigurationError, StoreConnectionError
from kv_core.kinds import STORES
from kv_starlette import kv_lifespan


@pytest.mark.parametrize("scheme", STORES)
def test_a_location(scheme, tmp_path):
    """The lifespan builds it on both sides, and refuses options that it does not know before the application starts."""
    described = {"LOCATION": location(scheme, tmp_path), "STORE": {"timeout": 0.25}}

    with TestClient(Starlette(lifespan=kv_lifespan({"default": described}))) as client:
        registry = client.app_state["kv"]
        assert type(registry.astore()) is STORES[scheme].load_async()
        assert type(registry.store()) is STORES[scheme].load_sync()
        assert registry.astore()._timeout == registry.store()._timeout == 0.25
    with pytest.raises(ConfigurationError, match="Did you mean 'timeout'"):
        kv_lifespan({"default": {**described, "STORE": {"timeuot": 1}}})


@pytest.mark.faults(141)
@pytest.mark.parametrize("scheme", NETWORK)
def test_an_eager_store_is_asked_at_the_start(scheme):
    """With EAGER an application whose server is away does not start."""
    described = {"LOCATION": location(scheme), "STORE": {"timeout": 1}, "EAGER": "ping"}

    with (
        pytest.raises(StoreConnectionError),
        TestClient(Starlette(lifespan=kv_lifespan({"default": described}))),
    ):
        pass


@pytest.mark.faults(124)
@pytest.mark.parametrize(("url", "said"), [("redis://:s3cret@cache.example", 1), ("rediss://cache.example", 0)])
def test_a_host_without_tls_is_a_warning(url, said, caplog):
    """One line in the log names the host, and no password."""
    with TestClient(Starlette(lifespan=kv_lifespan({"default": url}))):
        pass

    assert [record.getMessage() for record in caplog.records if record.name == "kv_starlette"] == [
        "Values and passwords go to cache.example without TLS"
    ] * said
