# Written by tools/mirror.py from tests/aio/stores/test_elasticsearch.py: change that file instead.
"""ElasticsearchStore passes the contract, and what is special about it: its index, its requests, damaged entries."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from elasticsearch import Elasticsearch as Raw
from gateway import Gateway, error

from kv_core import elasticsearch_documents as documents
from kv_core.capabilities import ALL, capabilities
from kv_core.errors import (
    BaseKeyValueError,
    CorruptEntryError,
    EntryTooLargeError,
    PartialFailureError,
    StoreClosedError,
    StoreConnectionError,
    StoreFullError,
    StoreProtocolError,
    StoreSetupError,
    UnsupportedEntryVersionError,
)
from kv_core.sync._drivers import elasticsearch as driver
from kv_core.sync._runtime import gather
from kv_core.sync.stores import _elasticsearch_index
from kv_core.sync.stores.elasticsearch import ElasticsearchStore
from kv_core.sync.testing import StoreContract, ToldClock
from kv_core.sync.testing._common import call

INDEX = f"kv-test-{uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def raw_client(elasticsearch_server):
    with Raw(elasticsearch_server.url) as client:
        yield client


@pytest.fixture
def raw(raw_client):
    """A plain client for the server, on which the index of these tests is missing when a test begins."""
    yield raw_client
    raw_client.indices.delete(index=INDEX, ignore_unavailable=True)


@pytest.fixture
def url(elasticsearch_server, raw):
    return elasticsearch_server.url.replace("http://", "elasticsearch://")


@pytest.fixture
def clock():
    return ToldClock()


@pytest.fixture
def store(url):
    with ElasticsearchStore(url=url, index=INDEX) as store:
        yield store


@pytest.fixture
def gateway(elasticsearch_server, raw):
    gateway = Gateway(elasticsearch_server.host, elasticsearch_server.port)
    yield gateway
    gateway.stop()


@pytest.fixture
def counted(gateway):
    """A store whose requests the gateway counts, with its index made."""
    with ElasticsearchStore(url=f"elasticsearch://127.0.0.1:{gateway.port}", index=INDEX) as store:
        store.put("first", {})
        gateway.counts()
        yield store


class TestElasticsearchStore(StoreContract):
    """The contract, on a running server."""

    @pytest.fixture
    def make(self, url, clock):
        return lambda: ElasticsearchStore(url=url, index=INDEX, _clock=clock)

    @pytest.fixture
    def advance(self, clock):
        return clock.advance


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # of aiohttp, by a client that is not ours
class TestElasticsearchStoreWithClient(StoreContract):
    """The contract, on a client that was passed in."""

    @pytest.fixture
    def client(self, elasticsearch_server, raw):
        client = driver.Elasticsearch(elasticsearch_server.url)
        yield client
        assert client.ping()
        client.close()

    @pytest.fixture
    def make(self, client, clock):
        return lambda: ElasticsearchStore(client=client, index=INDEX, _clock=clock)

    @pytest.fixture
    def advance(self, clock):
        return clock.advance


# The index ------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(102)
def test_reads_make_no_index(store, raw):
    """Before the first write every read is a miss, every list is empty, and no read makes the index."""
    for operation in sorted(capabilities(store) - {"put", "put_many", "put_if_absent", "increment"}):
        assert not (call(store, operation)) or operation in {"ttl", "get_many", "ttl_many", "ping"}, operation
    for number in range(20):
        assert store.get("key", collection=f"never {number}") is None
    assert store.get_many(["a", "b"]) == [None, None]
    assert store.ttl_many(["a"]) == [(None, None)]
    assert store.delete_many(["a", "b"]) == 0

    assert not raw.indices.exists(index=INDEX)


@pytest.mark.faults(114)
def test_workers_make_the_index_at_once(url, raw):
    """Twenty stores that write at once all start, and each finds what the others wrote."""
    stores = [ElasticsearchStore(url=url, index=INDEX) for _ in range(20)]
    gather(*[store.put(f"key {number}", {"n": number}) for number, store in enumerate(stores)])

    keys = [f"key {number}" for number in range(20)]
    for store in stores:
        assert store.get_many(keys) == [{"n": number} for number in range(20)]
        store.close()
    assert raw.indices.get_mapping(index=INDEX)[INDEX]["mappings"]["properties"].keys() == documents.FIELDS.keys()


@pytest.mark.faults(114)
def test_another_worker_is_first(gateway):
    """The index is made by another worker between the look and the attempt."""
    missing = [error(404, "index_not_found_exception")]
    gateway.answer = lambda method, path, body: missing.pop() if path.endswith("_mapping") and missing else None
    for number in range(2):
        with ElasticsearchStore(url=f"elasticsearch://127.0.0.1:{gateway.port}", index=INDEX) as store:
            store.put("key", {"n": number})
            assert store.get("key") == {"n": number}
        missing.append(error(404, "index_not_found_exception"))


def test_an_index_that_was_deleted_is_made_again(counted, gateway, raw):
    """On a server that makes no index by itself, a write after the index was deleted makes it anew."""
    raw.indices.delete(index=INDEX)
    body = {"error": error(404, "index_not_found_exception")[1]["error"], "status": 404}
    refused = [(200, {"errors": True, "items": [{"index": body}]})]
    gateway.answer = lambda method, path, body: refused.pop() if path.endswith("_bulk") and refused else None

    assert counted.get("first") is None
    counted.put("key", {"n": 1})

    assert counted.keys() == ["key"]
    assert raw.indices.get_mapping(index=INDEX)[INDEX]["mappings"]["dynamic"] == "false"


@pytest.mark.faults(104)
def test_an_index_of_others_is_refused(store, raw):
    """What was not made for entries is neither written to nor emptied, and the error says which index it is."""
    raw.index(index=INDEX, id="theirs", document={"name": "theirs", "collection": "default_collection"}, refresh=True)

    assert store.get("theirs") is None
    for operation in ("put", "put_many", "put_if_absent", "increment", "keys", "collections", "destroy", "cull"):
        with pytest.raises(StoreSetupError, match=INDEX):
            call(store, operation)
    assert raw.get(index=INDEX, id="theirs")["found"]


@pytest.mark.faults(104)
def test_only_this_index_is_destroyed(store, raw, url):
    """A store of another index keeps its entries, whatever either of them is called."""
    with ElasticsearchStore(url=url, index=f"{INDEX}-2") as other:
        for one in (store, other):
            one.put("key", {"n": 1})
            one.put("key", {"n": 1}, collection=f"{INDEX}-2")
        assert store.destroy_collection(f"{INDEX}-2") is True
        assert store.destroy_collection("*") is False
        assert store.destroy() is True

        assert other.get("key") == {"n": 1}
        assert sorted(other.collections()) == ["default_collection", f"{INDEX}-2"]
        raw.indices.delete(index=f"{INDEX}-2")


@pytest.mark.faults(13, 26)
@pytest.mark.parametrize(
    "collection",
    [
        "system.users",
        "$cmd",
        "-x",
        "_all",
        "+x",
        "a,b",
        "<logs-{now/d}>",
        "*",
        "..",
        ".security",
        "Users",
        "a::b",
        "é" * 600,
    ],
)
def test_a_collection_never_names_an_index(store, raw, collection):
    """Names that mean something to Elasticsearch are collections like any other, each of its own, in one index."""
    before = set(raw.indices.get_alias(index="*"))
    others = [collection.lower(), collection.upper(), f"{collection}2", "a", "b"]
    store.put("key", {"of": collection}, collection=collection)
    for other in set(others) - {collection}:
        store.put("key", {"of": other}, collection=other)

    assert store.get("key", collection=collection) == {"of": collection}
    assert store.keys(collection) == ["key"]
    assert collection in store.collections()
    assert store.destroy_collection(collection) is True
    assert set(store.collections()) == set(others) - {collection}
    assert set(raw.indices.get_alias(index="*")) - before == {INDEX}


# Requests -------------------------------------------------------------------------------------------------------------


def test_a_thousand_in_one_request(counted, gateway):
    """Operations take as few requests as the documentation says; a bulk of a thousand is one."""
    keys = [f"key {number}" for number in range(1000)]
    values = [{"n": number} for number in range(1000)]

    def cost(operation, *arguments, **options):
        getattr(counted, operation)(*arguments, **options)
        return gateway.counts()

    assert cost("put_many", keys, values, ttl=60) == {"_bulk": 1}
    assert cost("get_many", keys) == {"_mget": 1}
    assert cost("ttl_many", keys) == {"_mget": 1}
    assert cost("delete_many", keys[500:]) == {"_mget": 1, "_bulk": 1}
    assert cost("put", "key", {}) == {"_bulk": 1}
    assert cost("get", "key") == {"_mget": 1}
    assert cost("ttl", "key") == {"_mget": 1}
    assert cost("delete", "key") == {"_mget": 1, "_bulk": 1}
    assert cost("delete", "key") == {"_mget": 1}
    assert cost("put_if_absent", "key", {"value": 1}) == {"_bulk": 1}
    assert cost("put_if_absent", "key", {}) == {"_bulk": 1, "_mget": 1}
    assert cost("put_if_present", "key", {"value": 1}) == {"_mget": 1, "_bulk": 1}
    assert cost("touch", "key", ttl=60) == {"_mget": 1, "_bulk": 1}
    assert cost("increment", "key") == {"_mget": 1, "_bulk": 1}
    assert cost("keys") == {"_mapping": 1, "_refresh": 1, "_search": 1}
    assert cost("ping") == {"_mapping": 1}
    assert cost("get_many", []) == {}
    assert cost("put_many", [], []) == {}


def test_enumeration_has_no_cap(store, monkeypatch):
    """More keys and more collections than a page are all listed, each once, and destroyed."""
    monkeypatch.setattr(_elasticsearch_index, "CHUNK", 700)
    keys = [f"key {number}" for number in range(2500)]
    store.put_many(keys, [{}] * 2500, collection="many")
    operations = [
        documents.operation("index", name, "k", documents.document(name, "k", store._dump(name, "k", {}, None)))
        for name in (f"collection {number}" for number in range(1200))
    ]
    store._index.bulk(operations)

    assert sorted(store.keys("many")) == sorted(keys)
    assert len([key for key in store.iter_keys("many")]) == 2500
    assert len(store.keys("many", limit=1700)) == 1700
    assert len(store.collections()) == len(set(store.collections())) == 1201
    assert store.destroy() is True
    assert store.collections() == []
    assert store.get_many(keys[::100], collection="many") == [None] * 25


@pytest.mark.faults(115)
def test_reads_see_what_was_written(store, raw):
    """Every read by key sees at once what was written or deleted, though no search would."""
    store.put("one", {"n": 1})
    store.put_many(["two", "three"], [{"n": 2}, {"n": 3}])
    assert store.get_many(["one", "two", "three"]) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert raw.search(index=INDEX, query={"match_all": {}})["hits"]["total"]["value"] == 0

    assert sorted(store.keys()) == ["one", "three", "two"]
    assert store.delete_many(["one", "two"]) == 2
    assert store.get_many(["one", "two", "three"]) == [None, None, {"n": 3}]
    assert store.delete("three") is True
    assert store.get("three") is None
    assert raw.search(index=INDEX, query={"match_all": {}})["hits"]["total"]["value"] == 3


@pytest.mark.faults(42, 43)
@pytest.mark.parametrize("kind", ["text of 40,000 bytes", "25 deep", "text of 4 MiB"])
def test_what_elasticsearch_would_not_index(store, kind):
    """A long text and a deep object come back, written alone and among others."""
    value = {"text": "é" * 20_000}
    if kind == "25 deep":
        for _ in range(25):
            value = {"d": value}
    elif kind == "text of 4 MiB":
        value = {"text": "x" * 2**22}
    store.put("alone", value)
    store.put_many(["among", "others"], [value, {}])

    assert store.get("alone") == store.get("among") == value
    assert store.get_many(["alone", "others", "among"]) == [value, {}, value]


@pytest.mark.faults(42)
def test_the_largest_entry(store, monkeypatch):
    """An entry larger than a request may be is refused before it is sent, and the old value stays."""
    monkeypatch.setattr(documents, "LARGEST", 1000)
    store.put("key", {"old": True})

    for write in (store.put, store.put_if_present):
        with pytest.raises(EntryTooLargeError, match="1,000"):
            write("key", {"text": "x" * 1000})
    with pytest.raises(EntryTooLargeError):
        store.put_many(["other", "key"], [{}, {"text": "x" * 1000}])
    assert store.get_many(["key", "other"]) == [{"old": True}, None]


def test_a_large_bulk_is_cut(counted, gateway, monkeypatch):
    """A bulk of more than a request may have goes out in several, each as full as it may be."""
    monkeypatch.setattr(documents, "_BATCH", 10_000)
    keys = [f"key {number}" for number in range(10)]
    counted.put_many(keys, [{"text": "x" * 2000}] * 10)

    assert gateway.counts() == {"_bulk": 4}
    assert counted.get_many(keys) == [{"text": "x" * 2000}] * 10


# Failures -------------------------------------------------------------------------------------------------------------


def failing(kinds):
    """Return what answers a bulk request with an error for some of its items: a status and a type by key."""

    def answer(method, path, body):
        if not path.endswith("_bulk"):
            return None
        items = []
        for line in body.splitlines():
            action = json.loads(line)
            if len(action) != 1:
                continue
            [(name, about)] = action.items()
            item = {"_id": about["_id"], "status": 200, "result": "deleted" if name == "delete" else "updated"}
            kind = kinds.get(about["_id"].rpartition("::")[2])
            items.append({name: item if kind is None else {"_id": about["_id"], "status": kind[0], **error(*kind)[1]}})
        return 200, {"took": 1, "errors": True, "items": items}

    return answer


@pytest.mark.faults(87)
def test_some_of_a_bulk_fail(counted, gateway):
    """A bulk in which some items fail names them, says which may have been applied, and which were."""
    keys = ["fine", "busy", "broken", "closed", "good"]
    counted.put_many(keys, [{}] * 5)
    gateway.answer = failing(
        {
            "busy": (429, "es_rejected_execution_exception"),
            "broken": (500, "exception"),
            "closed": (400, "index_closed_exception"),
        }
    )
    for operation, arguments in (("put_many", (keys, [{}] * 5)), ("delete_many", (keys,))):
        with pytest.raises(PartialFailureError) as caught:
            getattr(counted, operation)(*arguments)

        failure = caught.value
        assert {key: type(one) for key, one in failure.failed.items()} == {
            "busy": StoreConnectionError,
            "closed": StoreSetupError,
        }
        assert {key: type(one) for key, one in failure.unknown.items()} == {"broken": StoreProtocolError}
        assert failure.succeeded == ("fine", "good")
        assert (failure.outcome, failure.retryable, failure.collection) == ("unknown", False, "default_collection")
        assert (failure.failed["busy"].key, failure.failed["busy"].retryable) == ("busy", True)
        assert "canary" not in f"{failure} {failure.failed} {failure.unknown}"


@pytest.mark.faults(87, 108)
def test_all_of_a_bulk_fail(counted, gateway):
    """When every item fails for one reason, that is the error, as it is for a single write."""
    gateway.answer = failing(dict.fromkeys("abc", (429, "cluster_block_exception")))
    for operation, arguments in (("put_many", (["a", "b", "c"], [{}] * 3)), ("put", ("a", {}))):
        with pytest.raises(StoreFullError) as caught:
            getattr(counted, operation)(*arguments)
        assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)


@pytest.mark.faults(87)
def test_a_request_of_several_fails(counted, gateway, monkeypatch):
    """When one request of a large bulk is refused, its keys are named, and the others are done."""
    monkeypatch.setattr(documents, "_BATCH", 10_000)
    keys = [f"key {number}" for number in range(10)]
    sent = []

    def answer(method, path, body):
        sent.append(body)
        return error(429, "es_rejected_execution_exception") if len(sent) == 2 else None

    gateway.answer = answer
    with pytest.raises(PartialFailureError) as caught:
        counted.put_many(keys, [{"text": "x" * 2000}] * 10)

    assert list(caught.value.failed) == keys[3:6]
    assert caught.value.succeeded == (*keys[:3], *keys[6:])
    gateway.answer = lambda *_: None
    found = counted.get_many(keys)
    assert [value is None for value in found] == [key in caught.value.failed for key in keys]


REFUSALS = {
    "no login": (401, "security_exception", "StoreAuthenticationError", "not_applied", False),
    "not allowed": (403, "security_exception", "StoreAuthenticationError", "not_applied", False),
    "flood stage": (429, "cluster_block_exception", "StoreFullError", "not_applied", False),
    "read only": (403, "cluster_block_exception", "StoreFullError", "not_applied", False),
    "no master": (503, "cluster_block_exception", "StoreConnectionError", "not_applied", True),
    "no shard": (503, "unavailable_shards_exception", "StoreConnectionError", "not_applied", True),
    "busy": (429, "es_rejected_execution_exception", "StoreConnectionError", "not_applied", True),
    "too large": (413, "?", "EntryTooLargeError", "not_applied", False),
    "closed": (400, "index_closed_exception", "StoreSetupError", "not_applied", False),
    "malformed": (400, "illegal_argument_exception", "StoreProtocolError", "not_applied", False),
    "gateway": (502, "?", "StoreConnectionError", "unknown", True),
    "unavailable": (503, "?", "StoreConnectionError", "unknown", True),
    "broken": (500, "null_pointer_exception", "StoreProtocolError", "unknown", False),
}


@pytest.mark.faults(77, 144)
@pytest.mark.parametrize(("status", "kind", "name", "outcome", "retryable"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_have_names(counted, gateway, status, kind, name, outcome, retryable):
    """What the server refuses gets the name that says what to do; it is sent once, and never taken for a miss."""
    gateway.answer = lambda *_: error(status, kind)
    for operation in sorted(ALL):
        gateway.counts()
        if operation in {"put_if_unchanged", "delete_if_unchanged"}:
            continue  # nobody has such a revision, so nothing is sent
        with pytest.raises(BaseKeyValueError) as caught:
            call(counted, operation)

        assert type(caught.value).__name__ == name, operation
        assert (caught.value.outcome, caught.value.retryable) == (outcome, retryable), operation
        assert "canary" not in f"{caught.value} {caught.value!r}"
        assert sum(gateway.counts().values()) == 1, operation


@pytest.mark.faults(145)
@pytest.mark.parametrize(
    "answer",
    [
        *((200, b"garbage"), (200, {}), (200, []), (200, {"docs": [], "items": []}), (404, b"<html>"), (204, b"")),
        (200, {"docs": [{"_id": "default_collection::other", "found": False}]}),
    ],
    ids=["garbage", "{}", "[]", "too few", "another 404", "empty", "another key"],
)
def test_strange_answers_are_no_misses(counted, gateway, answer):
    """An answer that is not Elasticsearch's is a named error, and never a miss."""
    gateway.answer = lambda *_: answer
    for operation in ("get", "get_many", "put", "delete", "increment", "touch", "keys", "collections", "destroy"):
        with pytest.raises(StoreProtocolError):
            call(counted, operation)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("no_shard_available_action_exception", StoreConnectionError), ("index_closed_exception", StoreSetupError)],
)
def test_a_missing_shard_is_no_miss(counted, gateway, kind, name):
    """A document that could not be looked for is an error for every read of it, alone and among others."""

    def answer(method, path, body):
        if not path.partition("?")[0].endswith("_mget"):
            return None
        first, *others = json.loads(body)["ids"]
        missing = [{"_id": name, "found": False} for name in others]
        return 200, {"docs": [{"_id": first, "error": error(503, kind)[1]["error"]}, *missing]}

    gateway.answer = answer
    for operation in ("get", "get_many", "ttl", "ttl_many", "delete", "delete_many", "put_if_present", "touch"):
        with pytest.raises(name):
            call(counted, operation)
    with pytest.raises(name):
        counted.get_many(["key", "first"])


