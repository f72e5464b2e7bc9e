"""Connections to Memcached, on both sides: cut off, closed, forked, locked, encrypted, and never handed on unclean."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from forks import Child, opened_since, sockets
from pymemcache import Client
from servers import NotAvailableError
from servers.memcached import Memcached

from kv_core import memcached_client
from kv_core.aio.stores.memcached import MemcachedStore as AsyncMemcachedStore
from kv_core.deadline import deadline
from kv_core.errors import (
    ConfigurationError,
    StoreAuthenticationError,
    StoreClosedError,
    StoreConnectionError,
    StoreProtocolError,
    StoreTimeoutError,
)
from kv_core.memcached_client import Call
from kv_core.sync.stores.memcached import MemcachedStore

ROUNDS = 100_000 if os.environ.get("KV_TEST_FULL") else 5_000


@pytest.fixture
def store(own_memcached):
    with MemcachedStore(url=own_memcached.url, timeout=2) as store:
        yield store


@pytest.fixture
def start():
    """A function that starts a server with further options."""
    servers = []

    def start(*options, **more):
        try:
            servers.append(Memcached().with_options(*options, **more).start())
        except NotAvailableError as error:
            pytest.skip(f"no Memcached with {options}: {error}")
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


class Talker:
    """A server that answers every line with what it is told, a byte at a time if that is slow."""

    def __init__(self, answer, pause=0.0):
        self._answer, self._pause = answer, pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"memcached://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(one)
            threading.Thread(target=self._talk, args=(one,), daemon=True).start()

    def _talk(self, one):
        try:
            while data := one.recv(65536):
                if data == b"gets kvstack:generation:default_collection\r\n":
                    one.sendall(b"VALUE kvstack:generation:default_collection 0 10 1\r\n3000000000\r\nEND\r\n")
                elif data.startswith(b"stats"):
                    one.sendall(b"STAT item_size_max 1048576\r\nEND\r\n")
                elif self._answer is None:
                    one.close()
                else:
                    for byte in self._answer if self._pause else [self._answer]:
                        one.sendall(bytes([byte]) if self._pause else byte)
                        time.sleep(self._pause)
        except OSError:
            pass

    def close(self):
        self._listener.close()
        for one in self._open:
            one.close()


@pytest.fixture
def talk():
    talkers = []

    def talk(*args):
        talkers.append(Talker(*args))
        return talkers[-1].url

    yield talk
    for one in talkers:
        one.close()


@pytest.mark.faults(127)
@pytest.mark.parametrize("operation", ["put", "delete", "get"])
def test_a_reply_that_is_cut_off(talk, operation):
    """A server that hangs up in place of a reply is a connection error; what became of the call is not known."""
    arguments = [{}] if operation == "put" else []
    with (
        MemcachedStore(url=talk(None), timeout=1) as store,
        pytest.raises(StoreConnectionError, match="hung up") as caught,
    ):
        getattr(store, operation)("key", *arguments)

    assert (caught.value.outcome, caught.value.retryable) == ("unknown", True)


@pytest.mark.faults(145)
@pytest.mark.parametrize(
    "answer",
    [
        b"\0\xff\r\n",
        b"VALUE other 0 1\r\nx\r\nEND\r\n",
        b"VALUE\r\n",
        b"STORED\r\n",
        b"SERVER_ERROR\r\n",
        b"ERROR\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"VALUE default_collection::key x y\r\n",
        b"VALUE default_collection::key 0 -5\r\n\r\n",
    ],
)
def test_a_reply_that_is_no_reply(talk, answer):
    """What the client does not understand has a name of ours, and the connection is closed."""
    with MemcachedStore(url=talk(answer), timeout=0.5) as store:
        with pytest.raises((StoreProtocolError, StoreTimeoutError)):
            store.get("key")
        assert not any(connection._sock for connection in store._nodes[0]._idle)


@pytest.mark.faults(145)
@pytest.mark.parametrize("kind", [MemcachedStore, AsyncMemcachedStore])
def test_a_reply_that_drips(talk, kind):
    """A reply that comes a byte at a time ends with the call's deadline, on both sides, and lets its thread go."""
    store = kind(url=talk(b"VALUE default_collection::key 0 4000\r\n" + b"x" * 4000, 0.02), timeout=0.3)
    began = time.monotonic()
    with pytest.raises(StoreTimeoutError) as caught:
        asyncio.run(store.get("key")) if kind is AsyncMemcachedStore else store.get("key")

    assert 0.2 < time.monotonic() - began < 1
    assert caught.value.outcome == "unknown"
    assert store._nodes[0]._permits.qsize() == 32
    store._nodes[0].close()


