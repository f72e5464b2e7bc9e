# Written by tools/mirror.py from tests/aio/stores/test_elasticsearch_server.py: change that file instead.
"""ElasticsearchStore when its server is locked, behind TLS, frozen, killed, or not there."""

import socket
import subprocess
import time
from base64 import b64encode
from contextlib import contextmanager
from uuid import uuid4

import pytest
from certificates import Authority
from elasticsearch import Elasticsearch as Raw
from gateway import Gateway
from proxy import HangingUp
from servers import KINDS

from kv_core.capabilities import ALL, capabilities
from kv_core.errors import (
    ConfigurationError,
    StoreAuthenticationError,
    StoreConnectionError,
    StoreTimeoutError,
)
from kv_core.sync._drivers import elasticsearch as driver
from kv_core.sync._runtime import gather
from kv_core.sync.stores.elasticsearch import ElasticsearchStore
from kv_core.sync.testing._common import call
from kv_core.sync.wrappers.retry import RetryWrapper
from kv_core.sync.wrappers.statistics import StatisticsWrapper

INDEX = f"kv-test-{uuid4().hex[:12]}"
PASSWORD = "p@ss:/w%rd?#é"
QUOTED = "p%40ss%3A%2Fw%25rd%3F%23%C3%A9"


@pytest.fixture
def start(elasticsearch_server):
    """A function that starts a gateway before the server, whose index is missing when the test begins."""
    gateways = []

    def start_one(certificate=None):
        gateways.append(Gateway(elasticsearch_server.host, elasticsearch_server.port, certificate))
        return gateways[-1]

    yield start_one
    for gateway in gateways:
        gateway.stop()
    with Raw(elasticsearch_server.url) as raw:
        raw.indices.delete(index=INDEX, ignore_unavailable=True)


def at(gateway, credentials="", scheme="elasticsearch", host="127.0.0.1", query=""):
    return f"{scheme}://{credentials}{host}:{gateway.port}{query}"


def basic(user, password):
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def refused(store, operation, kind):
    """Make an operation that fails, and return its error and how long it took, in seconds."""
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        call(store, operation)
    return caught.value, time.monotonic() - start


# Logging in -----------------------------------------------------------------------------------------------------------


@pytest.mark.faults(118, 144)
def test_logging_in(start):
    """A password is percent-decoded in a URL; an API key goes encoded or in two parts; a provider gives either."""
    gateway = start()
    encoded = b64encode(b"id:secret").decode()
    gateway.logins = {basic("app", PASSWORD), f"ApiKey {encoded}"}

    class Provider:
        def __init__(self, given):
            self.given = given

        def get_credentials(self):
            return self.given

    for options in (
        {"url": at(gateway, f"app:{QUOTED}@")},
        {"url": at(gateway), "api_key": encoded},
        {"url": at(gateway), "api_key": ("id", "secret")},
        {"url": at(gateway), "credential_provider": Provider(encoded)},
        {"url": at(gateway), "credential_provider": Provider((encoded,))},
        {"url": at(gateway), "credential_provider": Provider(("app", PASSWORD))},
    ):
        with ElasticsearchStore(**options, index=INDEX) as store:
            store.put("key", {"n": 1})
            assert store.get("key") == {"n": 1}


@pytest.mark.faults(77, 144)
@pytest.mark.parametrize("credentials", ["", "app:wr0ng-s3cret@"])
def test_a_refused_login(start, credentials):
    """A login that the server refuses is an error at once, for every operation, and no miss."""
    gateway = start()
    gateway.logins = {basic("app", PASSWORD)}
    for operation in sorted(ALL - {"put_if_unchanged", "delete_if_unchanged"}):
        with ElasticsearchStore(url=at(gateway, credentials), index=INDEX) as store:
            error, seconds = refused(store, operation, StoreAuthenticationError)

        assert (error.retryable, error.outcome) == (False, "not_applied"), operation
        assert seconds < 1
        while error is not None:
            assert "wr0ng" not in f"{error} {error!r}"
            error = error.__cause__