@pytest.mark.faults(115)
def test_a_missing_shard_is_no_empty_list(counted, gateway):
    """Every shard has to answer a search, and to be refreshed before; else enumeration is an error."""
    gateway.counts()
    counted.keys()
    assert ["allow_partial_search_results=false" in path for _, path, _ in gateway.seen if "_search" in path] == [True]

    failed = {"_shards": {"total": 2, "successful": 1, "failed": 1}}
    gateway.answer = lambda method, path, body: (200, failed) if path.endswith("_refresh") else None
    for operation in ("keys", "iter_keys", "collections", "destroy", "destroy_collection", "cull"):
        with pytest.raises(StoreConnectionError):
            call(counted, operation)

    failures = {"deleted": 1, "version_conflicts": 0, "failures": [{"status": 503}]}
    gateway.answer = lambda method, path, body: (200, failures) if "_delete_by_query" in path else None
    for operation in ("destroy", "destroy_collection", "cull"):
        with pytest.raises(StoreConnectionError) as caught:
            call(counted, operation)
        assert caught.value.outcome == "unknown"


# Entries --------------------------------------------------------------------------------------------------------------


def plant(raw, name="c::k", **changes):
    """Put a document where an entry belongs, with changes; None leaves a field out."""
    entry = {"collection": "c", "created_at": "2025-01-01T00:00:00Z", "key": "k", "value": {"value": 1}, "version": 1}
    document = documents.document("c", "k", json.dumps(entry).encode()) | changes
    document = {field: value for field, value in document.items() if value is not None}
    raw.index(index=INDEX, id=name, document=document)


