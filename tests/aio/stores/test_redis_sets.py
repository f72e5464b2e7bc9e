"""RedisStore and ValkeyStore on a cluster and behind sentinels: the contract, many nodes, and failovers."""

import os
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from proxy import Misbehaving
from servers import KINDS
from servers.redis_sets import cluster_port, say, until

from kv_core import address
from kv_core.aio._runtime import gather, sleep
from kv_core.aio.testing import StoreContract
from kv_core.aio.wrappers.retry import RetryWrapper
from kv_core.errors import (
    ConfigurationError,
    PartialFailureError,
    StoreConnectionError,
    StoreTimeoutError,
)

CLUSTERS = ["redis_cluster", "valkey_cluster"]
SENTINELS = ["redis_sentinel", "valkey_sentinel"]
ONES = slice(None if os.environ.get("KV_TEST_FULL") else 1)
"""What takes seconds is shown on Valkey in a full run only."""

on_clusters = pytest.mark.parametrize("family", CLUSTERS, indirect=True, scope="module")
on_sentinels = pytest.mark.parametrize("family", SENTINELS, indirect=True, scope="module")
on_a_cluster = pytest.mark.parametrize("family", CLUSTERS[ONES], indirect=True, scope="module")
on_a_sentinel = pytest.mark.parametrize("family", SENTINELS[ONES], indirect=True, scope="module")


@pytest.fixture(scope="module")
def family(request, family_of):
    return family_of(request.param)


@pytest.fixture(scope="module")
def primaries(family):
    """A plain client for each primary."""
    servers = family.shared.servers
    names = [name for name in servers if name.startswith(("node", "primary"))]
    with ExitStack() as stack:
        yield [stack.enter_context(family.raw(servers[name].url)) for name in names]


@pytest.fixture
def empty(primaries):
    """The servers, which are ours, are empty when the test begins and when it has ended."""
    for raw in primaries:
        raw.flushdb()
    yield
    for raw in primaries:
        raw.flushdb()


@pytest.fixture
def url(family, empty):
    return family.shared.url


@pytest.fixture
async def store(family, url):
    async with family.store(url=url) as store:
        yield store


@pytest.mark.parametrize("family", [*CLUSTERS[ONES], *SENTINELS[ONES]], indirect=True, scope="module")
class TestStore(StoreContract):
    """The contract, on several servers."""

    @pytest.fixture
    def make(self, family, url):
        return lambda: family.store(url=url)

    @pytest.fixture
    async def store(self, make):
        async with make() as store:
            yield store


# A cluster ------------------------------------------------------------------------------------------------------------


KEYS = [f"key {number}" for number in range(100)]


def slot_of(raw, key):
    return raw.execute_command("CLUSTER KEYSLOT", address.encode("default_collection", key))


def keys_of(raw):
    return {address.decode(name.decode())[1] for name in raw.scan_iter()}


@on_clusters
@pytest.mark.faults(107)
async def test_bulk_across_slots(store, primaries):
    """Bulk operations reach every node, and answers come in the order of the keys, absent ones and repeats included."""
    await store.put_many(KEYS, [{"of": key} for key in KEYS], ttl=[60, None] * 50)
    asked = [*reversed(KEYS), "none", KEYS[3], KEYS[3]]

    assert all(raw.dbsize() > 10 for raw in primaries)
    assert await store.get_many(asked) == [None if key == "none" else {"of": key} for key in asked]
    left = await store.ttl_many(asked)
    assert [value for value, _ in left] == [None if key == "none" else {"of": key} for key in asked]
    assert all(50 < seconds <= 60 for (_, seconds), key in zip(left, asked, strict=True) if key in KEYS[::2])
    assert {seconds for (_, seconds), key in zip(left, asked, strict=True) if key not in KEYS[::2]} == {None}
    assert sorted(await store.keys()) == sorted(KEYS)
    assert await store.delete_many([*KEYS[:50], "none"]) == 50
    assert await store.destroy() is True
    assert sum(raw.dbsize() for raw in primaries) == 0