@pytest.mark.faults(144)
def test_a_password_changed_mid_run(start):
    """After the password changed, a fixed one is refused by name, and a provider is asked for the new one, once."""
    gateway = start()
    asked = []

    class Provider:
        def get_credentials(self):
            asked.append(gateway.logins)
            return ("app", "new" if basic("app", "new") in gateway.logins else "old")

    old = ElasticsearchStore(url=at(gateway, "app:old@"), index=INDEX)
    asking = ElasticsearchStore(url=at(gateway), index=INDEX, credential_provider=Provider())
    gateway.logins = {basic("app", "old")}
    with old, asking:
        for store in (old, asking):
            store.put("key", {"n": 1})
            assert store.get("key") == {"n": 1}
        assert len(asked) == 1
        gateway.logins = {basic("app", "new")}

        with pytest.raises(StoreAuthenticationError):
            old.get("key")
        assert asking.get("key") == {"n": 1}
        assert asking.get("key") == {"n": 1}
        assert len(asked) == 2
        gateway.logins = set()
        with pytest.raises(StoreAuthenticationError):
            asking.put("key", {"n": 2})


def test_a_provider_of_nonsense(start):
    """What a credential provider gives has to be an API key, or a user and a password."""

    class Provider:
        def get_credentials(self):
            return {"password": "s3cret"}

    with ElasticsearchStore(url=at(start()), index=INDEX, credential_provider=Provider()) as store:
        with pytest.raises(ConfigurationError, match="credential_provider") as caught:
            store.get("key")
    assert "s3cret" not in str(caught.value)


def test_a_provider_that_fails(start):
    """A credential provider that raises is a refused login, before anything is sent."""

    class Provider:
        def get_credentials(self):
            raise KeyError("s3cret")

    gateway = start()
    with ElasticsearchStore(url=at(gateway), index=INDEX, credential_provider=Provider()) as store:
        error, _ = refused(store, "put", StoreAuthenticationError)

    assert "KeyError" in str(error)
    assert "s3cret" not in str(error)
    assert error.outcome == "not_applied"
    assert gateway.seen == []


# TLS ------------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(117)
def test_tls(start, tmp_path):
    """An elasticsearchs:// URL speaks TLS to a server whose certificate the given authority has signed."""
    authority = Authority(tmp_path)
    gateway = start(authority.certify("127.0.0.1"))
    query = f"?ca_certs={authority.certificate}"
    for scheme in ("elasticsearchs", "https"):
        with ElasticsearchStore(url=at(gateway, scheme=scheme, query=query), index=INDEX) as store:
            store.put_many(["a", "b"], [{"n": 1}, {"text": "x" * 2**21}])
            assert store.get("a") == {"n": 1}
            assert sorted(store.keys()) == ["a", "b"]


@pytest.mark.faults(117)
@pytest.mark.parametrize("wrong", ["another authority", "another host", "another address", "no authority"])
def test_tls_that_is_not_trusted(start, tmp_path, wrong):
    """A certificate of another authority, or for another host or address, is refused before anything is sent."""
    authority = Authority(tmp_path)
    names = {"another host": "elsewhere.example", "another address": "127.0.0.2"}
    gateway = start(authority.certify(names.get(wrong, "127.0.0.1")))
    trusted = Authority(tmp_path, "other") if wrong == "another authority" else authority
    query = "" if wrong == "no authority" else f"?ca_certs={trusted.certificate}"
    with ElasticsearchStore(url=at(gateway, "app:s3cret@", "elasticsearchs", query=query), index=INDEX) as store:
        error, seconds = refused(store, "put", StoreConnectionError)

    assert "TLS" in str(error)
    assert error.outcome == "not_applied"
    assert seconds < 2
    assert gateway.seen == []


@pytest.mark.filterwarnings("ignore:.*insecure:Warning", "ignore:Unverified HTTPS:Warning")
def test_tls_without_verification(start, tmp_path):
    """Who says verify_certs=false trusts anybody, and TLS is spoken all the same."""
    gateway = start(Authority(tmp_path).certify("elsewhere.example"))
    with ElasticsearchStore(
        url=at(gateway, scheme="elasticsearchs", query="?verify_certs=false"), index=INDEX
    ) as store:
        store.put("key", {"n": 1})
        assert store.get("key") == {"n": 1}


@pytest.mark.faults(117)
def test_tls_is_never_dropped(start):
    """An elasticsearchs:// URL does not speak in the clear to a server that does."""
    gateway = start()
    with ElasticsearchStore(url=at(gateway, "app:s3cret@", "elasticsearchs"), index=INDEX, timeout=1) as store:
        with pytest.raises((StoreConnectionError, StoreTimeoutError)) as caught:
            store.put("key", {"canary": "in the clear"})

    assert caught.value.outcome == "not_applied"
    assert gateway.seen == []


def test_a_certificate_that_is_not_there(tmp_path):
    """A file that cannot be read is named as a matter of configuration by the first operation."""
    store = ElasticsearchStore(url=f"elasticsearchs://localhost:1?ca_certs={tmp_path}/none.pem")
    with pytest.raises(ConfigurationError, match="ca_certs"):
        store.get("key")
    store.close()


# A server that does not answer ----------------------------------------------------------------------------------------


@pytest.mark.faults(141)
def test_a_server_that_is_not_there(own_elasticsearch):
    """Without a server every operation says so at once, and that nothing was done."""
    own_elasticsearch.kill()
    url = own_elasticsearch.url.replace("http://", "elasticsearch://app:s3cret@")
    with ElasticsearchStore(url=url, index=INDEX) as store:
        for operation in capabilities(store) - {"put_if_unchanged", "delete_if_unchanged"}:
            error, seconds = refused(store, operation, StoreConnectionError)

            assert (error.retryable, error.outcome) == (True, "not_applied"), operation
            assert seconds < 1
            while error is not None:
                assert "s3cret" not in f"{error} {error!r}"
                error = error.__cause__


@pytest.mark.faults(143)
@pytest.mark.parametrize("passed", [False, True], ids=["own client", "passed client"])
def test_a_frozen_server(own_elasticsearch, passed):
    """Every operation ends at its deadline, on an open connection and on a new one; later answers are right."""
    clients = [driver.Elasticsearch(own_elasticsearch.url) for _ in range(2)] if passed else []
    options = [{"client": client} for client in clients] or [{"url": own_elasticsearch.url}] * 2
    store, fresh = [ElasticsearchStore(**given, index=INDEX) for given in options]
    store.put_many([f"key {number}" for number in range(20)], [{"n": number} for number in range(20)])
    store._timeout = fresh._timeout = 0.05
    own_elasticsearch.freeze()
    try:
        for operation in sorted(capabilities(store) - {"put_if_unchanged", "delete_if_unchanged"}):
            error, seconds = refused(fresh if operation < "i" else store, operation, StoreTimeoutError)
            assert 0.04 < seconds < 1, operation
            assert error.retryable
        error, _ = refused(store, "put", StoreTimeoutError)
        assert error.outcome == "unknown"
    finally:
        own_elasticsearch.thaw()

    store._timeout = fresh._timeout = 5.0
    for one in (store, fresh):
        found = gather(*[one.get(f"key {number}") for number in range(20)])
        assert found in ([{"n": number} for number in range(20)], [None] * 20)  # a destroy may have arrived
        one.put("key", {"n": 7})
        assert one.get("key") == {"n": 7}
        one.close()
    for client in clients:
        client.close()


@pytest.mark.faults(143, 145)
def test_a_silent_handshake(own_elasticsearch):
    """Where a connection is not even made by the deadline, nothing was sent, and the error says so."""
    own_elasticsearch.freeze()
    url = own_elasticsearch.url.replace("http://", "elasticsearchs://")
    with ElasticsearchStore(url=url, index=INDEX, timeout=0.1) as store:
        for operation in ("put", "increment", "get_many"):
            error, seconds = refused(store, operation, StoreTimeoutError)
            assert (error.retryable, error.outcome) == (True, "not_applied"), operation
            assert 0.09 < seconds < 1
    own_elasticsearch.thaw()


