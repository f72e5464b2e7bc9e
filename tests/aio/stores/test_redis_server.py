"""RedisStore and ValkeyStore when their server is locked, frozen, killed, restarted, full, or read-only."""

import shutil
import subprocess
import time

import pytest
from proxy import Relay
from servers import KINDS

from kv_core.aio._runtime import gather
from kv_core.aio.testing._common import call
from kv_core.capabilities import ALL, capabilities
from kv_core.errors import (
    ConfigurationError,
    StoreAuthenticationError,
    StoreConnectionError,
    StoreFullError,
    StoreTimeoutError,
)

PASSWORD = "p@ss:/w%rd?#é"
QUOTED = "p%40ss%3A%2Fw%25rd%3F%23%C3%A9"


@pytest.fixture
def raw(family, own):
    with family.raw(own.url) as client:
        yield client


class Provider:
    """Asked for the password at each new connection, as `CredentialProvider` of both clients is."""

    asked = 0

    def __init__(self, password):
        self.password = password

    def get_credentials(self):
        self.asked += 1
        return (self.password(),)

    async def get_credentials_async(self):
        return self.get_credentials()


def fixed():
    return PASSWORD


PROVIDER = Provider(fixed)


def login(server, credentials):
    """Return the server's URL with credentials in it."""
    return server.url.replace("://", f"://{credentials}@")


async def refused(store, operation, kind):
    """Make an operation that fails, and return its error and how long it took, in seconds."""
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        await call(store, operation)
    return caught.value, time.monotonic() - start


# Logging in -----------------------------------------------------------------------------------------------------------


@pytest.mark.faults(118, 144)
async def test_logging_in(family, own, raw):
    """A password is percent-decoded in a URL, taken as it is as an argument, and asked from a provider."""
    raw.config_set("requirepass", PASSWORD)
    host = {"host": own.host, "port": own.port}
    for options in (
        {"url": login(own, f":{QUOTED}")},
        {"url": login(own, f"default:{QUOTED}")},
        {"url": f"{own.url}?password={QUOTED}"},
        {**host, "password": PASSWORD},
        {**host, "username": "default", "password": PASSWORD, "db": 3},
        {"url": own.url, "credential_provider": PROVIDER},
    ):
        async with family.store(**options) as store:
            await store.put("key", {"n": 1})
            assert await store.get("key") == {"n": 1}
    assert raw.select(3)
    assert raw.exists("default_collection::key")


@pytest.mark.faults(144)
@pytest.mark.parametrize("credentials", ["", ":wr0ng-s3cret", "nobody:wr0ng-s3cret"])
async def test_a_refused_login(family, own, raw, credentials):
    """A login that the server refuses is an error at once, for every operation, and no miss."""
    raw.config_set("requirepass", PASSWORD)
    url = login(own, credentials) if credentials else own.url
    for operation in sorted(ALL - {"cull"}):
        async with family.store(url=url) as store:
            error, seconds = await refused(store, operation, StoreAuthenticationError)

        assert (error.retryable, error.outcome) == (False, "not_applied"), operation
        assert seconds < 1
        while error is not None:
            assert "wr0ng" not in f"{error} {error!r}"
            error = error.__cause__


@pytest.mark.faults(144)
async def test_a_command_that_is_not_allowed(family, own, raw):
    """A command that the user may not run is a refused login, not an outage; others go on."""
    raw.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["*"], commands=["+get", "+client", "+hello"])
    raw.set("mine", "1")
    async with family.store(url=login(own, "reader:secret")) as store:
        assert await store.get("key") is None
        for operation in ("put", "put_many", "delete", "ttl", "increment", "keys", "destroy", "touch", "get_many"):
            error, _ = await refused(store, operation, StoreAuthenticationError)
            assert (error.retryable, error.outcome) == (False, "not_applied"), operation


@pytest.mark.faults(144)
async def test_a_password_changed_mid_run(family, own, raw):
    """After the password changed, new connections are refused by name, and a provider is asked for the new one."""
    raw.config_set("requirepass", "old")

    provider = Provider(lambda: raw.config_get("requirepass")["requirepass"])
    old = family.store(url=login(own, ":old"))
    async with old, family.store(url=own.url, credential_provider=provider) as asking:
        await gather(*[store.put("key", {"n": 1}) for store in (old, asking)])
        raw.config_set("requirepass", "new")
        raw.client_kill_filter(_type="normal", skipme=True)

        with pytest.raises((StoreAuthenticationError, StoreConnectionError)):
            await old.get("key")
        with pytest.raises(StoreAuthenticationError):
            await old.get("key")
        try:
            found = await asking.get("key")
        except StoreConnectionError:
            found = await asking.get("key")
        assert found == {"n": 1}
        assert provider.asked >= 2