@on_clusters
async def test_a_bulk_operation_is_one_round_trip_to_each_node(family, url, monkeypatch):
    """However many keys there are, each node is asked once."""
    async with family.store(url=url) as store:
        await store.put_many(KEYS, [{}] * 100, ttl=60)
        await store.ttl_many(KEYS)
        trips = []
        link = store._clients.current()
        for server in link._servers.values():
            client = server._client
            for name in ("_send", "_send_all"):
                real = getattr(client, name)

                def counted(*arguments, real=real):
                    trips.append(arguments)
                    return real(*arguments)

                monkeypatch.setattr(client, name, counted)

        for operation, *arguments in (
            ("put_many", KEYS, [{}] * 100),
            ("get_many", KEYS),
            ("ttl_many", KEYS),
            ("delete_many", KEYS),
        ):
            trips.clear()
            await getattr(store, operation)(*arguments)
            assert len(trips) == 3, operation


@on_clusters
@pytest.mark.faults(107)
async def test_a_slot_that_moves(store, primaries):
    """While a slot moves and when it has moved, its keys are found, alone and among others, and written once."""
    await store.put_many(KEYS, [{"of": key} for key in KEYS])
    slot = slot_of(primaries[0], "key 7")
    ids = [raw.execute_command("CLUSTER MYID").decode() for raw in primaries]
    [old] = [number for number, raw in enumerate(primaries) if raw.execute_command("CLUSTER COUNTKEYSINSLOT", slot)]
    new = (old + 1) % 3
    port = primaries[new].connection_pool.connection_kwargs["port"]

    def assign(to):
        for raw in primaries:
            raw.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[to])

    async def all_there():
        assert await store.get("key 7") == {"of": "key 7"}
        assert await store.get_many(KEYS) == [{"of": key} for key in KEYS]
        assert (await store.ttl_many(KEYS))[7] == ({"of": "key 7"}, None)

    try:
        primaries[new].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[old])
        primaries[old].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[new])
        await all_there()
        name = address.encode("default_collection", "key 7")
        primaries[old].execute_command("MIGRATE", "127.0.0.1", port, name, 0, 5000)
        await all_there()
        await store.put("key 7", {"of": "key 7"}, ttl=60)
        await store.put_many(KEYS, [{"of": key} for key in KEYS])
        assert await store.increment("count", initial=0) == 1
        await all_there()
        assign(new)
        await all_there()
        assert await store.delete("count") is True
        assert primaries[new].exists(name) == 1
    finally:
        for raw in primaries:
            raw.flushdb()
        assign(old)


@on_clusters
async def test_scripts_that_the_nodes_forgot_are_sent_again(store, primaries):
    """After SCRIPT FLUSH on every node scripts run as before, one key alone and many."""
    await store.put_many(KEYS, [{"value": 1}] * 100)
    for raw in primaries:
        raw.script_flush()

    assert await store.ttl_many(KEYS) == [({"value": 1}, None)] * 100
    assert await gather(*[store.increment(key) for key in KEYS]) == [2] * 100


@on_a_cluster
@pytest.mark.faults(87, 141)
async def test_a_node_that_is_gone(family, request):
    """Without one node the others go on; a bulk write says which keys were done and which were not, a read fails."""
    own = request.getfixturevalue(f"own_{family.name}_cluster")
    async with family.store(url=own.url, timeout=2) as store:
        await store.put_many(KEYS, [{"n": 1}] * 100)
        for _ in range(2):
            await gather(*[store.get(key) for key in KEYS])
        gone = own.servers["node 1"]
        with family.raw(gone.url) as raw:
            lost = keys_of(raw)
        gone.kill()
        await gather(*[_quietly(store.get, key) for key in sorted(lost)])  # the open connections notice

        with pytest.raises(PartialFailureError) as caught:
            await store.put_many(KEYS, [{"n": 2}] * 100, ttl=60)
        assert set(caught.value.failed) == lost
        assert not caught.value.unknown
        assert set(caught.value.succeeded) == set(KEYS) - lost
        assert {type(error) for error in caught.value.failed.values()} == {StoreConnectionError}
        assert caught.value.retryable
        with pytest.raises(PartialFailureError) as caught:
            await store.delete_many(KEYS[:50])
        assert set(caught.value.failed) == lost & set(KEYS[:50])
        with pytest.raises(StoreConnectionError):
            await store.get_many(KEYS)
        with pytest.raises(StoreConnectionError) as refused:
            await store.get(min(lost))
        assert refused.value.outcome == "not_applied"
        assert await store.get(max(set(KEYS[50:]) - lost)) == {"n": 2}
        for listing in (store.keys, store.destroy):
            with pytest.raises(StoreConnectionError):
                await listing()


