"""Every scheme that settings can name builds its store on both sides, and what is wrong with it is said at once."""

import asyncio
import inspect
import socket
import subprocess
import sys
import threading

import pytest
from clock import stopwatch
from forks import sockets
from locations import NETWORK, OTHERS, PLAIN, SECURE, location
from network import DROPPED
from network import NETWORK as SERVERS
from stores import SIDES

from kv_core.errors import BaseKeyValueError, ConfigurationError, StoreConnectionError
from kv_core.kinds import STORES
from kv_core.registry import Registry
from kv_core.settings import parse_stack

pytestmark = DROPPED

each_scheme = pytest.mark.parametrize("scheme", STORES)
each_network_scheme = pytest.mark.parametrize("scheme", NETWORK)
each_side = pytest.mark.parametrize("side", SIDES)

EXTRAS = {
    "disk": ("disk", "diskcache"),
    "multi-disk": ("disk", "diskcache"),
    "redis": ("redis", "redis"),
    "valkey": ("valkey", "valkey"),
    "memcached": ("memcached", "pymemcache"),
    "mongodb": ("mongodb", "pymongo"),
    "elasticsearch": ("elasticsearch", "elasticsearch"),
}
"""The extra that a scheme needs, and the library that it brings."""


def call(spec, side, operation, *arguments):
    """Make one operation on a store of its own, and close it."""

    async def wait():
        store = spec.build_async()
        try:
            return await getattr(store, operation)(*arguments)
        finally:
            await store.close()

    if side == "aio":
        return asyncio.run(wait())
    store = spec.build_sync()
    try:
        return getattr(store, operation)(*arguments)
    finally:
        store.close()


def test_every_scheme_is_tested():
    """A scheme that settings can name is in the table of these tests."""
    assert {*NETWORK, *OTHERS} == STORES.keys()
    assert {STORES[scheme].sync for scheme in EXTRAS} == {
        STORES[scheme].sync for scheme in STORES if scheme not in {"memory", "simple", "null"}
    }


@each_scheme
def test_a_location_builds_both_sides(scheme, tmp_path):
    """The scheme picks the store, its options arrive, and nothing is sent or made before the first operation."""
    spec = parse_stack({"LOCATION": location(scheme, tmp_path), "STORE": {"timeout": "0.25"}, "COLLECTION": "app"})

    built = {"sync": spec.build_sync(), "aio": spec.build_async()}
    for side, store in built.items():
        kind = STORES[scheme]
        assert type(store) is (kind.load_sync() if side == "sync" else kind.load_async())
        assert store.default_collection == "app"
        assert store._timeout == 0.25
    assert list(tmp_path.iterdir()) == []


@pytest.mark.faults(120)
@each_scheme
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"timeuot": 1}, "Did you mean 'timeout'?"),
        ({"timeout": -1}, "timeout (seconds) is more than 0"),
        ({"timeout": "soon"}, "timeout wants float"),
        ({"max_entry_size": 0}, "max_entry_size (bytes)"),
    ],
    ids=["typo", "negative", "text", "zero"],
)
def test_options_are_checked(scheme, options, expected, tmp_path):
    """A typo or a value out of range is refused when the settings are read, with its place and what was meant."""
    with pytest.raises(ConfigurationError) as caught:
        parse_stack({"LOCATION": location(scheme, tmp_path), "STORE": options})

    assert expected in str(caught.value)
    assert "KV_STORES['default']" in str(caught.value)


@pytest.mark.faults(118, 120)
@each_scheme
def test_options_of_a_url_are_checked(scheme, tmp_path):
    """An option that neither the store nor its client knows is refused by name; a password beside it is not shown."""
    login = "" if scheme in OTHERS else "user:p%40ss@"
    where = location(scheme, tmp_path, login=login)

    with pytest.raises(ConfigurationError, match="max_entires") as caught:
        parse_stack(f"{where}?max_entires=1")

    assert "p%40ss" not in str(caught.value)
    assert "p@ss" not in str(caught.value)


@pytest.mark.faults(118)
@each_network_scheme
@each_side
def test_a_password_is_not_shown(scheme, side):
    """Neither the settings, nor the store, nor the error of a server that is away has the password."""
    spec = parse_stack({"LOCATION": location(scheme, login="user:p%40ss@"), "STORE": {"timeout": 0.5}})

    with pytest.raises(BaseKeyValueError) as caught:
        call(spec, side, "get", "key")

    for text in (repr(spec), repr(spec.build_sync()), str(caught.value), repr(caught.value)):
        assert "p%40ss" not in text
        assert "p@ss" not in text