# URLs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(117, 118, 120)
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:s3cret@h/abc", "database number"),
        ("redis://:s3cret@h/1/2", "database number"),
        ("redis://:s3cret@h/-1", "database number"),
        ("redis://:s3cret@h/0?sokcet_timeout=1", "sokcet_timeout"),
        ("redis://:s3cret@h/0?max_entires=1", "max_entires"),
        ("redis://:s3cret@h/0?socket_timeout=soon", "wrong kind"),
        ("redis://:s3cret@h/0?max_connections=many", "wrong kind"),
        ("redis://:s3cret@h/0?retry_on_timeout=1", "RetryWrapper"),
        ("redis://:s3cret@h/0?db=1&db=2", "twice"),
        ("redis://:s3cret@h:port/0", "port"),
        ("redis://:s3cret@h:99999/0", "port"),
        ("redis://:s3cret@h/0#fragment", "#"),
        ("redis://:s3cret@", "host"),
        ("redis:///0", "host"),
        ("http://:s3cret@h", "redis://"),
        ("memory://", "redis://"),
        ("localhost:6379", "URL"),
        ("", "URL"),
        (b"redis://h", "URL"),
    ],
)
def test_urls_are_checked(family, url, said):
    """A URL that would be misread is refused at construction, and no password is shown."""
    if isinstance(url, str):
        url, said = url.replace("redis", family.name), said.replace("redis", family.name)
    with pytest.raises(ConfigurationError) as caught:
        family.store(url=url)

    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "redis://h", "host": "h"}, "host"),
        ({"url": "redis://h", "password": "s3cret"}, "password"),
        ({"client": object(), "url": "redis://:s3cret@h"}, "client"),
        ({"client": object()}, "client= is a .*Cluster, not a builtins.object"),
        ({"host": "h", "port": 0}, "port"),
        ({"host": "h", "port": "6379"}, "port"),
        ({"host": "h", "db": -1}, "db"),
        ({"url": "redis://h", "credential_provider": "no.such.thing"}, "credential_provider"),
        ({"url": "redis://h", "credential_provider": "nothing"}, "credential_provider"),
        ({"url": "redis://h", "timeout": 0}, "timeout"),
        ({"url": "redis://h", "max_entry_size": 0}, "max_entry_size"),
    ],
    ids=lambda options: " ".join(options) if isinstance(options, dict) else None,
)
def test_options_are_checked(family, options, said):
    """Options that contradict each other, or are out of range, are refused at construction."""
    if "url" in options:
        options = options | {"url": options["url"].replace("redis", family.name)}
    with pytest.raises(ConfigurationError, match=said) as caught:
        family.store(**options)

    assert "s3cret" not in str(caught.value)


@pytest.mark.faults(118)
async def test_options_in_the_url_are_honoured(family, own, raw):
    """Database, protocol, timeouts and the client's name are taken from the URL."""
    async with family.store(url=f"{own.url}/5?protocol=3&socket_timeout=1&client_name=named") as store:
        await store.put("key", {"raw": b"\0"}, ttl=60)

        assert (await store.ttl("key"))[0] == {"raw": b"\0"}
        [client] = [client for client in raw.client_list() if client["name"] == "named"]
        assert (client["db"], client["resp"]) == ("5", "3")


@pytest.mark.faults(117)
async def test_tls_is_never_dropped(family, own):
    """A rediss:// URL does not speak in the clear to a server that does."""
    store = family.store(url=own.url.replace("://", "s://"), timeout=0.3)
    with pytest.raises((StoreConnectionError, StoreTimeoutError)) as caught:
        await store.put("key", {"canary": "in the clear"})
    await store.close()

    assert caught.value.outcome == "not_applied"
    with family.raw(own.url) as raw:
        assert raw.dbsize() == 0


@pytest.mark.faults(118)
async def test_unix_sockets(family, tmp_path):
    """A unix:// URL reaches the server by its socket, with password and database, and by nothing else."""
    kind = KINDS[family.name]
    binary, _ = next(kind.binaries(), (None, None))
    if binary is None:
        pytest.skip(f"no {family.name} of our own")
    path = tmp_path / "redis.sock"
    command = [*kind.command(binary, 0, tmp_path), "--unixsocket", str(path), "--requirepass", "p@ss"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + 10
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.002)
            async with family.store(url=f"unix://:p%40ss@{path}?db=2") as store:
                await store.put("key", {"n": 1}, ttl=60)
                assert await store.get("key") == {"n": 1}
                assert await store.increment("count", initial=0) == 1
            with family.raw(f"unix://:p%40ss@{path}?db=2") as client:
                assert client.exists("default_collection::key")
        finally:
            process.terminate()
    async with family.store(url=f"unix://:p%40ss@{path}?db=2") as store:
        error, _ = await refused(store, "get", StoreConnectionError)
        assert error.outcome == "not_applied"