async def _quietly(operation, key):
    try:
        return await operation(key)
    except StoreConnectionError:
        return None


@on_a_cluster
@pytest.mark.faults(143)
async def test_a_node_that_is_frozen(family, request):
    """A silent node costs its keys' operations their deadline; others are answered, and nothing stale comes later."""
    own = request.getfixturevalue(f"own_{family.name}_cluster")
    async with family.store(url=own.url, timeout=0.3) as store:
        await store.put_many(KEYS, [{"of": key} for key in KEYS])
        frozen = own.servers["node 2"]
        with family.raw(frozen.url) as raw:
            silent = sorted(keys_of(raw))
        frozen.freeze()
        try:
            for operation in (store.get, store.delete):
                start = time.monotonic()
                with pytest.raises(StoreTimeoutError):
                    await operation(silent[0])
                assert 0.2 < time.monotonic() - start < 1
            with pytest.raises((StoreTimeoutError, PartialFailureError)) as caught:
                await store.put_many(KEYS, [{"n": 1}] * 100)
            assert caught.value.outcome == "unknown"
            other = next(key for key in KEYS if key not in silent)
            assert await store.get(other) in ({"of": other}, {"n": 1})
            async with family.store(url=own.url, timeout=2) as fresh:
                assert await fresh.get(other) in ({"of": other}, {"n": 1})
        finally:
            frozen.thaw()
        store._timeout = 5.0
        await store.put_many(KEYS, [{"new": key} for key in KEYS])
        for _ in range(3):
            assert await store.get_many(KEYS) == [{"new": key} for key in KEYS]


@pytest.fixture
def replicated(family, request):
    """A cluster whose first node has a replica: the node and its replica, and the cluster's URL."""
    own = request.getfixturevalue(f"own_{family.name}_cluster")
    node = own.servers["node 0"]
    kind = KINDS[family.name]
    options = {"--cluster-enabled": "yes", "--cluster-node-timeout": 2000, "--repl-diskless-sync-delay": 0}
    binary, where = next(kind.binaries())
    replica = kind.with_options(options, port=cluster_port).start_binary(binary, where)
    try:
        say(replica, "CLUSTER MEET", node.host, node.port)
        until(lambda: say(replica, "CLUSTER REPLICATE", say(node, "CLUSTER MYID")))
        until(lambda: say(replica, "INFO", "replication")["master_link_status"] == "up")
        for other in own.servers.values():
            until(lambda one=other: any(len(slots) == 4 for slots in say(one, "CLUSTER SLOTS")))
        yield node, replica, own.url
    finally:
        replica.stop()


@on_a_cluster
@pytest.mark.faults(76, 147)
async def test_a_retry_wrapper_bridges_a_failover_of_a_node(family, replicated):
    """With retries for as long as a failover takes, reads and puts succeed after a node died, alone and in bulk."""
    node, replica, url = replicated
    async with family.store(url=url, timeout=1) as store:
        await store.put_many(KEYS, [{"of": key} for key in KEYS])
        with family.raw(node.url) as raw:
            lost = sorted(keys_of(raw))
            raw.wait(1, 1000)
        patient = RetryWrapper(store, max_retries=500, max_delay=0.2, max_elapsed=40)
        node.kill()
        with pytest.raises(StoreConnectionError):
            await RetryWrapper(store, max_retries=1, initial_delay=0).get(lost[0])

        found, *_ = await gather(
            patient.get(lost[0]),
            patient.put(lost[1], {"n": 1}, ttl=60),
            patient.put_many([key for key in KEYS if key not in lost[:2]], [{"n": 2}] * (len(KEYS) - 2)),
        )
        assert found == {"of": lost[0]}
        assert await patient.get_many([*lost[:2], KEYS[-1]]) == [{"of": lost[0]}, {"n": 1}, {"n": 2}]
        assert say(replica, "INFO", "replication")["role"] == "master"


# A cluster client that is passed in -----------------------------------------------------------------------------------


