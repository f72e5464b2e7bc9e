"""Each Flask application has stores of its own, found by the extension."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest
from flask import Flask, current_app

from kv_core.errors import ConfigurationError, StoreClosedError, StoreConnectionError
from kv_flask import KV, KVStores, OutsideAppError, current_kv

kv = KV()


def make_app(stacks=None, **config):
    """An application as a factory makes it."""
    app = Flask("notes")
    app.config.update(config, KV_STORES=stacks or {"default": "memory://", "sessions": "memory://"})
    kv.init_app(app)

    @app.get("/<key>")
    def read(key):
        return {"value": kv.store.get(key)}

    @app.put("/<key>")
    def write(key):
        current_kv.default.put(key, {"n": 1})
        return "kept"

    @app.get("/async/<key>")
    async def read_in_an_async_view(key):
        await asyncio.sleep(0)
        return {"value": kv.store.get(key)}

    return app


@pytest.fixture(params=["memory", "disk", "redis"])
def app(request, tmp_path):
    """An application over each kind of store."""
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").url
    else:
        url = {"memory": "memory://", "disk": f"disk://{tmp_path}/store"}[request.param]
    app = make_app({"default": {"LOCATION": url, "COLLECTION": "flask-test"}})
    yield app
    with app.app_context():
        kv.store.destroy_collection("flask-test")
        kv.close()


def test_requests_share_a_store(app):
    """What one request puts, another gets."""
    client = app.test_client()

    client.put("/a")

    assert client.get("/a").json == {"value": {"n": 1}}


def test_async_views(app):
    """An async view, which Flask runs in a loop of its own, uses the same stores, again and again."""
    client = app.test_client()
    client.put("/a")

    answers = [client.get("/async/a").json for _ in range(3)]

    assert answers == [{"value": {"n": 1}}] * 3


async def test_inside_a_running_loop(app):
    """The stores work where an event loop runs already."""
    with app.app_context():
        kv.store.put("a", {"n": 2})

        assert kv.store.get("a") == {"n": 2}


def test_threads(app):
    """Requests in many threads share the stores."""
    threads = [threading.Thread(target=lambda key=key: app.test_client().put(f"/{key}")) for key in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with app.app_context():
        assert kv.store.get_many([str(key) for key in range(16)]) == [{"n": 1}] * 16


def test_fork_after_use(app):
    """A process that forks after its stores were used can use them in the child, as under --preload."""
    client = app.test_client()
    client.put("/a")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if app.test_client().get("/a").json == {"value": {"n": 1}} else 2
        finally:
            os._exit(status)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert client.get("/a").json == {"value": {"n": 1}}


def test_fork_while_a_store_is_opened():
    """A child that was forked while a thread opened a store is not left with a lock that nobody gives back."""
    app = make_app()
    with app.extensions["kv"].registry._lock:  # held by a thread that the child does not have
        child = forked(app)

    assert child == 0


def forked(app):
    """Fork in another thread, use a store in the child, and return the child's exit status."""
    statuses = []

    def fork():
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            status = 1
            try:
                status = 0 if app.test_client().get("/a").json == {"value": None} else 2
            finally:
                os._exit(status)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    return statuses[0]


def test_every_way_to_a_store():
    """The extension, the current application and `current_kv` lead to the same stores."""
    app = make_app()
    with app.app_context():
        assert kv.store is kv["default"] is current_kv.default is current_kv["default"]
        assert current_app.extensions["kv"].default is app.extensions["kv"]["default"] is kv.store
        assert kv["sessions"] is not kv.store
        assert isinstance(app.extensions["kv"], KVStores)
        assert "sessions" in current_kv
        assert list(current_kv) == ["default", "sessions"]


def test_an_alias_that_is_not_there():
    """A wrong alias names what was meant."""
    with make_app().app_context(), pytest.raises(ConfigurationError, match="Did you mean 'sessions'"):
        kv["session"]


def test_two_applications_are_separate():
    """One extension serves two applications in one process, and they share nothing."""
    first, second = make_app(), make_app()

    first.test_client().put("/a")

    assert first.test_client().get("/a").json == {"value": {"n": 1}}
    assert second.test_client().get("/a").json == {"value": None}
    assert not any(isinstance(value, Flask) for value in vars(kv).values())


