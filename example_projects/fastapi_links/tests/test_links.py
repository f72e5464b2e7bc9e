"""Links are made, followed, counted and forgotten."""

import time
from typing import Any

import links
import pytest
from fastapi.testclient import TestClient

from kv_core.aio.stores.memory import MemoryStore
from kv_starlette import kv_lifespan, store

STORES = {alias: {"LOCATION": "memory://", "WRAPPERS": ["statistics"]} for alias in ("default", "shared")}
URL = "https://example.org/a/long/way"


@pytest.fixture
def client():
    links.app.router.lifespan_context = kv_lifespan(STORES)
    with TestClient(links.app, follow_redirects=False) as client:
        yield client


def make(client: TestClient, **link: Any) -> str:
    answer = client.post("/links", json={"url": URL, **link})
    assert answer.status_code == 201, answer.text
    return answer.json()["slug"]


def test_follow_counts(client):
    slug = make(client)

    answers = [client.get(f"/go/{slug}") for _ in range(3)]

    assert {answer.headers["location"] for answer in answers} == {URL}
    assert client.get(f"/links/{slug}").json() == {"slug": slug, "url": URL, "hits": 3, "seconds_left": None}


def test_a_link_ends(client):
    slug = make(client, ttl=1.5)
    client.get(f"/go/{slug}")
    assert 0 < client.get(f"/links/{slug}").json()["seconds_left"] <= 1.5

    time.sleep(1.55)

    assert client.get(f"/go/{slug}").status_code == 404


def test_delete(client):
    slug = make(client)

    assert client.delete(f"/links/{slug}").status_code == 204
    assert client.delete(f"/links/{slug}").status_code == 404
    assert client.get(f"/links/{slug}").status_code == 404


@pytest.mark.parametrize("link", [{"url": "nonsense"}, {"url": URL, "ttl": 0}, {"url": URL, "ttl": -1}])
def test_what_makes_no_sense_is_refused(client, link):
    assert client.post("/links", json=link).status_code == 422


def test_announcement(client):
    assert client.get("/announcement").json() == {"text": "", "by": ""}

    client.put("/announcement", json={"text": "Sale!"})

    assert client.get("/announcement").json() == {"text": "Sale!", "by": "links"}


def test_visits(client):
    assert [client.post("/visits").json()["visits"] for _ in range(3)] == [1, 2, 3]


def test_stats(client):
    slug = make(client)
    client.get(f"/go/{slug}")
    client.get("/go/nowhere")

    counts = client.get("/stats").json()["stores"]["default"]

    assert (counts["hits"], counts["misses"], counts["errors"]) == (1, 1, 0)


def test_a_test_may_bring_its_own_store(client):
    """Dependencies of stores can be overridden like any other."""
    mine = MemoryStore()
    links.app.dependency_overrides[store("shared")] = lambda: mine
    try:
        client.put("/announcement", json={"text": "Hidden"})
    finally:
        links.app.dependency_overrides.clear()

    assert client.get("/announcement").json()["text"] == ""
