"""What a Memcached store is told about its servers is understood, or refused at once and without a secret."""

import ssl

import pytest
from pymemcache import Client, HashClient, PooledClient
from pymemcache.client.retrying import RetryingClient

from kv_core.errors import ConfigurationError
from kv_core.memcached_options import MAX_CONNECTIONS, servers_of
from kv_core.settings import parse_stack
from kv_core.sync.stores.memcached import MemcachedStore

NOTHING = dict.fromkeys(
    ("url", "host", "port", "servers", "username", "password", "client", "credential_provider"), None
)


def of(**options):
    return servers_of(**NOTHING | options)


@pytest.mark.parametrize(
    ("options", "addresses"),
    [
        ({}, [("localhost", 11211)]),
        ({"host": "cache", "port": 1}, [("cache", 1)]),
        ({"port": 2}, [("localhost", 2)]),
        ({"host": "::1", "port": 2}, [("::1", 2)]),
        ({"host": "[::1]"}, [("::1", 11211)]),
        ({"servers": ["a", "b:2", "/run/m.sock"]}, [("a", 11211), ("b", 2), "/run/m.sock"]),
        ({"servers": ["[::1]:3", "[::2]"]}, [("::1", 3), ("::2", 11211)]),
        ({"url": "memcached://a"}, [("a", 11211)]),
        ({"url": "memcached://a:1,b:2,[::1]:3/"}, [("a", 1), ("b", 2), ("::1", 3)]),
        ({"url": "memcached:///run/my%20cache.sock"}, ["/run/my cache.sock"]),
        ({"client": Client("a:1")}, [("a", 1)]),
        ({"client": PooledClient("/run/m.sock")}, ["/run/m.sock"]),
        ({"client": HashClient(["a:1", "b:2"])}, [("a", 1), ("b", 2)]),
        ({"client": HashClient(["a:1", "b:2"], use_pooling=True)}, [("a", 1), ("b", 2)]),
        ({"client": RetryingClient(Client(("a", 1)))}, [("a", 1)]),
    ],
)
def test_addresses(options, addresses):
    """Every way to name servers names the same."""
    assert list(of(**options).addresses) == addresses


@pytest.mark.faults(118)
def test_the_url_says_more():
    """A login is percent-decoded; a prefix and the number of connections are taken."""
    found = of(url="memcached://us%3Aer:p%40ss@a?key_prefix=app:&max_connections=3")

    assert found.login() == ("us:er", "p@ss")
    assert (found.prefix, found.max_connections, found.tls) == (b"app:", 3, None)
    assert of().max_connections == MAX_CONNECTIONS


@pytest.mark.faults(117)
def test_tls():
    """`memcacheds` is TLS that checks the server's name and certificate."""
    found = of(url="memcacheds://a")
    lax = of(url="memcacheds://a?ssl_check_hostname=no")

    assert (found.tls.check_hostname, found.tls.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert (lax.tls.check_hostname, lax.tls.verify_mode) == (False, ssl.CERT_REQUIRED)


def test_what_a_client_says_is_taken():
    """Its prefix and its TLS context are those of the store."""
    context = ssl.create_default_context()
    found = of(client=HashClient(["a:1"], key_prefix=b"x", tls_context=context))

    assert (found.prefix, found.tls) == (b"x", context)


class Provider:
    """Somebody who knows credentials."""

    def get_credentials(self):
        return "me", "secret-canary"


@pytest.mark.faults(118, 120)
@pytest.mark.parametrize(
    "options",
    [
        {"url": "redis://a"},
        {"url": "memcached://"},
        {"url": "memcached://a/0"},
        {"url": "memcached://a:b"},
        {"url": "memcached://a:70000,b"},
        {"url": "memcached://a:0,b"},
        {"url": "memcached://a,a"},
        {"url": "memcached://a,,b"},
        {"url": "memcached://a?max_entires=1"},
        {"url": "memcached://a?max_connections=0"},
        {"url": "memcached://a?max_connections=many"},
        {"url": "memcached://a?key_prefix=a%20b"},
        {"url": "memcached://a?ssl_ca_certs=x"},
        {"url": "memcacheds:///run/m.sock"},
        {"url": "memcacheds://a?ssl_ca_certs=/none"},
        {"url": "memcacheds://a?ssl_check_hostname=maybe"},
        {"url": "memcached://secret-canary@a"},
        {"url": "memcached://me:secret-canary@a:x,b"},
        {"url": "memcached://me:secret-canary@a", "username": "me", "password": "x"},
        {"url": "memcached://me:secret-canary@a?wrong=1"},
        {"url": "memcached://a", "host": "b"},
        {"url": "memcached://a", "servers": ["b"]},
        {"client": Client("a:1"), "port": 2},
        {"client": object()},
        {"client": Client("a:1", key_prefix=b"x" * 101)},
        {"servers": []},
        {"servers": "a:1"},
        {"servers": ["me:secret-canary@a:1"]},
        {"servers": ["a b"]},
        {"servers": [1]},
        {"servers": 1},
        {"servers": ["\ud800"]},
        {"host": ""},
        {"host": 1},
        {"host": "\ud800"},
        {"host": "a:1"},
        {"host": "memcached://a"},
        {"host": "me:secret-canary@a"},
        {"port": 0},
        {"port": 65536},
        {"port": "11211"},
        {"username": "me"},
        {"password": "secret-canary"},
        {"username": 1, "password": "secret-canary"},
        {"username": "me", "password": b"secret-canary"},
        {"username": "me", "password": "secret-canary x"},
        {"username": "me", "password": "secret-canary", "credential_provider": Provider()},
        {"credential_provider": object()},
        {"credential_provider": type},
        {"credential_provider": "nowhere.at_all"},
        {"timeout": -1},
        {"max_entry_size": 0},
    ],
)
def test_what_is_wrong_is_refused(options):
    """Contradictions, typing errors and values out of range are a ConfigurationError without a secret."""
    with pytest.raises(ConfigurationError) as caught:
        MemcachedStore(**options)

    assert "canary" not in str(caught.value)


def test_nothing_shows_a_secret():
    """Neither the store nor what it knows of its servers shows a password."""
    store = MemcachedStore(url="memcached://me:secret-canary@a", timeout=1)

    assert "canary" not in f"{store!r} {vars(store)!r} {of(credential_provider=Provider())!r}"
    store.close()


def test_settings_name_the_store():
    """A stack takes the URL with options of the store's own in it."""
    with parse_stack("memcached://a:1,b:2/?timeout=0.5&key_prefix=x:").build_sync() as store:
        assert (store._timeout, store._longest) == (0.5, 248)
