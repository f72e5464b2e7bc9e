"""Stores open and close with a Starlette or FastAPI application."""

import asyncio
import logging
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from kv_core.errors import ConfigurationError, StoreClosedError, StoreConnectionError
from kv_core.registry import Registry
from kv_starlette import add_error_handlers, compose, get_store, install_kv, kv_lifespan, registry_of, sync_store

MEMORY = {"default": "memory://"}
SILENT = "redis://127.0.0.1:1/0"


async def read(request):
    store = await get_store(request)
    return JSONResponse(await store.get(request.path_params["key"]))


async def write(request):
    store = await get_store(request)
    await store.put(request.path_params["key"], await request.json())
    return PlainTextResponse("kept")


ROUTES = [Route("/{key}", read), Route("/{key}", write, methods=["PUT"])]


@pytest.fixture(params=["memory", "disk", "redis"])
def location(request, tmp_path):
    """Where the default store is."""
    if request.param == "redis":
        return request.getfixturevalue("redis_server").url
    return {"memory": "memory://", "disk": f"disk://{tmp_path}/store"}[request.param]


def test_requests_share_a_store(location):
    """What one request puts, another gets."""
    settings = {"default": {"LOCATION": location, "COLLECTION": "starlette-shared"}}
    with TestClient(Starlette(routes=ROUTES, lifespan=kv_lifespan(settings))) as client:
        client.put("/a", json={"n": 1})

        assert client.get("/a").json() == {"n": 1}


def test_wrong_settings_are_found_at_once():
    """The application cannot even be constructed with settings that are wrong."""
    with pytest.raises(ConfigurationError, match="Did you mean 'redis"):
        kv_lifespan({"default": "rediss0://x"})


def test_without_lifespan_the_error_helps():
    """An application without stores says so, and how to give it some."""
    client = TestClient(Starlette(routes=ROUTES))

    with pytest.raises(ConfigurationError, match=r"lifespan=kv_lifespan\(settings\)"):
        client.get("/a")


async def test_the_error_helps_where_a_client_runs_no_lifespan():
    """The ASGITransport of httpx runs no lifespan; the error names it."""
    app = Starlette(routes=ROUTES, lifespan=kv_lifespan(MEMORY))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        with pytest.raises(ConfigurationError, match="ASGITransport"):
            await client.get("/a")


def test_a_store_opens_when_first_used():
    """A backend that is not there does not keep the application from starting."""
    app = Starlette(routes=ROUTES, lifespan=kv_lifespan({"default": SILENT}))

    with TestClient(app) as client, pytest.raises(StoreConnectionError):
        client.get("/a")


def test_eager_store_has_to_answer():
    """With EAGER the application does not start without the backend, and the error names the store."""
    settings = {**MEMORY, "sessions": {"LOCATION": SILENT, "EAGER": "ping"}}

    with pytest.raises(StoreConnectionError) as caught, TestClient(Starlette(lifespan=kv_lifespan(settings))):
        pass

    assert "'sessions' has EAGER" in caught.value.__notes__[0]


def test_eager_store_that_answers(redis_server):
    """With EAGER the application starts when the backend is there."""
    settings = {"default": {"LOCATION": redis_server.url, "EAGER": "ping", "COLLECTION": "starlette-eager"}}
    with TestClient(Starlette(routes=ROUTES, lifespan=kv_lifespan(settings))) as client:
        assert client.get("/a").json() is None


def test_after_shutdown_stores_are_closed():
    """What an endpoint kept beyond the application's end is closed, on both sides."""
    kept = []

    async def keep(request):
        kept.extend([await get_store(request), await sync_store("default")(request), registry_of(request)])
        return PlainTextResponse("kept")

    with TestClient(Starlette(routes=[Route("/", keep)], lifespan=kv_lifespan(MEMORY))) as client:
        client.get("/")

    store, sync, registry = kept
    with pytest.raises(StoreClosedError):
        asyncio.run(store.get("a"))
    with pytest.raises(StoreClosedError):
        sync.get("a")
    with pytest.raises(StoreClosedError):
        registry.astore()


def test_stores_close_in_reverse_once(monkeypatch):
    """The store that was opened last closes first, and each only once."""
    closed = []

    async def use(request):
        for alias in ("a", "b", "c"):
            store = registry_of(request).astore(alias)

            async def close(alias=alias):
                closed.append(alias)

            monkeypatch.setattr(store, "close", close)
        return PlainTextResponse("used")

    settings = dict.fromkeys(("a", "b", "c"), "memory://")
    with TestClient(Starlette(routes=[Route("/", use)], lifespan=kv_lifespan(settings))) as client:
        client.get("/")

    assert closed == ["c", "b", "a"]


