"""Visitors look, log in, fill their carts and read announcements."""

import asyncio

import pytest
from django.test import AsyncClient
from shop import views
from shop.models import Product

from kv_django import stores


@pytest.fixture
def supplier(monkeypatch):
    """A supplier who answers at once, and counts how often they are asked."""
    asked = []
    monkeypatch.setattr(views.time, "sleep", asked.append)
    return asked


def log_in(client, password="secret"):
    return client.post("/login", {"username": "anna", "password": password})


def test_products(client):
    page = client.get("/").content.decode()

    assert "Lamp, 24.90" in page
    assert "Log in" in page


def test_prices_are_cached(client, supplier):
    first, second = client.get("/prices"), client.get("/prices")

    assert len(supplier) == 1
    assert first.json() == second.json()
    assert first.json()["prices"] == {"Chair": "89.00", "Clock": "39.50", "Lamp": "24.90"}


def test_log_in_and_out(client):
    assert client.get("/account")["Location"] == "/login?next=/account"

    assert log_in(client)["Location"] == "/account"
    assert client.get("/account").json() == {"user": "anna", "cart": {}}

    client.post("/logout")
    assert client.get("/account").status_code == 302
    assert stores["sessions"].keys("sessions") == []


def test_a_wrong_password(client):
    assert b"Please enter a correct" in log_in(client, "guessed").content


def test_the_cart_stays_when_one_logs_in(client):
    """The session gets a new id at login, and keeps what is in it."""
    lamp = Product.objects.get(name="Lamp")
    for _ in range(2):
        client.post(f"/cart/{lamp.pk}")
    before = client.session.session_key

    log_in(client)

    assert client.session.session_key != before
    assert client.get("/account").json() == {"user": "anna", "cart": {"Lamp": 2}}


def test_announcement(client):
    assert client.get("/announcement").json() == {"text": "", "by": ""}
    assert client.post("/announcement", {"text": "Sale!"}).status_code == 403

    log_in(client)
    assert client.post("/announcement", {"text": " "}).status_code == 400
    client.post("/announcement", {"text": "Sale!"})

    assert stores["shared"].get("announcement") == {"text": "Sale!", "by": "shop"}
    assert client.get("/announcement").json() == {"text": "Sale!", "by": "shop"}


def test_announcement_under_asgi(client):
    stores["shared"].put("announcement", {"text": "Sale!", "by": "notes"})

    answer = asyncio.run(AsyncClient().get("/announcement"))

    assert answer.json() == {"text": "Sale!", "by": "notes"}


def test_visits(client):
    assert [client.post("/visits").json()["visits"] for _ in range(3)] == [1, 2, 3]


def test_stats(client, supplier):
    client.get("/prices")
    client.get("/prices")

    counts = client.get("/stats").json()["stores"]["default"]

    assert counts["hits"] >= 1
    assert counts["errors"] == 0