@pytest.mark.faults(141)
def test_nobody_listens(own_memcached):
    """A server that is not there is a connection error at once, and nothing was applied."""
    own_memcached.kill()
    with (
        MemcachedStore(url=own_memcached.url) as store,
        pytest.raises(StoreConnectionError, match="cannot be reached") as caught,
    ):
        store.put("key", {})

    assert (caught.value.outcome, caught.value.key) == ("not_applied", "key")


@pytest.mark.faults(143)
@pytest.mark.parametrize("warm", [True, False])
def test_a_frozen_server(own_memcached, warm):
    """Each call ends at its deadline, and what the server answers later reaches nobody."""
    with MemcachedStore(url=own_memcached.url) as store:
        store.put_many(["a", "b"], [{"at": "a"}, {"at": "b"}])
        if not warm:
            store._nodes[0]._idle.pop().close()
        store._timeout = 0.3
        own_memcached.freeze()
        for operation in ("get", "delete"):
            began = time.monotonic()
            with pytest.raises(StoreTimeoutError):
                getattr(store, operation)("a")
            assert 0.2 < time.monotonic() - began < 3
        own_memcached.thaw()

        store._timeout = 5.0
        for _ in range(20):
            assert store.get("b") == {"at": "b"}


def test_no_connection_is_free(own_memcached):
    """Whoever waits for a connection does so until the deadline, and was not sent."""
    with MemcachedStore(url=f"{own_memcached.url}?max_connections=1", timeout=1) as store:
        store.put("key", {})
        own_memcached.freeze()

        def get():
            with pytest.raises(StoreTimeoutError):
                store.get("key")

        first = threading.Thread(target=get)
        first.start()
        while not store._nodes[0]._busy:
            time.sleep(0.001)
        with deadline(0.1), pytest.raises(StoreTimeoutError) as caught:
            store.put("key", {"n": 1})
        first.join()
        own_memcached.thaw()

        assert caught.value.outcome == "not_applied"
        store.put("key", {})


@pytest.mark.faults(83)
def test_a_call_whose_caller_has_gone_is_not_sent():
    """What was not sent when its caller went is not sent afterwards; what was, stays marked."""
    early, late = Call(5), Call(5)
    late.send()
    for call in (early, late):
        call.failed(TimeoutError())

    for call in (early, late):
        with pytest.raises(TimeoutError):
            call.send()
    assert (early.sent, late.sent) == (False, True)


