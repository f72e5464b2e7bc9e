# Written by tools/mirror.py from tests/aio/stores/test_mongodb_server.py: change that file instead.
"""MongoDBStore when its server is locked, speaks TLS, is not there, freezes, dies, or hangs up."""

import gc
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest
from proxy import HangingUp, Misbehaving
from pymongo import MongoClient as Raw
from servers import KINDS, NotAvailableError
from servers.mongodb import OwnMongoDB

from kv_core.capabilities import ALL, capabilities
from kv_core.deadline import unsent
from kv_core.errors import (
    ConfigurationError,
    StoreAuthenticationError,
    StoreClosedError,
    StoreConnectionError,
    StoreTimeoutError,
)
from kv_core.sync._drivers import mongodb as driver
from kv_core.sync._runtime import gather
from kv_core.sync.stores.mongodb import MongoDBStore
from kv_core.sync.testing._common import call
from kv_core.sync.wrappers.retry import RetryWrapper
from kv_core.sync.wrappers.timeout import TimeoutWrapper

# When its task is cancelled, pymongo leaves a socket that it was just connecting to the garbage collector.
pytestmark = pytest.mark.filterwarnings(r"ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected():
    """Let no other test find what a test of this file left."""
    yield
    gc.collect()


PASSWORD = "p@ss:/w%rd?#é"
QUOTED = "p%40ss%3A%2Fw%25rd%3F%23%C3%A9"


def refused(store, operation, kind):
    """Make an operation that fails, and return its error and how long it took, in seconds."""
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        call(store, operation)
    return caught.value, time.monotonic() - start


def told(error):
    """Return all that an error and its causes say."""
    texts = []
    while error is not None:
        texts.append(f"{error} {error!r}")
        error = error.__cause__
    return "\n".join(texts)


@contextmanager
def started(folder, *options):
    """Start a server with options of ours; the test is skipped where there is none."""
    try:
        server = OwnMongoDB(folder, *options).start()
    except NotAvailableError as error:
        pytest.skip(f"no MongoDB of our own: {error}")
    try:
        yield server
    finally:
        server.stop()


# Logging in -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A server that wants a login, with the users ada (all rights) and reader (the right to read)."""
    folder = tmp_path_factory.mktemp("mongodb") / "data"
    with started(folder) as server, Raw(server.url) as raw:
        raw.admin.command("createUser", "ada", pwd=PASSWORD, roles=[{"role": "root", "db": "admin"}])
        raw.admin.command("createUser", "reader", pwd="r", roles=[{"role": "read", "db": "kvstack"}])
    with started(folder, "--auth") as server:
        yield server


def login(server, credentials, path="kvstack?authSource=admin"):
    """Return the server's URL with credentials in it."""
    return f"{server.url.replace('mongodb://', f'mongodb://{credentials}@')}/{path}"


class Provider:
    """Gives one login after the other, and the last one for ever."""

    def __init__(self, *passwords):
        self.passwords = list(passwords)
        self.asked = 0

    def get_credentials(self):
        self.asked += 1
        password = self.passwords.pop(0) if len(self.passwords) > 1 else self.passwords[0]
        if isinstance(password, Exception):
            raise password
        return "ada", password


@pytest.mark.faults(118, 144)
def test_logging_in(locked):
    """A password is percent-decoded in a URL, and asked from a provider."""
    for options in (
        {"url": login(locked, f"ada:{QUOTED}")},
        {"url": login(locked, f"ada:{QUOTED}", "?appName=x")},
        {"url": f"{locked.url}/?authSource=admin", "credential_provider": Provider(PASSWORD)},
    ):
        with MongoDBStore(**options) as store:
            store.put("key", {"n": 1})
            assert store.get("key") == {"n": 1}


@pytest.mark.faults(144)
@pytest.mark.parametrize("credentials", ["", "ada:wr0ng-s3cret", "nobody:wr0ng-s3cret"])
def test_a_refused_login(locked, credentials):
    """A login that the server refuses is an error at once, for every operation, and no miss."""
    url = login(locked, credentials) if credentials else locked.url
    for operation in ("get", "put", "put_many", "delete", "increment", "keys", "ping")[: 7 if credentials else 6]:
        with MongoDBStore(url=url) as store:
            for _ in range(2):
                error, seconds = refused(store, operation, StoreAuthenticationError)

                assert (error.retryable, error.outcome) == (False, "not_applied"), operation
                assert seconds < 2
                assert "wr0ng" not in told(error)


@pytest.mark.faults(144)
def test_a_command_that_is_not_allowed(locked):
    """A command that the user may not run is a refused login, not an outage; others go on."""
    with MongoDBStore(url=login(locked, "reader:r")) as store:
        assert store.get("none") is None
        assert store.keys("none") == []
        for operation in ("put", "put_many", "put_if_absent", "put_if_present", "delete", "touch"):
            error, _ = refused(store, operation, StoreAuthenticationError)
            assert (error.retryable, error.outcome) == (False, "not_applied"), operation


@pytest.mark.faults(144)
def test_a_login_that_changes(locked):
    """A provider is asked again when the server refuses what it gave, once a call."""
    provider = Provider("old", PASSWORD)
    with MongoDBStore(url=f"{locked.url}/?authSource=admin", credential_provider=provider) as store:
        assert store.get("none") is None
        assert provider.asked == 2
        assert gather(*[store.get(f"none {number}") for number in range(10)]) == [None] * 10
        assert provider.asked == 2

    wrong = Provider("old")
    with MongoDBStore(url=f"{locked.url}/?authSource=admin", credential_provider=wrong) as store:
        refused(store, "put", StoreAuthenticationError)
        assert wrong.asked == 2

    failing = Provider(RuntimeError(PASSWORD))
    with MongoDBStore(url=f"{locked.url}/?authSource=admin", credential_provider=failing) as store:
        error, _ = refused(store, "put", StoreAuthenticationError)
        assert "RuntimeError" in str(error)
        assert error.outcome == "not_applied"


@pytest.mark.faults(117)
def test_tls(tmp_path):
    """TLS is spoken where the URL says so, with the certificate checked, and never dropped."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([openssl, *words], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())

    with started(tmp_path / "clear") as server:
        with MongoDBStore(url=f"{server.url}/?tls=true", timeout=1) as store:
            error, _ = refused(store, "put", (StoreConnectionError, StoreTimeoutError))
            assert error.outcome == "not_applied"
        with Raw(server.url) as raw:
            assert "kvstack" not in raw.list_database_names()

    class Encrypted(OwnMongoDB):
        def version(self, url):
            with Raw(url, tls=True, tlsCAFile=str(certificate), serverSelectionTimeoutMS=2000) as raw:
                return str(raw.server_info()["version"])

        def command(self, binary, port, folder):
            words = super().command(binary, port, folder)
            if binary.name == "mongod":
                return [*words, "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(both)]
            return [*words, "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]

    server = Encrypted(tmp_path / "data").start()
    try:
        with MongoDBStore(url=f"{server.url}/?tls=true&tlsCAFile={certificate}") as store:
            store.put("key", {"n": 1})
            assert store.get("key") == {"n": 1}
        for distrusting in (f"{server.url}/?tls=true", server.url):
            with MongoDBStore(url=distrusting, timeout=1) as store:
                error, _ = refused(store, "get", (StoreConnectionError, StoreTimeoutError))
                assert error.outcome == "not_applied"
    finally:
        server.stop()


# URLs and options -----------------------------------------------------------------------------------------------------


@pytest.mark.faults(118, 120)
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mongodb://u:s3cret@h/?foo=1", "foo"),
        ("mongodb://u:s3cret@h/?maxPoolSize=many", "maxPoolSize"),
        ("mongodb://u:s3cret@h/?tlsCAFile=/no/such/file", "tlsCAFile"),
        ("mongodb://u:s3cret@h/?retryWrites=maybe", "retryWrites"),
        ("mongodb://u:s3cret@h/?timeoutMS=100", "timeout="),
        ("mongodb://u:s3cret@h/?w=0", "w=0"),
        ("mongodb://u:s3cret@h/?readPreference=secondary", "primary"),
        ("mongodb://u:s3cret@h/?w=1&w=2", "twice"),
        ("mongodb://u:s3cret@h:port/", "port"),
        ("mongodb://u:s3cret@h:99999/", "port"),
        ("mongodb://u:s3/cret@h/", "not a URL"),
        ("mongodb://u:s3cret@/", "hosts"),
        ("mongodb://u:s3cret@h1,h2/?directConnection=true", "contradict"),
        ("mongodb://u:s3cret@h/a%20b", "database"),
        ("mongodb+srv://u:s3cret@h.example.com:27017/", "hosts"),
        ("mongodb+srv://u:s3cret@h.example.com/?foo=1", "foo"),
        ("mongodb://u:s3cret@h/#x", "#"),
        ("http://u:s3cret@h", "mongodb://"),
        ("localhost:27017", "URL"),
        ("", "URL"),
        (b"mongodb://h", "URL"),
    ],
)
def test_urls_are_checked(url, said):
    """A URL that would be misread is refused at construction, before any I/O, and no password is shown."""
    with pytest.raises(ConfigurationError) as caught:
        MongoDBStore(url=url)

    assert said in str(caught.value)
    for part in ("s3cret", "cret@", "s3/"):
        assert part not in told(caught.value)


@pytest.mark.faults(26, 120)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"client": object()}, "client"),
        ({"client": object(), "url": "mongodb://:s3cret@h"}, "client"),
        ({"client": object(), "credential_provider": Provider("s3cret")}, "client"),
        ({"db_name": ""}, "db_name"),
        ({"db_name": "a.b"}, "db_name"),
        ({"db_name": "a/b"}, "db_name"),
        ({"db_name": "$db"}, "db_name"),
        ({"db_name": "x" * 64}, "db_name"),
        ({"db_name": 7}, "db_name"),
        ({"db_name": "\ud800"}, "db_name"),
        ({"coll_name": ""}, "coll_name"),
        ({"coll_name": "system.users"}, "coll_name"),
        ({"coll_name": "$cmd"}, "coll_name"),
        ({"coll_name": "a\0b"}, "coll_name"),
        ({"coll_name": ".a"}, "coll_name"),
        ({"coll_name": "\ud800"}, "coll_name"),
        ({"coll_name": None}, "coll_name"),
        ({"credential_provider": "no.such.thing"}, "credential_provider"),
        ({"credential_provider": object()}, "credential_provider"),
        ({"timeout": 0}, "timeout"),
        ({"max_entry_size": 0}, "max_entry_size"),
    ],
    ids=lambda options: " ".join(options) if isinstance(options, dict) else None,
)
def test_options_are_checked(options, said):
    """Options that contradict each other, or are not names, are refused at construction."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        MongoDBStore(**options)

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb+srv://u:p@no-such-name.invalid/?retryWrites=true&w=majority&appName=Cluster0",
        "mongodb://h/db?retryWrites=true&retryReads=true",
        "mongodb://h1:1,h2:2,h3/db?replicaSet=rs0&readConcernLevel=majority&maxPoolSize=3&retryWrites=false",
        "mongodb://%2Ftmp%2Fmongodb.sock/db",
        "mongodb://[::1]:27017/db?compressors=zlib",
        "mongodb://u@h/?authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:azure,TOKEN_RESOURCE:api",
    ],
)
def test_urls_are_understood(url):
    """Every option that pymongo knows is taken, and nothing is asked of a server or of DNS."""
    before = time.monotonic()
    MongoDBStore(url=url)

    assert time.monotonic() - before < 1


