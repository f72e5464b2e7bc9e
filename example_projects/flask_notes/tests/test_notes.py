"""Notes are written, changed, listed, deleted, and end."""

import time

import notes
import pytest

STORES = {alias: {"LOCATION": "memory://", "WRAPPERS": ["statistics"]} for alias in ("default", "shared")}


@pytest.fixture
def app():
    return notes.create_app(STORES)


@pytest.fixture
def client(app):
    return app.test_client()


def write(client, text="Buy milk", **more):
    answer = client.post("/notes", json={"text": text, **more})
    assert answer.status_code == 201, answer.text
    return answer.json["id"]


def test_write_and_read(client):
    note_id = write(client)

    note = client.get(f"/notes/{note_id}").json

    assert (note["text"], note["seconds_left"]) == ("Buy milk", None)


def test_list_newest_first(client):
    ids = [write(client, text) for text in ("one", "two", "three")]

    assert [note["id"] for note in client.get("/notes").json] == ids[::-1]


def test_change_keeps_the_end(client):
    note_id = write(client, ttl=60)

    client.put(f"/notes/{note_id}", json={"text": "Buy bread"})

    note = client.get(f"/notes/{note_id}").json
    assert note["text"] == "Buy bread"
    assert 0 < note["seconds_left"] <= 60


def test_of_two_changes_at_once_one_is_told(app, client, monkeypatch):
    note_id = write(client)
    with app.app_context():
        store = notes.kv.store
        read = store.get_with_revision

        def read_slowly(key, *, collection):
            found = read(key, collection=collection)
            store.put(key, {"text": "theirs", "written": ""}, collection=collection)
            return found

        monkeypatch.setattr(store, "get_with_revision", read_slowly)

    answer = client.put(f"/notes/{note_id}", json={"text": "mine"})

    assert answer.status_code == 409
    assert client.get(f"/notes/{note_id}").json["text"] == "theirs"


def test_delete(client):
    note_id = write(client)

    assert client.delete(f"/notes/{note_id}").status_code == 204
    assert client.delete(f"/notes/{note_id}").status_code == 404
    assert client.put(f"/notes/{note_id}", json={"text": "x"}).status_code == 404
    assert client.get("/notes").json == []


def test_a_note_ends(client):
    note_id = write(client, ttl=0.2)

    time.sleep(0.25)

    assert client.get(f"/notes/{note_id}").status_code == 404


@pytest.mark.parametrize(
    "note", [{}, {"text": " "}, {"text": 1}, [], {"text": "x", "ttl": 0}, {"text": "x", "ttl": "1"}]
)
def test_what_makes_no_sense_is_refused(client, note):
    assert client.post("/notes", json=note).status_code == 400


def test_announcement_and_visits(client):
    client.put("/announcement", json={"text": "Sale!"})

    assert client.get("/announcement").json == {"text": "Sale!", "by": "notes"}
    assert [client.post("/visits").json["visits"] for _ in range(3)] == [1, 2, 3]


def test_stats(client):
    client.get(f"/notes/{write(client)}")
    client.get("/notes/nothing")

    counts = client.get("/stats").json["stores"]["default"]

    assert (counts["hits"], counts["misses"], counts["errors"]) == (1, 1, 0)


def test_a_store_that_is_away():
    stores = {"default": "redis://127.0.0.1:1/0"}

    answer = notes.create_app(stores).test_client().get("/notes")

    assert answer.status_code == 503
    assert "Try again" in answer.json["error"]