@pytest.mark.faults(135)
def test_an_interrupted_call_leaves_no_reply(store, monkeypatch):
    """KeyboardInterrupt between a command and its reply closes the connection: nobody reads that reply."""
    store.put_many(["a", "b"], [{"at": "a"}, {"at": "b"}])
    recv = memcached_client._Socket.recv

    def interrupt(self, size):
        monkeypatch.setattr(memcached_client._Socket, "recv", recv)
        raise KeyboardInterrupt

    for _ in range(20):
        monkeypatch.setattr(memcached_client._Socket, "recv", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.get("a")
        assert store.get("b") == {"at": "b"}
        assert store._nodes[0]._permits.qsize() == 32


def test_a_connection_with_something_to_read_is_not_used(store):
    """A connection on which something lies that nobody asked for is closed, and the call takes a new one."""
    store.put("key", {"n": 1})
    [connection] = store._nodes[0]._idle
    connection._sock._sock.sendall(b"version\r\n")
    time.sleep(0.05)

    assert store.get("key") == {"n": 1}


@pytest.mark.faults(83, 126)
async def test_a_cancelled_put_lands_before_the_next(own_memcached, monkeypatch):
    """What a cancelled caller's call has begun to send does not replace what is written after it; for a moment."""
    sendall, slow = memcached_client._Socket.sendall, threading.Event()

    def send_slowly(self, data):
        if b"first" not in data:
            sendall(self, data)
            return
        self.call.send()
        slow.set()
        time.sleep(pause)
        self._sock.sendall(data)

    async with AsyncMemcachedStore(url=own_memcached.url) as store:
        await store.put("key", {})
        monkeypatch.setattr(memcached_client._Socket, "sendall", send_slowly)
        for seconds, last in ((0.02, "second"), (1.0, "first")):
            pause = seconds
            slow.clear()
            put = asyncio.create_task(store.put("key", {"by": "first"}))
            await asyncio.to_thread(slow.wait)
            put.cancel()
            await asyncio.wait([put])
            start = time.monotonic()
            await store.put("key", {"by": "second"})
            took = time.monotonic() - start
            assert await store.get("key") == {"by": "second"}
            await asyncio.to_thread(settle, store)

            assert await store.get("key") == {"by": last}
            assert took < 1.0


def settle(store):
    """Wait until nothing is out any more."""
    end = time.monotonic() + 10
    while store._nodes[0]._busy and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.faults(125, 126)
async def test_cancelled_calls_disturb_nobody(own_memcached):
    """Calls that are cancelled at random moments leave no reply to another's call, and no connection behind."""
    keys = [f"key {number}" for number in range(50)]
    random.seed(7)
    async with AsyncMemcachedStore(url=own_memcached.url) as store:
        await store.put_many(keys, [{"key": key} for key in keys])
        cancelled = 0
        while cancelled < ROUNDS // 20:
            calls = [
                asyncio.ensure_future(
                    random.choice(
                        [
                            lambda key=key: store.get(key),
                            lambda key=key: store.put(key, {"key": key}),
                            lambda: store.get_many(keys),
                            lambda key=key: store.put_many([key], [{"key": key}]),
                        ]
                    )()
                )
                for key in random.sample(keys, 8)
            ]
            await asyncio.sleep(random.random() * 0.002)
            cancelled += sum(call.cancel() for call in calls)
            key = random.choice(keys)
            assert await store.get(key) == {"key": key}
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                assert not isinstance(answer, Exception), answer
        assert await store.get_many(keys) == [{"key": key} for key in keys]
        assert len(store._nodes[0]._idle) <= 32


@pytest.mark.faults(131)
def test_threads_share_a_store(store):
    """Sixteen threads read what they wrote, through no more connections than there are threads."""
    failed = []

    def work(number):
        for turn in range(ROUNDS // 100):
            store.put(f"key {number}", {"turn": turn})
            if store.get(f"key {number}") != {"turn": turn}:
                failed.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert len(store._nodes[0]._idle) <= 16


@pytest.mark.faults(132)
def test_a_child_opens_its_own_connections(store):
    """After a fork neither reads the other's replies."""
    store.put_many(["a", "b"], [{"at": "a"}, {"at": "b"}])

    def work():
        assert not store._nodes[0]._idle
        for _ in range(500):
            assert store.get("a") == {"at": "a"}

    child = Child(work)
    for _ in range(500):
        assert store.get("b") == {"at": "b"}
    child.check()


@pytest.mark.faults(130)
def test_two_loops_share_a_store(own_memcached):
    """No loop owns a connection: one store serves one loop after the other."""
    store = AsyncMemcachedStore(url=own_memcached.url)
    asyncio.run(store.put("key", {"n": 1}))

    assert asyncio.run(store.get("key")) == {"n": 1}
    asyncio.run(store.close())


@pytest.mark.faults(134)
def test_closing_ends_what_is_out(own_memcached):
    """A call that is out when its store is closed says so, and no socket stays open."""
    before = sockets()
    store = MemcachedStore(url=own_memcached.url)
    store.put("key", {})
    own_memcached.freeze()
    errors = []

    def get():
        try:
            store.get("key")
        except StoreClosedError as error:
            errors.append(error.outcome)

    threads = [threading.Thread(target=get) for _ in range(5)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    store.close()
    for thread in threads:
        thread.join(2)
    own_memcached.thaw()

    assert errors == ["unknown"] * 5
    assert not opened_since(before)


@pytest.mark.faults(134)
def test_a_forgotten_store_closes(own_memcached):
    """A store that nobody holds any more closes its sockets, without a warning."""
    before = sockets()
    store = MemcachedStore(url=own_memcached.url)
    store.put("key", {})
    del store

    assert not opened_since(before)


# Logins, TLS, sockets -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder():
    """A folder that the server, which has no rights, can read and write."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.fixture
def locked(start, folder):
    """A server that wants a login."""
    (folder / "users").write_text("me:p@ss:word\n")
    return start("-Y", str(folder / "users"))


@pytest.mark.faults(144)
def test_logins(locked):
    """The right login is let in, by URL or beside it; another is refused by name, at once and without a secret."""
    with MemcachedStore(url=locked.url.replace("//", "//me:p%40ss:word@")) as store:
        store.put("key", {"n": 1})
    with MemcachedStore(host=locked.host, port=locked.port, username="me", password="p@ss:word") as store:
        assert store.get("key") == {"n": 1}

    for login in ({}, {"username": "me", "password": "secret-canary"}):
        with MemcachedStore(host=locked.host, port=locked.port, **login) as store:
            with pytest.raises(StoreAuthenticationError) as caught:
                store.get("key")
            assert not caught.value.retryable
            assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


class Provider:
    """Somebody whose password changes."""

    password = "wrong"

    def get_credentials(self):
        """Return user and password."""
        return "me", self.password


@pytest.mark.faults(144)
def test_credentials_are_asked_for_at_each_connection(locked):
    """A password that changes is taken for the next connection."""
    provider = Provider()
    with MemcachedStore(host=locked.host, port=locked.port, credential_provider=provider) as store:
        with pytest.raises(StoreAuthenticationError):
            store.get("key")
        provider.password = "p@ss:word"
        store.put("key", {"n": 1})
        assert store.get("key") == {"n": 1}


@pytest.mark.faults(144)
def test_a_provider_that_fails(locked):
    """A credential provider that raises is a refused login; one that gives something else is told what it gives."""
    for given, kind in (
        (KeyError("secret-canary"), StoreAuthenticationError),
        ("secret-canary", ConfigurationError),
        (("me", 7), ConfigurationError),
        (("me", "secret-canary x"), ConfigurationError),
    ):
        provider = Provider()
        provider.get_credentials = Mock(side_effect=[given])
        store = MemcachedStore(host=locked.host, port=locked.port, credential_provider=provider)
        with store, pytest.raises(kind) as caught:
            store.get("key")
        assert "canary" not in str(caught.value)
        assert caught.value.outcome == "not_applied"


@pytest.mark.faults(144)
def test_no_server_keeps_a_login(own_memcached):
    """A server that wants no login takes one for an item; nobody can read the password there."""
    with MemcachedStore(host=own_memcached.host, port=own_memcached.port, username="me", password="p@ss") as store:
        store.put("key", {"n": 1})
        assert store.get("key") == {"n": 1}

    with closing(Client((own_memcached.host, own_memcached.port))) as client:
        assert client.get("login") is None


def test_a_provider_by_its_path():
    """A dotted path names a class or an object; one that is not there, or gives no credentials, is refused."""
    MemcachedStore(credential_provider="redis.credentials.UsernamePasswordCredentialProvider").close()
    for wrong in ("nowhere.Provider", "json.dumps"):
        with pytest.raises(ConfigurationError):
            MemcachedStore(credential_provider=wrong)


@pytest.fixture
def certificate(folder):
    """The files of a certificate for 127.0.0.1, and of its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.faults(117)
@pytest.mark.parametrize("kind", [MemcachedStore, AsyncMemcachedStore])
def test_tls(start, certificate, kind):
    """With TLS entries go encrypted, to a server whose certificate and name are right, and to no other."""
    cert, key = certificate
    server = start("-Z", "-o", f"ssl_chain_cert={cert},ssl_key={key}", scheme="memcacheds")
    url = f"memcacheds://localhost:{server.port}?ssl_ca_certs={cert}"

    def run(call):
        return asyncio.run(call) if asyncio.iscoroutine(call) else call

    store = kind(url=url)
    keys = [f"key {number}" for number in range(1000)]
    run(store.put_many(keys, [{"n": 1}] * 1000))
    assert run(store.get_many(keys)) == [{"n": 1}] * 1000
    run(store.close())
    for wrong in (
        f"memcacheds://localhost:{server.port}",
        f"memcacheds://127.0.0.1:{server.port}?ssl_ca_certs={cert}",
        f"memcached://localhost:{server.port}",
    ):
        store = kind(url=wrong, timeout=1)
        with pytest.raises((StoreConnectionError, StoreTimeoutError)):
            run(store.get("key"))
        run(store.close())


def test_a_unix_socket(folder):
    """A path is the socket of a server on this machine."""
    try:
        binary, _ = next(Memcached().binaries())
    except StopIteration:
        pytest.skip("no memcached on PATH")
    path = folder / "m.sock"
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([str(binary), *user, "-s", str(path), "-a", "0777"])
    try:
        for _ in range(500):
            if path.exists():
                break
            time.sleep(0.01)
        with MemcachedStore(url=f"memcached://{path}", timeout=1) as store:
            store.put("key", {"n": 1})
            assert store.get("key") == {"n": 1}
        with MemcachedStore(servers=[str(path)]) as store:
            assert store.get("key") == {"n": 1}
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
