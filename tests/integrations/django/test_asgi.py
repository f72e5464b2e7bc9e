"""A Django application under ASGI holds one connection a stack and side, however many requests it answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import redis
from django.core.asgi import get_asgi_application
from django.core.cache import caches
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, JsonResponse
from django.urls import path

import kv_django
from kv_core.redis_options import MAX_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Server

REQUESTS = 200


def sync_view(request: Any) -> HttpResponse:
    """Use a cache and the session from a thread."""
    request.session["seen"] = request.session.get("seen", 0) + 1
    caches["default"].get_or_set("count", 0)
    return JsonResponse({"count": caches["default"].incr("count"), "seen": request.session["seen"]})


async def async_view(request: Any) -> HttpResponse:
    """Use a cache, a stack and the session from the event loop."""
    seen = await request.session.aget("seen", 0) + 1
    await request.session.aset("seen", seen)
    await caches["default"].aget_or_set("count", 0)
    await kv_django.astores["default"].put("key", {"seen": seen})
    return JsonResponse({"count": await caches["default"].aincr("count"), "seen": seen})


@pytest.fixture
def server(settings: Any, own_redis: Server) -> Iterator[redis.Redis]:
    """A Redis that the application has for itself, and a client that counts its connections."""
    settings.KV_STORES = {"default": own_redis.url}
    settings.CACHES = {"default": {"BACKEND": "kv_django.cache.KeyValueCache", "LOCATION": own_redis.url}}
    settings.MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware"]
    settings.ALLOWED_HOSTS = ["*"]
    settings.ROOT_URLCONF = (path("sync", sync_view), path("async", async_view))
    with redis.Redis.from_url(own_redis.url) as client:
        yield client
    kv_django.close_stores()


def connections(client: redis.Redis) -> int:
    """Return how many connections the application has open."""
    return len(client.client_list()) - 1


def received(client: redis.Redis) -> int:
    """Return how many connections the server has ever had."""
    return client.info("stats")["total_connections_received"]


async def test_requests_in_turn_share_connections(server: redis.Redis) -> None:
    """200 requests: the cache and the sessions are two stacks; each has one connection a side, and none is reopened."""
    transport = httpx.ASGITransport(app=get_asgi_application())
    most, before = 0, received(server)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        for number in range(REQUESTS):
            answer = await client.get("/async" if number % 2 else "/sync")
            assert answer.json() == {"count": number + 1, "seen": number + 1}
            most = max(most, connections(server))

    assert most <= 4
    assert received(server) - before <= 4
    await kv_django.aclose_stores()
    assert connections(server) == 0


async def test_requests_at_once_share_a_bounded_pool(server: redis.Redis) -> None:
    """50 requests at a time neither lose a count nor leave more connections than a pool may hold."""
    transport = httpx.ASGITransport(app=get_asgi_application())
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        for _ in range(2):
            answers = await asyncio.gather(*[client.get("/async") for _ in range(50)])
            assert {answer.status_code for answer in answers} == {200}

    assert int(caches["default"].get("count")) == 100
    assert connections(server) <= 4 * MAX_CONNECTIONS
    await kv_django.aclose_stores()


def test_wsgi_requests_share_connections(server: redis.Redis) -> None:
    """The same without a loop."""
    transport = httpx.WSGITransport(app=WSGIHandler())
    with httpx.Client(transport=transport, base_url="http://app") as client:
        for number in range(REQUESTS // 4):
            assert client.get("/sync").json()["count"] == number + 1

    assert connections(server) == 2