def test_closing_one_application_leaves_the_other():
    """After `close` a store says that it was closed; another application's goes on."""
    first, second = make_app(), make_app()
    first.test_client().put("/a")

    with first.app_context():
        store = kv.store
        kv.close()
        kv.close()

        with pytest.raises(StoreClosedError):
            kv.store.get("a")
        with pytest.raises(StoreClosedError):
            store.get("a")
    assert second.test_client().get("/a").json == {"value": None}


def test_init_app_twice():
    """A second extension of one name on one application is refused, as Flask would otherwise lose the first."""
    app = make_app()

    with pytest.raises(ConfigurationError, match="give the other KV a name="):
        kv.init_app(app)


def test_two_extensions_of_two_names():
    """Another name and prefix make a second set of stores."""
    app = make_app(OTHER_URL="memory://")
    other = KV(app, name="other", config_prefix="OTHER")

    with app.app_context():
        other.store.put("a", {"n": 1})

        assert kv.store.get("a") is None
        assert app.extensions["other"].default is other.store


def test_wrong_settings_are_found_by_init_app():
    """All that is wrong is said at once, under the setting's name."""
    with pytest.raises(ConfigurationError) as caught:
        make_app({"default": "rediss0://h", "local": {"LOCATION": "memory://", "WRAPPER": []}})

    assert len(caught.value.problems) == 2
    assert "KV_STORES" in str(caught.value)


def test_settings_are_needed():
    """An application without settings for stores learns what to set."""
    with pytest.raises(ConfigurationError, match=r"set SHOP_STORES, or SHOP_URL"):
        KV(Flask("shop"), config_prefix="SHOP")


@pytest.mark.parametrize("text", ["[", "[1]", "7"])
def test_settings_that_are_not_a_json_object(text):
    """Text under KV_STORES is JSON of a mapping."""
    with pytest.raises(ConfigurationError, match="KV_STORES is"):
        make_app(text)


def test_a_url_in_the_place_of_the_mapping():
    """A URL under KV_STORES is told where it belongs, and not shown."""
    with pytest.raises(ConfigurationError, match="A URL goes into KV_URL") as caught:
        make_app("redis://:hunter2@localhost")

    assert "hunter2" not in str(caught.value)


def test_from_prefixed_env(monkeypatch):
    """Flask's own way to read the environment describes stores."""
    monkeypatch.setenv("FLASK_KV_STORES__default__LOCATION", "memory://")
    monkeypatch.setenv("FLASK_KV_STORES__default__WRAPPERS", '["statistics"]')
    monkeypatch.setenv("FLASK_KV_STORES__sessions", "memory://")
    app = Flask("notes")
    app.config.from_prefixed_env()

    KV(app)

    assert app.extensions["kv"].registry.spec().parts == ("statistics", "memory")
    assert set(app.extensions["kv"]) == {"default", "sessions"}


def test_kv_url_is_the_default_store(monkeypatch):
    """KV_URL alone describes the default store; it gives way to a default of KV_STORES."""
    monkeypatch.setenv("FLASK_KV_URL", "memory://from-url")
    app = Flask("notes")
    app.config.from_prefixed_env()
    KV(app)
    both = make_app(KV_URL="redis://elsewhere")

    assert app.extensions["kv"].registry.spec().location == "memory://from-url"
    assert both.extensions["kv"].registry.spec().location == "memory://"


def test_outside_an_application():
    """Where there is no current application the error says how to get one, and nothing else breaks."""
    for ask in (lambda: kv.store, lambda: kv["sessions"], lambda: current_kv.default):
        with pytest.raises(OutsideAppError, match=r"with app.app_context\(\)"):
            ask()
    assert not current_kv
    assert "unbound" in repr(current_kv)


def test_an_application_without_stores():
    """An application that nobody gave stores says so by name."""
    with Flask("bare").app_context(), pytest.raises(OutsideAppError, match="The application 'bare' has no stores"):
        kv.store  # noqa: B018


def test_a_store_opens_when_first_used():
    """A backend that is not there keeps no application from starting; the request that needs it fails by name."""
    app = make_app({"default": "redis://127.0.0.1:1/0"})
    app.testing = True

    with pytest.raises(StoreConnectionError):
        app.test_client().get("/a")


def test_stores_close_when_the_process_ends():
    """At the end of the process every application's stores are closed."""
    script = """
from flask import Flask
from kv_flask import KV
from kv_core.sync.stores.memory import MemoryStore
MemoryStore.close = lambda self: print("closed")
app = Flask("notes")
app.config["KV_URL"] = "memory://"
KV(app)
with app.app_context():
    app.extensions["kv"].default.get("a")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr
