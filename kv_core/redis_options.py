"""Read what a Redis or Valkey store is told about its servers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote, unquote, urlsplit

from kv_core.checks import whole
from kv_core.errors import ConfigurationError
from kv_core.url import Location, parse, redact

MAX_CONNECTIONS: Final = 32
"""How many connections a client opens at most to one server; further calls wait for one within their deadline."""

NUMBERS: Final = ("protocol", "socket_read_size", "ssl_min_version")
"""Options that are whole numbers; valkey-py leaves them as text."""

_OURS: Final = {"retry", "retry_on_timeout", "retry_on_error", "single_connection_client", "connection_pool"}


@dataclass(frozen=True)
class Dialect:
    """What Redis and Valkey call the same things.

    Attributes:
        store: The store's class.
        client: The library that it is made of.
        scheme: How a URL begins.
        secure: The same with TLS.
    """

    store: str
    client: str
    scheme: str
    secure: str


REDIS: Final = Dialect("RedisStore", "redis-py", "redis", "rediss")
VALKEY: Final = Dialect("ValkeyStore", "valkey-py", "valkey", "valkeys")

Form = Literal["server", "cluster", "sentinel"]


@dataclass(frozen=True)
class Place:
    """Where the servers are.

    Attributes:
        form: Whether there is one server, a cluster, or a primary that sentinels watch.
        urls: The URL of the server, of each known node of the cluster, or of each sentinel.
        primary: With sentinels, the URL of their primary but for its host.
        service: With sentinels, what they call it.
    """

    form: Form
    urls: tuple[str, ...] = field(repr=False)
    primary: str = field(default="", repr=False)
    service: str = ""


def server_url(
    dialect: Dialect,
    *,
    url: str | None,
    host: str | None,
    port: int | None,
    db: int | None,
    username: str | None,
    password: str | None,
) -> str:
    """Return the URL that these options describe.

    Raises:
        ConfigurationError: There is a URL and also one of the others, or one is out of range.
    """
    store = dialect.store
    parts = {"host": host, "port": port, "db": db, "username": username, "password": password}
    given = sorted(name for name, value in parts.items() if value is not None)
    if url is not None:
        if given:
            raise ConfigurationError(f"{store} takes url= or {', '.join(given)}=, not both.")
        return url
    if username is not None and password is None:
        raise ConfigurationError(f"{store}: username= goes with password=.")
    login = f"{quote(username or '', safe='')}:{quote(password, safe='')}@" if password is not None else ""
    name = host or "localhost"
    name = f"[{name}]" if ":" in name else name
    number = whole(6379 if port is None else port, f"{store}: port")
    return f"{dialect.scheme}://{login}{name}:{number}/{whole(db or 0, f'{store}: db', least=0)}"


def place(dialect: Dialect, url: str, known: frozenset[str]) -> Place:
    """Return the servers that a URL names.

    Raises:
        ConfigurationError: Its scheme, a host, its path or one of its options would be misread by the client.
    """
    location = parse(url)
    scheme, _, form = location.scheme.partition("+")
    if location.scheme == "unix" or (scheme == dialect.scheme and form == "unix"):
        _check_options(dialect, location, known)
        return Place("server", (Location("unix", location.address, location.path, location.options).url(),))
    if scheme not in (dialect.scheme, dialect.secure) or form not in ("", "cluster", "sentinel"):
        raise ConfigurationError(
            f"{dialect.store}: {redact(url)} is not a {dialect.scheme}://, {dialect.secure}:// or unix:// URL, "
            f"nor one with +cluster or +sentinel."
        )
    match form:
        case "cluster":
            return _cluster(dialect, scheme, location, known)
        case "sentinel":
            return _sentinel(dialect, scheme, location, known)
        case _:
            _check_options(dialect, location, known)
            _check_database(dialect, location, location.path)
            _check_host(dialect, location, location.address)
            if "," in location.address.rpartition("@")[2]:
                raise ConfigurationError(
                    f"{dialect.store}: {redact(url)} names several servers; say {scheme}+cluster:// or "
                    f"{scheme}+sentinel://."
                )
            return Place("server", (url,))


def _cluster(dialect: Dialect, scheme: str, location: Location, known: frozenset[str]) -> Place:
    _check_options(dialect, location, known)
    if location.path not in ("", "/", "/0") or location.options.get("db", "0") != "0":
        raise ConfigurationError(f"{dialect.store}: {redact(location.url())}: a cluster has one database, 0.")
    login, hosts = _hosts(dialect, location, 6379)
    return Place("cluster", tuple(Location(scheme, login + host, "", location.options).url() for host in hosts))


def _sentinel(dialect: Dialect, scheme: str, location: Location, known: frozenset[str]) -> Place:
    options = dict(location.options)
    own = {name: options.pop(f"sentinel_{name}", "") for name in ("username", "password")}
    _check_options(dialect, Location(location.scheme, location.address, location.path, options), known)
    service, _, database = location.path.strip("/").partition("/")
    if not service:
        raise ConfigurationError(
            f"{dialect.store}: the path of {redact(location.url())} names the primary as its sentinels do, "
            "and maybe a database: /mymaster/0."
        )
    _check_database(dialect, location, database)
    login, hosts = _hosts(dialect, location, 26379)
    asking = f"{quote(own['username'], safe='')}:{quote(own['password'], safe='')}@" if own["password"] else ""
    not_theirs = ("db", "username", "password", "client_name", "max_connections")
    theirs = {name: value for name, value in options.items() if name not in not_theirs}
    return Place(
        "sentinel",
        tuple(Location(scheme, asking + host, "", theirs).url() for host in hosts),
        Location(scheme, f"{login}primary", f"/{database}" if database else "", options).url(),
        unquote(service),
    )


def _hosts(dialect: Dialect, location: Location, port: int) -> tuple[str, list[str]]:
    """Return the credentials with their `@`, and each host with its port."""
    login, at, hosts = location.address.rpartition("@")
    found: list[str] = []
    for host in hosts.split(","):
        _check_host(dialect, location, host)
        try:
            found.append(host if urlsplit(f"//{host}").port else f"{host}:{port}")
        except ValueError:
            raise ConfigurationError(f"{dialect.store}: {redact(location.url())} has a wrong port.") from None
    return login + at, found


def _check_host(dialect: Dialect, location: Location, address: str) -> None:
    if not urlsplit(f"//{address.rpartition('@')[2]}").hostname:
        raise ConfigurationError(f"{dialect.store}: {redact(location.url())} names no host.")


def _check_database(dialect: Dialect, location: Location, path: str) -> None:
    database = unquote(path).strip("/")
    if database and not database.isdecimal():
        raise ConfigurationError(
            f"{dialect.store}: the path of {redact(location.url())} is a database number such as /0."
        )


def _check_options(dialect: Dialect, location: Location, known: frozenset[str]) -> None:
    for option in location.options:
        if option in _OURS:
            raise ConfigurationError(
                f"{dialect.store}: {option} is not for the URL; wrap the store in a RetryWrapper to retry."
            )
        if option not in known:
            shown = sorted(name for name in known if name.startswith(("socket", "ssl_c", "client_name", "protocol")))
            raise ConfigurationError(
                f"{dialect.store}: {redact(location.url())} has the unknown option {option!r}; "
                f"{dialect.client} knows {', '.join(shown)} and others."
            )


def address_of(url: str) -> str:
    """Return the address in a node's URL, in the form host:port."""
    return parse(url).address.rpartition("@")[2]


def at(url: str, address: str) -> str:
    """Return a node's URL with another node's address, in the form host:port."""
    location = parse(url)
    login, sign, _ = location.address.rpartition("@")
    return Location(location.scheme, login + sign + address, location.path, location.options).url()


def known_options(*classes: type, parsers: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the options that a client's connection classes take."""
    names = set(parsers)
    for kind in classes:
        for ancestor in kind.__mro__[:-1]:
            names |= set(inspect.signature(vars(ancestor).get("__init__", object.__init__)).parameters)
    return frozenset(names - {"self", "args", "kwargs", "connection_class", "parser_class", "encoder_class"})


def encoded(command: Sequence[Any]) -> list[Any]:
    """Return a command whose text is UTF-8, whatever encoding the client has."""
    return [word.encode() if isinstance(word, str) else word for word in command]


def check_client(store: str, client: object, *kinds: type[Any]) -> None:
    """Refuse what is no client of the store's library and side.

    Raises:
        ConfigurationError: It is of none of these classes.
    """
    if not isinstance(client, kinds):
        wanted = " or ".join(map(_named, kinds))
        raise ConfigurationError(f"{store}: client= is a {wanted}, not a {_named(type(client))}.")


def _named(kind: type[Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