# A server that does not answer ----------------------------------------------------------------------------------------


@pytest.mark.faults(141)
async def test_a_server_that_is_not_there(family, own):
    """Without a server every operation says so at once, and that nothing was done."""
    own.kill()
    async with family.store(url=login(own, ":s3cret")) as store:
        for operation in capabilities(store):
            error, seconds = await refused(store, operation, StoreConnectionError)

            assert (error.retryable, error.outcome) == (True, "not_applied"), operation
            assert seconds < 1
            while error is not None:
                assert "s3cret" not in f"{error} {error!r}"
                error = error.__cause__


@pytest.mark.faults(60)
@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_is_stepped_moves_no_deadline(family, own, monkeypatch, hours):
    """A step of this machine's clock neither shortens nor lengthens a wait, nor a ttl."""
    real = time.time
    async with family.store(url=own.url) as store:
        await store.put("key", {"n": 1}, ttl=60)
        monkeypatch.setattr(time, "time", lambda: real() + 3600 * hours)
        assert 50 < (await store.ttl("key"))[1] <= 60
        store._timeout = 0.2
        own.freeze()
        try:
            _, seconds = await refused(store, "get", StoreTimeoutError)
        finally:
            own.thaw()
        assert 0.15 < seconds < 2


@pytest.mark.faults(83, 143)
async def test_what_was_sent_may_arrive(family, own):
    """A write that timed out after it was sent has an unknown outcome, because it is applied later."""
    async with family.store(url=own.url, timeout=0.1) as store:
        await store.get("warm")
        own.freeze()
        try:
            error, _ = await refused(store, "increment", StoreTimeoutError)
        finally:
            own.thaw()

        assert error.outcome == "unknown"
        assert "key" in str(error)
    async with family.store(url=own.url) as store:
        assert await store.increment("key", 0, initial=0) in {0, 1}


@pytest.mark.faults(127)
async def test_connections_that_the_server_closed(family, own, raw):
    """Connections that died while they lay in the pool cost at most a named error, never a wrong value."""
    async with family.store(url=own.url) as store:
        await gather(*[store.put(f"key {number}", {"n": number}) for number in range(10)])
        raw.client_kill_filter(_type="normal", skipme=True)

        failed = 0
        for number in [*range(10)] * 3:
            try:
                assert await store.get(f"key {number}") == {"n": number}
            except StoreConnectionError:
                failed += 1

        assert failed <= 10
        assert await store.get("key 3") == {"n": 3}


# A client that is passed in -------------------------------------------------------------------------------------------


class LosingOne(Relay):
    """Lose the next answer when it is told to, by hanging up."""

    losing = False

    def _answer(self, data, server, client):
        if self.losing:
            self.losing = False
            return False
        return super()._answer(data, server, client)


@pytest.mark.faults(79, 81, 105)
async def test_a_passed_client_repeats_nothing(family, own):
    """A client that would repeat a command whose answer was lost does not for the store: it may have been done."""
    relay = LosingOne(own.host, own.port)
    retry = family.library.no_retry()
    retry._retries = 3
    client = family.client(host="127.0.0.1", port=relay.port, retry=retry)
    try:
        async with family.store(client=client) as store:
            assert await store.increment("key", initial=0) == 1
            relay.losing = True
            error, _ = await refused(store, "increment", StoreConnectionError)

            assert error.outcome == "unknown"
            assert await store.get("key") == {"value": 2}
    finally:
        await family.library.borrow(client).close()
        relay.close()


@pytest.mark.faults(105, 143)
async def test_a_passed_client_that_would_wait_longer(family, own):
    """A client without timeouts of its own waits until the store's, connecting or connected, and keeps its own."""
    client = family.client.from_url(own.url, socket_timeout=None, socket_connect_timeout=None)
    async with family.store(client=client, timeout=0.3) as store:
        own.freeze()
        try:
            error, seconds = await refused(store, "put", StoreTimeoutError)
            assert error.outcome == "not_applied"
            assert 0.2 < seconds < 2
        finally:
            own.thaw()
        assert await store.get("key") is None
        own.freeze()
        try:
            error, seconds = await refused(store, "put", StoreTimeoutError)
            assert error.outcome == "unknown"
            assert 0.2 < seconds < 2
        finally:
            own.thaw()
        await store.put("key", {"n": 2})
        assert await store.get("key") == {"n": 2}

    assert await client.blpop("nothing", timeout=0.6) is None
    await family.library.borrow(client).close()