def hosts(url):
    """Return the addresses in a URL."""
    return [(host, int(port)) for host, _, port in (each.rpartition(":") for each in urlsplit(url).netloc.split(","))]


@pytest.fixture
def connect(family, url):
    """A function that makes a cluster client as a user would, of the first node."""
    [host, port], *_ = hosts(url)
    return lambda **options: family.library.cluster(**({"host": host, "port": port} | options))


@on_clusters
@pytest.mark.faults(105, 107)
@pytest.mark.parametrize(
    "options",
    [{}, {"decode_responses": True, "protocol": 3}, {"max_connections": 2}, {"encoding": "latin-1"}],
    ids=str,
)
async def test_any_cluster_client_will_do(family, primaries, connect, options):
    """A cluster client works however it was configured, with a round trip to each node, and is not closed."""
    async with connect(**options) as client, family.store(client=client) as store:
        await store.put_many(KEYS, [{"of": key, "raw": b"\xff\0"} for key in KEYS], ttl=60)
        await store.put("é 日本", {"n": 1})

        assert all(raw.dbsize() > 10 for raw in primaries)
        assert await store.get_many([*KEYS, "none"]) == [*[{"of": key, "raw": b"\xff\0"} for key in KEYS], None]
        assert await store.get("é 日本") == {"n": 1}
        assert await gather(*[store.increment("count", initial=2**53) for _ in range(9)])
        assert await store.get("count") == {"value": 2**53 + 9}
        assert 50 < (await store.ttl(KEYS[0]))[1] <= 60
        assert sorted(await store.keys()) == sorted([*KEYS, "é 日本", "count"])
        assert await store.delete_many(KEYS) == 100
        assert await store.destroy() is True
        await store.close()

        assert await client.ping()


@on_clusters
@pytest.mark.faults(105)
async def test_what_a_cluster_client_logs_in_with(family, primaries, connect):
    """The store logs in as the client does, by a name of its own, asks primaries alone, and hangs up when it closes."""

    def named():
        return [each for raw in primaries for each in raw.client_list() if each["name"] == "app's"]

    for raw in primaries:
        raw.execute_command("ACL", "SETUSER", "app", "reset", "on", ">s3cret", "~*", "+@all")
    try:
        async with connect(username="app", password="s3cret", client_name="app's") as client:
            before = len(named())
            async with family.store(client=client) as store:
                await store.put_many(KEYS, [{}] * 100)
                assert len(named()) == before + 3
                assert {each["user"] for each in named()} == {"app"}
                assert "s3cret" not in repr(store)
            assert len(named()) == before
            assert await client.ping()
    finally:
        for raw in primaries:
            raw.execute_command("ACL", "DELUSER", "app")


@on_clusters
async def test_a_cluster_whose_addresses_are_mapped(family, primaries, url, connect):
    """Nodes are reached where the client's `address_remap` says, the one that a slot has moved to, too."""
    relays = {(host, port): Misbehaving(host, port) for host, port in hosts(url)}
    there = {address: ("127.0.0.1", relay.port) for address, relay in relays.items()}
    try:
        host, port = there[hosts(url)[0]]
        client = connect(host=host, port=port, address_remap=lambda address: there[address])
        async with client, family.store(client=client) as store:
            await store.put_many(KEYS, [{"of": key} for key in KEYS])
            link = store._clients.current()
            link._slots.owners[:] = [link._slots.primaries[0]] * len(link._slots.owners)
            assert await store.get_many(KEYS) == [{"of": key} for key in KEYS]
            assert {f"127.0.0.1:{relay.port}" for relay in relays.values()} == set(link._servers)
    finally:
        for relay in relays.values():
            relay.close()


@on_a_cluster
@pytest.mark.faults(107)
async def test_a_node_that_does_not_know_its_name(family, primaries, url):
    """Where nodes give ports alone, in their slots and when they send elsewhere, they are found at the host asked."""
    for raw in primaries:
        raw.config_set("cluster-preferred-endpoint-type", "unknown-endpoint")
    try:
        async with family.store(url=url) as store:
            await store.put_many(KEYS, [{"of": key} for key in KEYS])
            link = store._clients.current()
            link._slots.owners[:] = [link._slots.primaries[0]] * len(link._slots.owners)
            assert await store.get_many(KEYS) == [{"of": key} for key in KEYS]
            assert await store.get(KEYS[5]) == {"of": KEYS[5]}
            assert len(link._servers) == 3
    finally:
        for raw in primaries:
            raw.config_set("cluster-preferred-endpoint-type", "ip")