@pytest.mark.faults(127, 142)
def test_a_server_that_is_killed_and_comes_back(own_elasticsearch):
    """At most one error for each connection that was open, then as before: what was there, or nothing."""
    with ElasticsearchStore(url=own_elasticsearch.url, index=INDEX) as store:
        gather(*[store.put(f"key {number}", {"n": number}) for number in range(5)])
        own_elasticsearch.kill()
        error, _ = refused(store, "put", StoreConnectionError)
        assert error.retryable is True
        error, _ = refused(store, "put", StoreConnectionError)
        assert error.outcome == "not_applied"

        with subprocess.Popen(
            own_elasticsearch.process.args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            own_elasticsearch.process = process
            KINDS["elasticsearch"].wait(own_elasticsearch)
            failed = 0
            for number in range(10):
                try:
                    assert store.get(f"key {number}") in ({"n": number}, None)
                except StoreConnectionError:
                    failed += 1

            assert failed <= 5
            store.put("key", {"n": 1})
            assert store.increment("count", initial=0, ttl=60) == 1
            assert store.get("key") == {"n": 1}
            process.terminate()


@contextmanager
def dropping(server, word, **options):
    """Open a store whose first connection that sends *word* is hung up without passing it on."""
    relay = HangingUp(server.host, server.port, word)
    try:
        with ElasticsearchStore(url=f"elasticsearch://127.0.0.1:{relay.port}", index=INDEX, **options) as store:
            yield store
    finally:
        relay.close()


@pytest.mark.faults(76, 81)
@pytest.mark.parametrize(("operation", "word"), [("get", b"_mget"), ("put", b"_bulk"), ("keys", b"_search")])
def test_a_dropped_connection_costs_one_attempt(start, elasticsearch_server, operation, word):
    """A connection that is dropped under way is an error of one attempt; a retry makes it two, and no client more."""
    start()
    with ElasticsearchStore(url=elasticsearch_server.url, index=INDEX) as other:
        other.put("other", {})
    with dropping(elasticsearch_server, word) as store:
        inside = StatisticsWrapper(store)
        retrying = RetryWrapper(inside, initial_delay=0.001)
        call(retrying, operation)

        seen = inside.statistics.operation(operation)
        assert (seen.count, seen.errors) == (2, 1)


@pytest.mark.faults(79, 81)
def test_no_write_is_repeated_by_the_client(start):
    """When the answer to a write is lost, nobody repeats it unasked: the server sees it once, and the error says so."""
    gateway = start()
    with ElasticsearchStore(url=at(gateway), index=INDEX) as store:
        store.put("warm", {})
        store.get("key")
        for operation in ("put", "put_if_absent", "increment", "put_many"):
            sent = []

            def lose(method, path, body, sent=sent):
                if path.endswith("_bulk"):
                    sent.append(body)
                    raise ConnectionResetError

            gateway.answer = lose
            error, _ = refused(store, operation, StoreConnectionError)

            assert (error.retryable, error.outcome) == (True, "unknown"), operation
            assert len(sent) == 1


# Options --------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(26, 117, 118, 120)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "elasticsearch://app:s3cret@"}, "host"),
        ({"url": "elasticsearch://app:s3cret@h1,,h2"}, "host"),
        ({"url": "elasticsearch://app:s3cret@:9200"}, "host"),
        ({"url": "elasticsearch://app:s3cret@h:port"}, "port"),
        ({"url": "https://app:s3cret@h"}, "port"),
        ({"url": "elasticsearch://s3cret@h"}, "login"),
        ({"url": "elasticsearch://:s3cret@h"}, "login"),
        ({"url": "elasticsearch://app:s3cret@h?ca_cert=x"}, "ca_certs"),
        ({"url": "elasticsearch://app:s3cret@h?ca_certs=x"}, "no TLS"),
        ({"url": "elasticsearch://app:s3cret@h?verify_certs=false"}, "no TLS"),
        ({"url": "elasticsearchs://app:s3cret@h?verify_certs=perhaps"}, "verify_certs"),
        ({"url": "elasticsearch://app:s3cret@h?max_connections=0"}, "max_connections"),
        ({"url": "elasticsearch://app:s3cret@h?max_retries=3"}, "max_retries"),
        ({"url": "redis://app:s3cret@h"}, "elasticsearch://"),
        ({"url": "elasticsearch://app:s3cret@h#x"}, "#"),
        ({"url": "elasticsearch://app:s3cret@h", "api_key": "x"}, "api_key"),
        ({"url": "elasticsearch://app:s3cret@h", "credential_provider": object()}, "credential_provider"),
        ({"url": "elasticsearch://h", "credential_provider": "no.such.thing"}, "credential_provider"),
        ({"client": object()}, "Elasticsearch"),
        ({"client": object(), "url": "elasticsearch://app:s3cret@h"}, "client"),
        ({"client": object(), "api_key": "s3cret"}, "client"),
        *(
            ({"index": index}, "index")
            for index in (
                "",
                "A",
                "a,b",
                "a*",
                "<logs-{now/d}>",
                "_all",
                "-a",
                "+a",
                ".a",
                "..",
                "a b",
                "é",
                "a" * 256,
                7,
            )
        ),
        ({"timeout": 0}, "timeout"),
        ({"max_entry_size": 0}, "max_entry_size"),
    ],
)
def test_options_are_checked(options, said):
    """Options that contradict each other, or would be misread, are refused at construction; no password is shown."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        ElasticsearchStore(**options)

    assert "s3cret" not in str(caught.value)


def test_several_nodes(start, own_elasticsearch):
    """Requests go to several nodes; one that does not answer costs an error at most, and is left out for a while."""
    gateways = [start(), start()]
    dead = own_elasticsearch.port
    own_elasticsearch.kill()
    hosts = ",".join([f"127.0.0.1:{gateways[0].port}", f"127.0.0.1:{gateways[1].port}", f"127.0.0.1:{dead}"])
    with ElasticsearchStore(url=f"elasticsearch://{hosts}/?max_connections=2", index=INDEX) as store:
        failed, outcomes = 0, set()
        for number in range(30):
            try:
                store.put(f"key {number}", {"n": number})
                assert store.get(f"key {number}") == {"n": number}
            except StoreConnectionError as error:
                failed += 1
                outcomes.add(error.outcome)

        assert failed <= 5
        assert outcomes <= {"not_applied"}
        assert all(gateway.seen for gateway in gateways)


@pytest.mark.faults(143)
@pytest.mark.parametrize("passed", [False, True], ids=["own client", "passed client"])
def test_a_node_that_freezes(start, passed):
    """A node that does not answer costs the calls that it was asked by their time, and is left out for a while."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = [start().port, silent.getsockname()[1]]
        client = driver.Elasticsearch([f"http://127.0.0.1:{port}" for port in hosts]) if passed else None
        url = None if passed else f"elasticsearch://{','.join(f'127.0.0.1:{port}' for port in hosts)}"
        failed = 0
        with ElasticsearchStore(url=url, client=client, index=INDEX, timeout=0.5) as store:
            for _ in range(12):
                try:
                    assert store.get("key") is None
                except StoreTimeoutError:
                    failed += 1
        if client is not None:
            client.close()

    assert failed <= 3


def test_a_path_before_every_path(start):
    """What the URL has as its path stands before every path that is asked for."""
    gateway = start()
    gateway.answer = lambda method, path, body: (200, {"docs": [{"_id": "default_collection::key", "found": False}]})
    with ElasticsearchStore(url=at(gateway, query="/behind/a%20proxy/"), index=INDEX) as store:
        assert store.get("key") is None
    assert gateway.seen[0][1].startswith("/behind/a")
