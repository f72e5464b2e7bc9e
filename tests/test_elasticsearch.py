"""What the Elasticsearch store knows without a server: ids, fields, URLs, which client fits which side."""

import asyncio
import os
import random
import threading
from uuid import uuid4

import elasticsearch
import pytest

from kv_core import elasticsearch_documents as documents
from kv_core.aio.stores import elasticsearch as aio
from kv_core.elasticsearch_options import read_servers
from kv_core.errors import ConfigurationError
from kv_core.sync.stores import elasticsearch as sync


@pytest.mark.faults(1, 9, 10, 12)
def test_ids_are_short_and_never_shared():
    """Addresses that look like each other or like digests, or are too long, have short ids of their own."""
    rng = random.Random(7)
    joined = ["".join(rng.choice(":%~a") for _ in range(rng.choice([6, 520]))) for _ in range(200)]
    places = {(text[:at], text[at:]) for text in joined for at in range(1, len(text), 1 + len(text) // 40)}
    places |= {("c", "k" * length) for length in range(500, 530)} | {("é" * length, "k") for length in range(240, 260)}
    ids = {documents.name_of(*place) for place in places}

    assert len(ids) == len(places)
    assert max(len(name.encode()) for name in ids) <= 512
    again = {(name, "") for name in ids} | {("c", name) for name in ids}
    assert not ids & {documents.name_of(*place) for place in again}


@pytest.mark.faults(9, 12)
def test_terms_are_short_and_never_shared():
    """Every collection has a term of its own, of 512 bytes at most, one that looks like another's term included."""
    names = {"a", "a:", "a%3A", ":", "%", "é" * 300, "c" * 512, "c" * 513, "c" * 70_000}
    terms = {documents.term_of(name) for name in names}
    again = terms - names

    assert len(terms) == len(names)
    assert max(len(term.encode()) for term in terms) <= 512
    assert not terms & {documents.term_of(term) for term in again if term != "a%3A"}


def test_tokens_of_other_stores_are_none():
    """A revision of another store, or one that was made up, is no state."""
    state = documents.State(7, 1, None)

    assert documents.state_in(state.token) == state
    for token in ("none", b"7.1@", 7, "7.1", "7.1@\nx", "-7.1@", "7.x@"):
        assert documents.state_in(token) is None


def test_a_client_of_the_other_side_is_refused():
    """A client that does not fit the side is refused at construction."""
    with pytest.raises(ConfigurationError, match="AsyncElasticsearch on this side, not Elasticsearch"):
        aio.ElasticsearchStore(client=elasticsearch.Elasticsearch("http://localhost:9200"))
    with pytest.raises(ConfigurationError, match="Elasticsearch on this side, not AsyncElasticsearch"):
        sync.ElasticsearchStore(client=elasticsearch.AsyncElasticsearch("http://localhost:9200"))


@pytest.mark.faults(118)
@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("elasticsearch://h", [("h", 9200)]),
        ("elasticsearch://h:1,[::1],[::2]:3", [("h", 1), ("::1", 9200), ("::2", 3)]),
        ("elasticsearchs://a%3Ab:p%40%2C%23@H:1", [("h", 1)]),
        ("https://h:443/x?verify_certs=no", [("h", 443)]),
    ],
)
def test_urls_are_read(url, hosts):
    """Hosts, ports, logins, the path and options are read from a URL, and a login is never shown."""
    servers = read_servers(url)

    assert servers.hosts == tuple(hosts)
    assert servers.scheme == ("https" if url.startswith(("https", "elasticsearchs")) else "http")
    assert servers.login in {None, ("a:b", "p@,#")}
    assert servers.verify_certs is ("verify_certs" not in url)
    assert "p@" not in repr(servers)
    assert "s3cret" not in repr(read_servers("elasticsearch://h", api_key="s3cret"))


async def test_a_provider_does_not_stop_the_loop(elasticsearch_server):
    """A credential provider that blocks is asked in a thread, so that the loop goes on."""
    asked = threading.Event()

    class Provider:
        def get_credentials(self):
            assert asked.wait(3)  # until the loop says so
            return "user", "password"

    async with aio.ElasticsearchStore(url=elasticsearch_server.url, credential_provider=Provider()) as store:
        reading = asyncio.create_task(store.get("key"))
        await asyncio.sleep(0.01)
        asked.set()

        assert await reading is None


@pytest.mark.faults(125, 126)
async def test_cancelled_calls_leave_no_answer_behind(elasticsearch_server):
    """Calls cancelled at random moments leave no reply for the next caller; what was acknowledged is there."""
    rng = random.Random(125)
    keys = [f"key {number}" for number in range(20)]
    maybe: dict[str, set[int]] = {key: set() for key in keys}
    sure = dict.fromkeys(keys, 0)
    cancelled = 0
    async with aio.ElasticsearchStore(url=elasticsearch_server.url, index=f"kv-test-{uuid4().hex[:12]}") as store:
        await store.put_many(keys, [{"key": key, "turn": 0} for key in keys])
        for turn in range(1, 100_000 if os.environ.get("KV_TEST_FULL") else 500):
            key = rng.choice(keys)
            value = {"key": key, "turn": turn}
            calls = store.get(key), store.put(key, value), store.put_many([key], [value]), store.get_many(keys)
            chosen = rng.randrange(4)
            for number, unused in enumerate(calls):
                if number != chosen:
                    unused.close()
            task = asyncio.create_task(calls[chosen])
            await asyncio.sleep(rng.random() * 0.002)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                cancelled += 1
                maybe[key] |= {turn}  # it may arrive at any time later
            else:
                sure[key] = turn if chosen in {1, 2} else sure[key]

            for other in {key, rng.choice(keys)}:
                found = await store.get(other)
                assert found is not None
                assert found["key"] == other
                assert found["turn"] in maybe[other] | {sure[other]}
        await store.destroy()
    assert cancelled > 20