# Behind sentinels -----------------------------------------------------------------------------------------------------


@on_a_sentinel
@pytest.mark.faults(147, 148)
async def test_a_failover(family, request):
    """When the primary dies, errors have names until the replica has taken over; each write there has its whole ttl."""
    own = request.getfixturevalue(f"own_{family.name}_sentinel")
    async with family.store(url=own.url, timeout=1) as store:
        await store.put("before", {"n": 0}, ttl=60)
        with family.raw(own.servers["primary"].url) as raw:
            raw.wait(1, 1000)
        acknowledged = []
        failed = []
        deadline = time.monotonic() + 30
        own.servers["primary"].kill()
        while len(acknowledged) < 20 and time.monotonic() < deadline:
            key = f"key {len(acknowledged) + len(failed)}"
            try:
                await store.put(key, {"of": key}, ttl=60)
                acknowledged.append(key)
            except (StoreConnectionError, StoreTimeoutError) as error:
                failed.append(error)
                await sleep(0.02)

        assert len(acknowledged) == 20
        assert any(error.outcome == "not_applied" for error in failed)
        assert [value for value in await store.get_many(acknowledged) if value is None] == []
        with family.raw(own.servers["replica"].url) as raw:
            left = [raw.pttl(address.encode("default_collection", key)) for key in acknowledged]
        assert all(55_000 < milliseconds <= 60_000 for milliseconds in left)
        value, seconds = await store.ttl("before")
        assert value == {"n": 0}
        assert 20 < seconds < 60


@on_a_sentinel
@pytest.mark.faults(76, 147)
async def test_a_retry_wrapper_bridges_a_failover(family, request):
    """With retries for as long as a failover takes, reads and puts succeed after the primary died."""
    own = request.getfixturevalue(f"own_{family.name}_sentinel")
    async with family.store(url=own.url, timeout=1) as store:
        await store.put_many(KEYS, [{"of": key} for key in KEYS])
        with family.raw(own.servers["primary"].url) as raw:
            raw.wait(1, 1000)
        patient = RetryWrapper(store, max_retries=500, max_delay=0.2, max_elapsed=30)
        own.servers["primary"].kill()
        with pytest.raises(StoreConnectionError):
            await RetryWrapper(store, max_retries=1, initial_delay=0).get(KEYS[0])

        assert await patient.get(KEYS[0]) == {"of": KEYS[0]}
        with family.raw(own.servers["replica"].url) as raw:
            assert raw.info("replication")["role"] == "master"
        await patient.put("new", {"n": 1}, ttl=60)
        await patient.put_many(KEYS, [{"new": key} for key in KEYS])
        assert await patient.get_many([*KEYS, "new"]) == [*[{"new": key} for key in KEYS], {"n": 1}]


@on_a_sentinel
@pytest.mark.faults(76, 147)
async def test_a_retry_wrapper_bridges_a_failover_for_puts(family, request):
    """A put that is the first to meet the dead primary succeeds in the end, alone and in bulk, on the new one."""
    own = request.getfixturevalue(f"own_{family.name}_sentinel")
    async with family.store(url=own.url, timeout=1) as store:
        patient = RetryWrapper(store, max_retries=500, max_delay=0.2, max_elapsed=30)
        await store.put("warm", {})
        own.servers["primary"].kill()

        await gather(patient.put("one", {"n": 1}, ttl=60), patient.put_many(KEYS, [{"of": key} for key in KEYS]))

        with family.raw(own.servers["replica"].url) as raw:
            assert raw.info("replication")["role"] == "master"
            assert raw.dbsize() >= 101
        assert await store.get_many([*KEYS, "one"]) == [*[{"of": key} for key in KEYS], {"n": 1}]