@pytest.mark.faults(117)
@pytest.mark.parametrize("scheme", SECURE)
@each_side
def test_a_secure_scheme_never_speaks_plainly(scheme, side):
    """The first bytes that leave are those of a TLS handshake, and a server without TLS is an error."""
    said = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(2)
                    said.append(connection.recv(3))

        thread = threading.Thread(target=listen)
        thread.start()
        spec = parse_stack({"LOCATION": location(scheme, port=server.getsockname()[1]), "STORE": {"timeout": 1}})
        with pytest.raises(BaseKeyValueError):
            call(spec, side, "put", "key", {"n": 1})
        server.shutdown(socket.SHUT_RDWR)
        thread.join()

    assert said
    assert {data[:2] for data in said if data} <= {b"\x16\x03"}  # some hang up before they say anything


@pytest.mark.faults(141)
@each_network_scheme
@each_side
def test_a_server_that_is_not_there(scheme, side):
    """Building needs no server; the first operation is refused in time, and nothing was applied."""
    spec = parse_stack({"LOCATION": location(scheme), "STORE": {"timeout": 1}})

    with stopwatch() as watch, pytest.raises(StoreConnectionError) as caught:
        call(spec, side, "put", "key", {"n": 1})

    assert watch.seconds < 3  # the default would be 5
    assert caught.value.outcome == "not_applied"
    assert caught.value.retryable


@pytest.mark.faults(121)
@pytest.mark.parametrize("name", SERVERS)
def test_two_aliases_have_two_pools(name, request):
    """Two stacks of one server with different options share no connection."""
    url = request.getfixturevalue(f"{name}_server").url.replace("http:", "elasticsearch:")
    registry = Registry({"a": url, "b": {"LOCATION": url, "STORE": {"timeout": 2}}})

    before = sockets()
    registry.store("a").get("key")
    of_one = sockets() - before
    registry.store("b").get("key")
    of_both = sockets() - before
    registry.close()

    assert of_one
    assert of_both - of_one


@pytest.mark.faults(122)
@pytest.mark.parametrize("scheme", EXTRAS)
@each_side
def test_an_extra_that_is_missing(scheme, side):
    """Importing that store alone fails, and says what to install; settings that name it say so, too."""
    extra, library = EXTRAS[scheme]
    code = f"""
        import sys
        sys.modules[{library!r}] = None
        import kv_core, kv_core.registry, kv_core.{side}, kv_core.{side}.stores.memory
        from kv_core.errors import ConfigurationError, MissingDependencyError
        from kv_core.kinds import STORES
        from kv_core.settings import parse_stack
        kind = STORES[{scheme!r}]
        path = kind.aio if {side!r} == "aio" else kind.sync
        try:
            __import__(path.rpartition(".")[0])
        except ImportError as error:
            print(isinstance(error, MissingDependencyError), error)
        try:
            parse_stack({location(scheme)!r})
        except ConfigurationError as error:
            print(error)
        """

    done = subprocess.run([sys.executable, "-c", inspect.cleandoc(code)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    imported, _, settings = done.stdout.partition("\n")
    assert imported.startswith("True")
    assert f"kvstack[{extra}]" in imported
    assert f"kvstack[{extra}]" in settings
    assert "KV_STORES['default']" in settings


@pytest.mark.faults(124)
@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        *[(NETWORK[scheme].format(login="user:pw@", host="a.example", port=1), ["a.example"]) for scheme in PLAIN],
        *[(NETWORK[scheme].format(login="user:pw@", host="a.example", port=1), []) for scheme in SECURE],
        *[(location(scheme), []) for scheme in STORES],
        ("redis+cluster://localhost:1,[::1]:2,127.0.0.2:3,10.0.0.1:4,[2001:db8::1]:5", ["10.0.0.1", "2001:db8::1"]),
        ("mongodb://cache.example/?tls=true", []),
        ("mongodb://cache.example/?ssl=false", ["cache.example"]),
    ],
)
def test_hosts_without_tls_are_told(url, hosts):
    """Whatever the scheme, a host beyond this machine is told that is spoken to without TLS; behind a wrapper, too."""
    wrappers = [{"wrapper": "fallback", "fallback": "kv:other"}]
    registry = Registry({"default": {"LOCATION": "memory://", "WRAPPERS": wrappers}, "other": url})

    assert list(registry.spec("other").plain_hosts) == hosts
    assert registry.plain_hosts == hosts == list(registry.spec().plain_hosts)