@pytest.mark.faults(105)
async def test_a_passed_client_with_another_encoding(family, own):
    """Names are UTF-8 whatever the client's encoding is, in a URL too, so every store finds them."""
    client = family.client.from_url(own.url, encoding="latin-1", decode_responses=True)
    async with (
        family.store(client=client) as passed,
        family.store(url=f"{own.url}?encoding=latin-1") as told,
        family.store(url=own.url) as plain,
    ):
        for number, store in enumerate((passed, told, plain)):
            await store.put_many([f"é{number}", f"日本{number}"], [{}, {}], ttl=60)
        for store in (passed, told, plain):
            assert await store.get_many(["é0", "日本0", "é1", "日本1", "é2", "日本2"]) == [{}] * 6
            assert len(await store.keys()) == 6
            assert await store.get("é0") == {}
    await family.library.borrow(client).close()


# A server that refuses ------------------------------------------------------------------------------------------------


@pytest.mark.faults(108)
async def test_a_full_server(family, own, raw):
    """Beyond maxmemory every write is a StoreFullError, nothing is half written, and reads go on."""
    async with family.store(url=own.url) as store:
        await store.put_many(["key", "count"], [{"old": True}, {"value": 1}])
        found = await store.get_with_revision("key")
        await store.put_many(["warm"], [{}], ttl=60)
        raw.config_set("maxmemory-policy", "noeviction")
        raw.config_set("maxmemory", 1)

        for write in (
            lambda: store.put("key", {"n": 1}),
            lambda: store.put("new", {"n": 1}),
            lambda: store.put_many(["new", "key"], [{"n": 1}] * 2),
            lambda: store.put_many(["new", "key"], [{"n": 1}] * 2, ttl=60),
            lambda: store.put_if_absent("new", {"n": 1}),
            lambda: store.put_if_present("key", {"n": 1}),
            lambda: store.put_if_unchanged("key", {"n": 1}, found[1]),
            lambda: store.increment("count"),
            lambda: store.increment("new", initial=0),
        ):
            with pytest.raises(StoreFullError) as caught:
                await write()
            assert (caught.value.outcome, caught.value.retryable) == ("not_applied", False)

        assert await store.get_many(["key", "count", "new"]) == [{"old": True}, {"value": 1}, None]
        assert (await store.ttl("key"))[1] is None
        assert await store.delete("warm") is True
        raw.config_set("maxmemory", 0)
        await store.put("new", {"n": 1})
        assert await store.get("new") == {"n": 1}


@pytest.mark.faults(108)
async def test_a_server_that_cannot_save(family, own, raw):
    """When the server takes no writes because it cannot save, they are a StoreFullError, and reads go on."""
    async with family.store(url=own.url) as store:
        await store.put("key", {"value": 1})
        shutil.rmtree(raw.config_get("dir")["dir"])
        raw.config_set("save", "3600 1")
        raw.bgsave()
        while raw.info("persistence")["rdb_bgsave_in_progress"]:
            time.sleep(0.005)
        assert raw.info("persistence")["rdb_last_bgsave_status"] == "err"

        for operation in ("put", "put_many", "increment", "delete", "put_if_absent"):
            error, _ = await refused(store, operation, StoreFullError)
            assert error.outcome == "not_applied"
        assert await store.get("key") == {"value": 1}
        raw.config_set("save", "")


async def test_a_read_only_server(family, own, raw, start_server):
    """A replica refuses writes by a named error that may pass, and nothing was done; reads go on."""
    primary = start_server()
    raw.replicaof(primary.host, primary.port)
    async with family.store(url=own.url) as store:
        for operation in ("put", "put_many", "increment", "delete", "touch", "put_if_absent"):
            error, _ = await refused(store, operation, StoreConnectionError)
            assert (error.retryable, error.outcome) == (True, "not_applied"), operation
        assert await store.get("key") is None


async def test_an_evicting_server(family, own, raw):
    """A server that was told to evict drops entries, which are misses then and no errors."""
    raw.config_set("maxmemory-policy", "allkeys-lru")
    raw.config_set("maxmemory", raw.info("memory")["used_memory"] + 3_000_000)
    async with family.store(url=own.url) as store:
        keys = [f"key {number}" for number in range(2000)]
        for start in range(0, 2000, 100):
            await store.put_many(keys[start : start + 100], [{"t": "x" * 10_000}] * 100)

        found = await store.get_many(keys)

        assert None in found
        assert {"t": "x" * 10_000} in found