@pytest.mark.faults(81)
@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv"])
def test_the_driver_repeats_nothing(scheme):
    """The driver's own retries are off, whatever the URL says."""
    mongo = driver.make(f"{scheme}://u:p@no-such-name.invalid/?retryWrites=true&retryReads=true&w=majority")

    assert not mongo.options.retry_writes
    assert not mongo.options.retry_reads


# A server that does not answer ----------------------------------------------------------------------------------------


@pytest.mark.faults(141)
def test_a_server_that_is_not_there(own_mongodb):
    """Without a server every operation says so in half of its time, and that nothing was done."""
    own_mongodb.kill()
    with MongoDBStore(url=login(own_mongodb, "u:s3cret", ""), timeout=1.5) as store:
        for operation in ("get", "put", "put_many", "keys", "increment", "destroy"):
            error, seconds = refused(store, operation, StoreConnectionError)

            assert (error.retryable, error.outcome) == (True, "not_applied"), operation
            assert seconds < 3
            assert "s3cret" not in told(error)


def test_a_name_that_dns_does_not_know():
    """The servers of a mongodb+srv:// URL that cannot be found are an outage; nothing was sent."""
    with MongoDBStore(url="mongodb+srv://u:s3cret@no-such-name.invalid/db", timeout=10) as store:
        error, _ = refused(store, "put", (StoreConnectionError, StoreTimeoutError))

        assert error.outcome == "not_applied"


@pytest.mark.faults(83, 143)
def test_a_frozen_server(own_mongodb):
    """Every operation ends at its deadline, on a connection that is open and on a new one; later answers are right."""
    with MongoDBStore(url=own_mongodb.url) as store, MongoDBStore(url=own_mongodb.url) as fresh:
        store.put_many([f"key {number}" for number in range(20)], [{"n": number} for number in range(20)])
        store._timeout = fresh._timeout = 0.3
        own_mongodb.freeze()
        try:
            error, seconds = refused(fresh, "put", StoreTimeoutError)
            assert (error.retryable, error.outcome) == (True, "not_applied")
            assert 0.25 < seconds < 2
            for operation in sorted(capabilities(store)):
                error, seconds = refused(store, operation, StoreTimeoutError)
                assert error.retryable is True
                assert 0.25 < seconds < 2, operation
                assert isinstance(error, TimeoutError)
        finally:
            own_mongodb.thaw()

        store._timeout = fresh._timeout = 10.0
        store.put_many([f"key {number}" for number in range(20)], [{"n": number} for number in range(20)])
        for _ in range(3):
            found = gather(*[store.get(f"key {number}") for number in range(20)])
            assert found == [{"n": number} for number in range(20)]
        assert fresh.get("key 7") == {"n": 7}


@pytest.mark.faults(143, 145)
def test_round_trips_share_one_deadline(mongodb_server):
    """What takes several round trips ends at the deadline of the whole, not of each."""
    proxy = Misbehaving(mongodb_server.host, mongodb_server.port)
    try:
        with MongoDBStore(url=f"mongodb://127.0.0.1:{proxy.port}", timeout=5, default_collection="slow") as store:
            store.put("count", {"value": 1})
            store._timeout = 1.8 * Misbehaving.DELAY
            proxy.mode = "late"

            error, _ = refused(store, "increment", StoreTimeoutError)

            assert error.outcome == "unknown"
    finally:
        proxy.close()


@pytest.mark.faults(83, 143)
def test_what_was_sent_may_arrive(own_mongodb):
    """A write that timed out after it was sent has an unknown outcome; one that never left was not applied."""
    with MongoDBStore(url=own_mongodb.url) as store:
        store.put("warm", {})
        own_mongodb.freeze()
        store._timeout = 0.3
        try:
            error, _ = refused(store, "put", StoreTimeoutError)
        finally:
            own_mongodb.thaw()
        assert error.outcome == "unknown"
        assert "'key'" in str(error)

        store._timeout = 10.0
        store.get("key")
    with pytest.raises(StoreClosedError):
        store.get("key")


@pytest.mark.faults(127, 142)
def test_a_server_that_is_killed_and_comes_back(own_mongodb):
    """At most one error for each connection that was open, then as before: misses, not wrong values."""
    with MongoDBStore(url=own_mongodb.url, timeout=2) as store:
        gather(*[store.put(f"key {number}", {"n": number}) for number in range(5)])
        own_mongodb.kill()
        error, _ = refused(store, "put", StoreConnectionError)
        assert error.retryable is True
        error, _ = refused(store, "put", StoreConnectionError)
        assert error.outcome == "not_applied"

        words = own_mongodb.process.args
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                own_mongodb.process = process
                KINDS["mongodb"].wait(own_mongodb)
                store._timeout = 10.0
                assert store.get("key 1") is None
                store.put("key", {"n": 1})
                assert store.increment("count", initial=0, ttl=60) == 1
                assert store.get_many(["key", "key 1"]) == [{"n": 1}, None]
            finally:
                process.terminate()


