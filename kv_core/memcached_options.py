"""Read what a Memcached store is told about its servers."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from kv_core.checks import whole
from kv_core.errors import ConfigurationError
from kv_core.memcached_items import MAX_NAME
from kv_core.options import coerce, did_you_mean, load_provider, no_login
from kv_core.url import Location, parse, redact

Address: TypeAlias = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""
Login: TypeAlias = Callable[[], tuple[str, str]]
"""Gives a user and a password."""

PORT: Final = 11211
_HIGHEST_PORT: Final = 65535
MAX_CONNECTIONS: Final = 32
"""How many connections a store opens at most to each node; further calls wait for one within their deadline."""

_NODE: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:/@\[\]\s\ud800-\udfff]+))(?::([0-9]{1,5}))?")
_TLS: Final = {"ssl_ca_certs": str, "ssl_certfile": str, "ssl_keyfile": str, "ssl_check_hostname": bool}
_KNOWN: Final = (*_TLS, "key_prefix", "max_connections")


@dataclass(frozen=True)
class Servers:
    """Where the nodes are, and how to speak to them.

    Attributes:
        addresses: One for each node.
        tls: How to encrypt; None: not at all.
        prefix: What stands before every name.
        login: Whom to log in as; None: nobody.
        max_connections: How many connections each node gets at most.
    """

    addresses: tuple[Address, ...]
    tls: ssl.SSLContext | None = None
    prefix: bytes = b""
    login: Login | None = field(default=None, repr=False)
    max_connections: int = MAX_CONNECTIONS

    def names(self) -> list[str]:
        """Return what each node is called."""
        return [one if isinstance(one, str) else "{}:{}".format(*one) for one in self.addresses]


def servers_of(
    *,
    url: str | None,
    host: str | None,
    port: int | None,
    servers: Sequence[str] | None,
    username: str | None,
    password: str | None,
    client: object,
    credential_provider: object,
) -> Servers:
    """Return the servers that a store's options describe.

    Raises:
        ConfigurationError: They contradict each other, or one is not known or out of range.
    """
    ways = {
        "url": url is not None,
        "client": client is not None,
        "servers": servers is not None,
        "host": host is not None or port is not None,
    }
    given = [f"{name}=" for name, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise _wrong(f"give one of {' and '.join(given)}, not both.")
    if (username is None) != (password is None):
        raise _wrong("username= and password= go together.")
    login = _login(username, password, credential_provider)
    if url is not None:
        return _of_url(url, login)
    if client is not None:
        return _of_client(client, login)
    if servers is not None:
        if isinstance(servers, str) or not servers or not isinstance(servers, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass anything
            raise _wrong("servers= is a list such as ['cache1:11211', 'cache2:11211'], and not empty.")
        return Servers(_distinct([_address(one) for one in servers]), login=login)
    number = whole(PORT if port is None else port, "MemcachedStore: port")
    return Servers((_host("localhost" if host is None else host, number),), login=login)


def _login(username: str | None, password: str | None, provider: object) -> Login | None:
    if provider is not None:
        if username is not None:
            raise _wrong("give username= and password=, or credential_provider=, not both.")
        return _asking(load_provider(provider, "MemcachedStore").get_credentials)
    if username is None or password is None:
        return None
    pair = _pair((username, password))
    return lambda: pair


def _asking(ask: Callable[[], Any]) -> Login:
    def login() -> tuple[str, str]:
        try:
            given = ask()
        except Exception as error:  # whatever somebody else's code raises
            raise no_login("MemcachedStore", error) from error
        return _pair(given)

    return login


def _pair(given: object) -> tuple[str, str]:
    match given:
        case (str() as username, str() as password):
            if any(mark in username + password for mark in (" ", "\r", "\n")):
                raise _wrong("Memcached takes no user or password with a space or a line break.")
            return username, password
        case _:
            raise _wrong("a login is a user and a password, both of them text.")


def _of_url(url: str, login: Login | None) -> Servers:
    location = parse(url)
    shown = redact(url)
    if location.scheme not in ("memcached", "memcacheds"):
        raise _wrong(f"{shown} is not a memcached:// or memcacheds:// URL.")
    for option in location.options:
        if option not in _KNOWN:
            raise _wrong(f"{shown} has the unknown option {option!r}. {did_you_mean(option, _KNOWN)}")
    userinfo, at, hosts = location.address.rpartition("@")
    if at:
        if login is not None:
            raise _wrong("give a user in the URL or beside it, not both.")
        username, colon, password = userinfo.partition(":")
        if not colon:
            raise _wrong(f"{shown} has a user without a password.")
        login = _login(unquote(username), unquote(password), None)
    if hosts:
        if location.path.strip("/"):
            raise _wrong(f"{shown} has a path, and Memcached has no databases; use a collection or key_prefix.")
        addresses = [_address(one) for one in hosts.split(",")]
    elif location.path.strip("/") and location.scheme == "memcached":
        addresses = [unquote(location.path)]
    else:
        raise _wrong(f"{shown} names no host.")
    prefix = location.options.get("key_prefix", "")
    limit = _option(location, "max_connections", int) if "max_connections" in location.options else MAX_CONNECTIONS
    if not re.fullmatch(r"[!-~]{0,100}", prefix):
        raise _wrong("key_prefix is at most 100 printable ASCII characters without spaces.")
    return Servers(
        _distinct(addresses),
        tls=_tls(location),
        prefix=prefix.encode(),
        login=login,
        max_connections=whole(limit, "MemcachedStore: max_connections"),
    )


def _option(location: Location, name: str, kind: type) -> Any:
    try:
        return coerce(location.options[name], kind)
    except ValueError as error:
        raise _wrong(f"{name} in the URL {error}.") from None


def _tls(location: Location) -> ssl.SSLContext | None:
    options = {name: _option(location, name, kind) for name, kind in _TLS.items() if name in location.options}
    if location.scheme == "memcached":
        if options:
            raise _wrong(f"{', '.join(options)} is for TLS: write memcacheds://.")
        return None
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if options.get("ssl_certfile"):
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except (OSError, ValueError) as error:
        raise _wrong("a certificate or key named in the URL cannot be read.") from error
    context.check_hostname = options.get("ssl_check_hostname", True)
    return context


def _of_client(client: Any, login: Login | None) -> Servers:
    """Take what a pymemcache client says of its servers; it may be configured in ways that lose entries."""
    inner = getattr(client, "_client", client)  # inside a RetryingClient
    nodes = list(getattr(inner, "clients", {}).values()) or [inner]
    try:
        addresses = [node.server for node in nodes]
        tls, prefix = nodes[0].tls_context, nodes[0].key_prefix
    except AttributeError:
        raise _wrong(f"client= is a Client of pymemcache, not {type(client).__name__}.") from None
    if len(prefix) > MAX_NAME - 150:
        raise _wrong("the client's key_prefix leaves no room for names; it may have 100 bytes.")
    return Servers(_distinct(addresses), tls=tls, prefix=prefix, login=login)


def _host(host: object, port: int) -> Address:
    """Return the address of a server whose name and port are given apart; an IPv6 address may have no brackets."""
    text = f"[{host}]" if isinstance(host, str) and host.count(":") > 1 and "[" not in host else host
    if not isinstance(text, str) or not (found := _NODE.fullmatch(text)) or found[3]:
        raise _wrong("host= is the name or the address of a server alone; its port is port=, and several are servers=.")
    if port > _HIGHEST_PORT:
        raise _wrong(f"port= is at most {_HIGHEST_PORT}.")
    return found[1] or found[2], port


def _address(text: object) -> Address:
    if isinstance(text, str):
        if text.startswith("/"):
            return text
        if (found := _NODE.fullmatch(text)) and 0 < (port := int(found[3] or PORT)) <= _HIGHEST_PORT:
            return found[1] or found[2], port
    shown = repr(redact(f"//{text}")[2:]) if isinstance(text, str) and "@" not in text else "one of them"
    raise _wrong(f"a server is 'host:port', '[IPv6]:port' or the path of a Unix socket, and {shown} is not.")


def _distinct(addresses: Sequence[Address]) -> tuple[Address, ...]:
    if len(set(addresses)) != len(addresses):
        raise _wrong("a server is named twice.")
    return tuple(addresses)


def _wrong(text: str) -> ConfigurationError:
    return ConfigurationError(f"MemcachedStore: {text}")
