"""FastAPI endpoints of every kind get their stores by dependency."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from kv_core.aio.protocols import AsyncKeyValue
from kv_core.aio.stores.memory import MemoryStore
from kv_core.errors import ConfigurationError
from kv_core.sync.protocols import KeyValue
from kv_starlette import add_error_handlers, get_store, get_sync_store, kv_lifespan, store, sync_store

Store = Annotated[AsyncKeyValue, Depends(get_store)]
Sessions = Annotated[AsyncKeyValue, Depends(store("sessions"))]
SyncStore = Annotated[KeyValue, Depends(get_sync_store)]
SyncSessions = Annotated[KeyValue, Depends(sync_store("sessions"))]
Missing = Annotated[AsyncKeyValue, Depends(store("mising"))]

router = APIRouter()


@router.get("/{key}")
async def read(key: str, kv: Store, sessions: Sessions) -> list[Any]:
    return [await kv.get(key), await sessions.get(key)]


@router.put("/{key}")
def write(key: str, value: dict[str, Any], kv: SyncStore, sessions: SyncSessions) -> None:
    kv.put(key, value)
    sessions.put(key, {"session": True})


@router.post("/{key}/later")
async def write_later(key: str, kv: Store, tasks: BackgroundTasks) -> None:
    tasks.add_task(kv.put, key, {"later": True})


@router.post("/{key}/later-in-a-thread")
def write_later_in_a_thread(key: str, kv: SyncStore, tasks: BackgroundTasks) -> None:
    tasks.add_task(kv.put, key, {"later": True})


@router.get("/x/missing")
async def missing(kv: Missing) -> None:
    await kv.get("a")


@router.websocket("/ws/{key}")
async def echo(websocket: WebSocket, key: str, kv: Store, threads: SyncStore) -> None:
    await websocket.accept()
    await kv.put(key, await websocket.receive_json())
    await websocket.send_json(threads.get(key))


def make_app(settings: Any) -> FastAPI:
    app = FastAPI(lifespan=kv_lifespan(settings))
    app.include_router(router)
    return app


@pytest.fixture(params=["memory", "disk", "redis"])
def client(request, tmp_path):
    """A client of an application with two stores."""
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").url
    else:
        url = {"memory": "memory://", "disk": f"disk://{tmp_path}/store"}[request.param]
    collections = {"default": "fastapi-default", "sessions": "fastapi-sessions"}
    settings = {alias: {"LOCATION": url, "COLLECTION": name} for alias, name in collections.items()}
    with TestClient(make_app(settings)) as client:
        yield client


def test_both_sides_see_the_same_data(client):
    """What a `def` endpoint puts, an async one gets, each alias by itself."""
    client.put("/a", json={"n": 1})

    assert client.get("/a").json() == [{"n": 1}, {"session": True}]


def test_background_tasks(client):
    """A task that runs after the response has the store still, on both sides."""
    client.post("/b/later")
    client.post("/c/later-in-a-thread")

    assert [client.get(f"/{key}").json()[0] for key in "bc"] == [{"later": True}] * 2


def test_websocket(client):
    """A WebSocket gets the same stores as a request."""
    with client.websocket_connect("/ws/d") as websocket:
        websocket.send_json({"n": 2})
        assert websocket.receive_json() == {"n": 2}

    assert client.get("/d").json()[0] == {"n": 2}


def test_mounted_fastapi(client):
    """A FastAPI application inside another uses the stores of the outer one."""
    inner = FastAPI()
    inner.include_router(router)
    client.app.mount("/inner", inner)

    client.put("/inner/e", json={"n": 3})

    assert client.get("/e").json()[0] == {"n": 3}


def test_overrides_reach_named_stores():
    """`store(alias)` is the same dependency each time, so an override reaches it."""
    app = make_app({"default": "memory://", "sessions": "memory://"})
    other = MemoryStore()
    app.dependency_overrides[store("sessions")] = lambda: other
    with TestClient(app) as client:
        client.put("/a", json={"n": 1})

        assert client.get("/a").json() == [{"n": 1}, None]
    assert store("default") is get_store
    assert sync_store("default") is get_sync_store


def test_an_alias_that_is_not_there():
    """A wrong alias names what was meant."""
    app = make_app({"default": "memory://", "missing": "memory://"})

    with TestClient(app) as client, pytest.raises(ConfigurationError, match="Did you mean 'missing'"):
        client.get("/x/missing")


def test_no_parameter_of_ours_in_the_schema():
    """Dependencies add nothing to the OpenAPI schema."""
    app = make_app({"default": "memory://"})

    operation = app.openapi()["paths"]["/{key}"]["get"]

    assert [parameter["name"] for parameter in operation["parameters"]] == ["key"]


def test_websocket_closes_with_try_again_later():
    """With the error handlers, a WebSocket whose store is away ends with code 1013."""
    app = make_app({"default": "redis://127.0.0.1:1/0"})
    add_error_handlers(app)
    with TestClient(app) as client, client.websocket_connect("/ws/a") as websocket:
        websocket.send_json({"n": 1})
        with pytest.raises(WebSocketDisconnect) as caught:
            websocket.receive_json()

    assert caught.value.code == 1013