@pytest.mark.faults(76, 81, 127)
@pytest.mark.parametrize(("operation", "word"), [("get", b"find\0"), ("put", b"update\0")])
def test_a_dropped_connection_costs_one_attempt(own_mongodb, operation, word):
    """When the server hangs up once, the error is named, a retry asks once more, and the driver does not by itself."""
    with MongoDBStore(url=own_mongodb.url) as direct:
        direct.put("key", {"n": 1})
    for retries in (0, 3):
        proxy = HangingUp(own_mongodb.host, own_mongodb.port, word)
        url = f"mongodb://127.0.0.1:{proxy.port}"
        attempts = []

        class Counting(MongoDBStore):
            def _call(self, *args, **options):
                attempts.append(args[1])  # noqa: B023 - used in this round only
                return super()._call(*args, **options)

        try:
            with RetryWrapper(Counting(url=url, timeout=10), max_retries=retries, initial_delay=0.01) as store:
                if retries:
                    call(store, operation)
                else:
                    error, _ = refused(store, operation, StoreConnectionError)
                    assert error.outcome == "unknown"
                assert len(attempts) == (2 if retries else 1)
        finally:
            proxy.close()


@pytest.mark.faults(81)
def test_the_driver_does_not_retry(own_mongodb):
    """Retries of the driver's are off, so that one attempt is one command."""
    with MongoDBStore(url=own_mongodb.url) as store:
        store.put("key", {})
        client = store._clients.current()._mongo
        assert client.options.retry_writes is False
        assert client.options.retry_reads is False


def test_a_deadline_that_travels(own_mongodb):
    """A shorter deadline of a wrapper around the store ends the call, and nothing is sent after it."""
    with MongoDBStore(url=own_mongodb.url, timeout=30) as store:
        hurried = TimeoutWrapper(store, timeout=0.3)
        store.put("key", {"n": 1})
        own_mongodb.freeze()
        try:
            error, seconds = refused(hurried, "put", StoreTimeoutError)
            assert 0.25 < seconds < 2
            assert error.outcome == "unknown"
        finally:
            own_mongodb.thaw()
        assert store.get("key") == {"n": 1}


# The client's life ----------------------------------------------------------------------------------------------------


def test_closing_leaves_no_connection(own_mongodb):
    """After closing, the client is closed, and so are its connections."""
    store = MongoDBStore(url=f"{own_mongodb.url}/?appName=leaving")
    gather(*[store.put("key", {}) for _ in range(5)])
    mongo = store._clients.current()._mongo
    store.close()

    with pytest.raises(driver.errors.InvalidOperation):
        mongo.admin.command("ping")
    error = None
    try:
        store.get("key")
    except StoreClosedError as caught:
        error = caught
    assert error is not None
    assert not unsent(error)


def test_closing_while_the_server_is_frozen(own_mongodb):
    """Closing tells the server, and does not wait for a server that does not answer."""
    store = MongoDBStore(url=own_mongodb.url)
    store.put("key", {})
    own_mongodb.freeze()
    try:
        before = time.monotonic()
        store.close()
        assert time.monotonic() - before < 4
    finally:
        own_mongodb.thaw()


@pytest.mark.faults(134)
def test_a_store_that_is_forgotten(own_mongodb):
    """A store that nobody closed and nobody holds any more makes no noise."""
    store = MongoDBStore(url=own_mongodb.url)
    store.put("key", {})
    del store
    gc.collect()
    with MongoDBStore(url=own_mongodb.url) as other:
        for _ in range(3):
            assert other.get("key") == {}
        assert capabilities(other) == ALL