def test_a_store_that_hangs_does_not_hold_up_the_end(monkeypatch, caplog):
    """A store that does not close in time is left and logged; the others are closed."""
    closed = []

    async def use(request):
        async def hang():
            await asyncio.sleep(60)

        async def close():
            closed.append("a")

        monkeypatch.setattr(registry_of(request).astore("a"), "close", close)
        monkeypatch.setattr(registry_of(request).astore("b"), "close", hang)
        return PlainTextResponse("used")

    lifespan = kv_lifespan({"a": "memory://", "b": "memory://"}, close_timeout=0.05)
    with caplog.at_level(logging.WARNING), TestClient(Starlette(routes=[Route("/", use)], lifespan=lifespan)) as client:
        client.get("/")

    assert closed == ["a"]
    assert "'b' did not close within 0.05 s" in caplog.text


async def test_a_registry_that_was_passed_in_stays_open():
    """Whoever made the registry closes it."""
    registry = Registry(MEMORY)
    with TestClient(Starlette(routes=ROUTES, lifespan=kv_lifespan(registry))) as client:
        client.put("/a", json={"n": 1})

    assert await registry.astore().get("a") == {"n": 1}
    await registry.aclose()


def test_an_application_starts_again():
    """A second start has stores of its own."""
    app = Starlette(routes=ROUTES, lifespan=kv_lifespan(MEMORY))
    with TestClient(app) as client:
        client.put("/a", json={"n": 1})
    with TestClient(app) as client:
        assert client.get("/a").json() is None


def test_two_applications_are_separate():
    """Two applications in a process share nothing, even with one settings object."""
    first, second = (Starlette(routes=ROUTES, lifespan=kv_lifespan(MEMORY)) for _ in range(2))
    with TestClient(first) as one, TestClient(second) as other:
        one.put("/a", json={"n": 1})

        assert other.get("/a").json() is None
        assert one.get("/a").json() == {"n": 1}


def test_mounted_application_uses_its_parents_stores():
    """A mounted application runs no lifespan, and meets the stores of the one it is mounted in."""
    app = Starlette(routes=[Mount("/inner", Starlette(routes=ROUTES)), *ROUTES], lifespan=kv_lifespan(MEMORY))
    with TestClient(app) as client:
        client.put("/inner/a", json={"n": 1})

        assert client.get("/a").json() == {"n": 1}


def lifespan_with(**state):
    """Return a lifespan that notes when it is left."""
    left = []

    @asynccontextmanager
    async def lifespan(app):
        yield state or None
        left.append(app)

    lifespan.left = left
    return lifespan


def test_compose_joins_states():
    """Both lifespans run and both states are there."""

    async def both(request):
        await (await get_store(request)).put("a", {"n": 1})
        return PlainTextResponse(request.state.name)

    mine, bare = lifespan_with(name="mine"), lifespan_with()
    app = Starlette(routes=[Route("/", both)], lifespan=compose(kv_lifespan(MEMORY), mine, bare))
    with TestClient(app) as client:
        assert client.get("/").text == "mine"

    assert mine.left == bare.left == [app]


def test_compose_refuses_a_state_key_given_twice():
    """A key of the state that two lifespans give fails the start."""
    app = Starlette(lifespan=compose(kv_lifespan(MEMORY), lifespan_with(kv="other")))

    with pytest.raises(ConfigurationError, match="the state key 'kv'"), TestClient(app):
        pass


def test_install_kv_keeps_the_applications_own_lifespan():
    """An application that somebody else made gets stores beside what it has."""
    mine = lifespan_with(name="mine")
    app = Starlette(routes=ROUTES, lifespan=mine)

    install_kv(app, MEMORY)

    with TestClient(app) as client:
        client.put("/a", json={"n": 1})
        assert client.get("/a").json() == {"n": 1}
    assert mine.left == [app]


def test_error_handlers_answer_503():
    """A store that cannot be reached is a 503 that says when to try again, and nothing about the store."""
    app = Starlette(routes=ROUTES, lifespan=kv_lifespan({"default": SILENT}))
    add_error_handlers(app)

    with TestClient(app) as client:
        answer = client.get("/a")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert "127.0.0.1" not in answer.text


def test_settings_without_stores_are_refused_at_once():
    """A mapping that describes nothing fails before the application starts, not at its first request."""
    with pytest.raises(ConfigurationError, match="describe no stores: set KV_STORES"):
        kv_lifespan({})