def encoded(data):
    return {"entry": b64encode(data).decode()}


DAMAGED = {
    "nothing": {"entry": None},
    "not base64": {"entry": "hello, world"},
    "not ASCII": {"entry": "é"},
    "a list": {"entry": [1]},
    "a number": {"entry": 7},
    "empty": encoded(b""),
    "garbage": encoded(b"garbage"),
    "[]": encoded(b"[]"),
    "no value": encoded(b'{"collection":"c","created_at":"2025-01-01T00:00:00Z","key":"k","version":1}'),
    "of another key": encoded(b'{"collection":"c","key":"other","value":{},"version":1}'),
    "pickle": encoded(b"\x80\x04}\x94."),
}


@pytest.mark.faults(27, 106)
@pytest.mark.parametrize("changes", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_an_error_and_no_miss(store, raw, changes):
    """What is not an entry of this address is a CorruptEntryError that names it, for single and bulk reads alike."""
    store.put("fine", {"n": 1}, collection="c")
    plant(raw, **changes)

    seen = set()
    for operation, keys in (
        *(("get", "k"), ("ttl", "k"), ("get_with_revision", "k"), ("increment", "k"), ("touch", "k")),
        *(("get_many", ["k"]), ("get_many", ["fine", "k", "none"]), ("ttl_many", ["none", "k"])),
    ):
        options = {"ttl": 60} if operation == "touch" else {}
        with pytest.raises(CorruptEntryError) as caught:
            getattr(store, operation)(keys, collection="c", **options)
        assert (caught.value.key, caught.value.collection) == ("k", "c"), operation
        seen.add(str(caught.value))
    assert len(seen) == 1, seen
    assert store.put_if_absent("k", {}, collection="c") is False
    store.put("k", {"healed": True}, collection="c")
    assert store.get("k", collection="c") == {"healed": True}


@pytest.mark.faults(149)
def test_a_later_layout_is_an_error_of_its_own(store, raw):
    """An entry of a later version says that this library is too old."""
    store.put("fine", {"n": 1}, collection="c")
    plant(raw, **encoded(b'{"version":2}'))

    for operation in ("get", "ttl", "get_with_revision"):
        with pytest.raises(UnsupportedEntryVersionError):
            getattr(store, operation)("k", collection="c")


@pytest.mark.faults(27)
def test_a_copied_document_is_not_read(store, raw):
    """A document that was copied under another id is an error when it is read, and is not listed."""
    store.put("k", {"n": 1}, collection="c")
    plant(raw, name="c::other")
    raw.index(index=INDEX, id="x", document={"collection": "c", "name": "x"})
    raw.index(index=INDEX, id="y", document={"collection": "c", "name": "y", "address": {"collection": 1, "key": 2}})

    with pytest.raises(CorruptEntryError, match="another address"):
        store.get("other", collection="c")
    assert store.keys("c") == ["k"]
    assert store.collections() in (["c"], [])


@pytest.mark.faults(54, 56)
def test_the_microsecond_counts(url, clock):
    """An entry lives to its last microsecond, though an index keeps milliseconds, and `cull` takes none too early."""
    with ElasticsearchStore(url=url, index=INDEX, _clock=clock) as store:
        store.put("key", {"n": 1}, ttl=1.0005)
        clock.advance(1.000499)
        assert store.get("key") == {"n": 1}
        assert store.keys() == ["key"]
        assert store.cull() == 0
        assert store.put_if_absent("key", {}) is False
        clock.advance(0.000001)

        assert store.get("key") is None
        assert store.keys() == []
        assert store.delete("key") is False
        assert store.put_if_present("key", {}) is False
        clock.advance(0.001)
        assert store.cull() == 1
        assert store.destroy() is False


@pytest.mark.faults(58)
@pytest.mark.parametrize("minutes", [2, -2])
def test_the_readers_clock_decides(store, url, minutes):
    """An entry has ended when the reader's clock says so: two minutes early or late if that is so wrong."""
    wrong = ToldClock(now=datetime.now(UTC) + timedelta(minutes=minutes))
    with ElasticsearchStore(url=url, index=INDEX, _clock=wrong) as reader:
        store.put("key", {"n": 1}, ttl=60)

        assert store.get("key") == {"n": 1}
        assert reader.get("key") == (None if minutes > 0 else {"n": 1})
        assert reader.put_if_absent("key", {"n": 2}) is (minutes > 0)


def test_one_of_many_takes_an_expired_entry_over(url, clock):
    """Of many who put where an entry has ended exactly one wins, and so of many who put a first one."""
    with ElasticsearchStore(url=url, index=INDEX, _clock=clock) as store:
        for _ in range(5):
            won = gather(*[store.put_if_absent("key", {"n": number}, ttl=1) for number in range(8)])
            assert sum(won) == 1
            assert store.get("key") == {"n": won.index(True)}
            clock.advance(1)


def test_counting_at_once_loses_nothing(store):
    """Twenty callers who count at once, and one who deletes and counts anew, leave what they were told."""
    counts = gather(*[store.increment("key", initial=0) for _ in range(20)])

    assert sorted(counts) == list(range(1, 21))
    assert store.get("key") == {"value": 20}


def test_a_revision_does_not_come_back(store):
    """After an entry was deleted and put again, alike, the old revision is no longer its."""
    store.put("key", {"n": 1})
    _, revision = store.get_with_revision("key")
    store.delete("key")
    store.put("key", {"n": 1})

    assert store.put_if_unchanged("key", {"n": 2}, revision) is False
    assert store.delete_if_unchanged("key", revision) is False
    assert store.get("key") == {"n": 1}


def test_closing_leaves_a_passed_client_open(elasticsearch_server, raw):
    """A client that was passed in works on after the store was closed, and the store does not."""
    client = driver.Elasticsearch(elasticsearch_server.url)
    store = ElasticsearchStore(elasticsearch_client=client, index_prefix=INDEX)
    store.put("key", {"n": 1})
    store.close()

    with pytest.raises(StoreClosedError):
        store.get("key")
    assert client.ping()
    client.close()
