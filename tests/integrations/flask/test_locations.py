"""Every scheme of `KV_STORES` builds its store in a Flask application."""

import pytest
from flask import Flask
from locations import location

from kv_core.errors import ConfigurationError
from kv_core.kinds import STORES
from kv_flask import KV


@pytest.mark.parametrize("scheme", STORES)
def test_a_location(scheme, tmp_path):
    """`app.config["KV_STORES"]` names it by URL, and its options are checked when the application is made."""
    app, kv = Flask("locations"), KV()
    app.config["KV_STORES"] = {"default": {"LOCATION": location(scheme, tmp_path), "STORE": {"timeout": 0.25}}}
    kv.init_app(app)

    with app.app_context():
        assert type(kv.store) is STORES[scheme].load_sync()
        assert kv.store._timeout == 0.25
        kv.close()
    app.config["KV_STORES"]["default"]["STORE"] = {"timeuot": 1}
    with pytest.raises(ConfigurationError, match="Did you mean 'timeout'"):
        KV(name="again").init_app(app)


@pytest.mark.faults(124)
@pytest.mark.parametrize(("url", "said"), [("redis://:s3cret@cache.example", 1), ("rediss://cache.example", 0)])
def test_a_host_without_tls_is_a_warning(url, said, caplog):
    """One line in the log names the host, and no password."""
    app = Flask("locations")
    app.config["KV_URL"] = url

    KV(app)

    assert [record.getMessage() for record in caplog.records] == [
        "KV_STORES: values and passwords go to cache.example without TLS"
    ] * said