@on_a_sentinel
@pytest.mark.faults(143, 147)
async def test_a_primary_that_is_demoted(family, request):
    """A write that the former primary refuses was not applied, and the next one goes to the new primary."""
    own = request.getfixturevalue(f"own_{family.name}_sentinel")
    async with family.store(url=own.url, timeout=2) as store:
        await gather(*[store.put(f"key {number}", {"n": number}) for number in range(5)])
        with family.raw(own.servers["sentinel 0"].url) as raw:
            raw.execute_command("SENTINEL FAILOVER", "mymaster")
        with family.raw(own.servers["replica"].url) as raw:
            deadline = time.monotonic() + 20
            while raw.info("replication")["role"] != "master" and time.monotonic() < deadline:
                await sleep(0.01)
        with family.raw(own.servers["primary"].url) as raw:
            raw.replicaof("127.0.0.1", own.servers["replica"].port)  # as the sentinels will tell it in ten seconds
        done, refused = 0, []
        while done < 20 and time.monotonic() < deadline:
            try:
                await store.put(f"new {done}", {"n": done})
                done += 1
            except StoreConnectionError as error:
                refused.append(error.outcome)

        assert refused
        assert set(refused) <= {"not_applied", "unknown"}

        with family.raw(own.servers["replica"].url) as raw:
            assert raw.exists(*[f"default_collection::new {number}" for number in range(20)]) == 20


@on_sentinels
async def test_a_silent_sentinel_is_passed_over(family, url):
    """An address where nobody answers, or nobody listens, leaves time to ask the next one."""
    import socket

    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        dead = f"127.0.0.1:1,127.0.0.1:{silent.getsockname()[1]},"
        start = time.monotonic()
        async with family.store(url=url.replace("://", f"://{dead}"), timeout=2) as store:
            await store.put("key", {"n": 1})
            assert await store.get("key") == {"n": 1}
        assert time.monotonic() - start < 1.9


@on_sentinels
@pytest.mark.faults(141)
async def test_a_name_that_no_sentinel_knows(family, url):
    """A primary that the sentinels do not know is an outage; nothing was done."""
    async with family.store(url=url.replace("mymaster", "nobody")) as store:
        with pytest.raises(StoreConnectionError) as caught:
            await store.put("key", {})
    assert caught.value.outcome == "not_applied"


@on_sentinels
@pytest.mark.faults(105)
async def test_a_client_that_asks_sentinels(family, url, primaries):
    """A client that a `Sentinel` of the user's made works, and is not closed."""
    manager = family.library.manager(hosts(url))
    client = manager.master_for("mymaster", decode_responses=True)
    async with family.store(client=client) as store:
        await store.put_many(KEYS, [{"of": key, "raw": b"\xff"} for key in KEYS], ttl=60)

        assert primaries[0].dbsize() == 100
        assert await store.get_many(KEYS) == [{"of": key, "raw": b"\xff"} for key in KEYS]
        assert await store.increment("count", initial=1) == 2
        assert sorted(await store.keys()) == sorted([*KEYS, "count"])
        assert await store.destroy() is True

    assert await client.ping()
    for each in (client, *manager.sentinels):
        await family.library.borrow(each).close()


# URLs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.faults(118, 120)
@pytest.mark.parametrize("family", ["redis", "valkey"], indirect=True, scope="module")
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+cluster://:s3cret@a,b/1", "one database"),
        ("redis+cluster://:s3cret@a,b?db=1", "one database"),
        ("redis+cluster://:s3cret@a,,b", "no host"),
        ("redis+cluster://:s3cret@a:x,b", "port"),
        ("redis+cluster://:s3cret@a?sokcet_timeout=1", "sokcet_timeout"),
        ("redis+sentinel://:s3cret@a,b", "/mymaster/0"),
        ("redis+sentinel://:s3cret@a,b/mymaster/x", "database number"),
        ("redis+sentinel://:s3cret@a,b/mymaster?sentinel_name=x", "sentinel_name"),
        ("redis+ring://:s3cret@a,b", "+cluster or +sentinel"),
        ("redis://:s3cret@a,b", "redis+cluster"),
    ],
)
def test_urls_are_checked(family, url, said):
    """A URL of several servers that would be misread is refused at construction, and no password is shown."""
    with pytest.raises(ConfigurationError) as caught:
        family.store(url=url.replace("redis", family.name))

    assert said.replace("redis", family.name) in str(caught.value)
    assert "s3cret" not in str(caught.value)
