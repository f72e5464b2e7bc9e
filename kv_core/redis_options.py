"""Read what a Redis or Valkey store is told about its server."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from kv_core.checks import whole
from kv_core.errors import ConfigurationError, Outcome, StoreClosedError
from kv_core.url import parse, redact

MAX_CONNECTIONS: Final = 32
"""How many connections a client opens at most; further calls wait for one within their deadline."""

_OURS: Final = {"retry", "retry_on_timeout", "retry_on_error", "single_connection_client", "connection_pool"}


def server_options(
    store: str,
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
    return f"redis://{login}{name}:{number}/{whole(db or 0, f'{store}: db', least=0)}"


def check_url(store: str, url: str, known: frozenset[str]) -> None:
    """Refuse a URL that the client would misread.

    Raises:
        ConfigurationError: Its scheme, path or one of its options is not known.
    """
    location = parse(url)
    if location.scheme not in ("redis", "rediss", "valkey", "valkeys", "unix"):
        raise ConfigurationError(f"{store}: {redact(url)} is not a redis://, rediss:// or unix:// URL.")
    if location.scheme != "unix":
        database = unquote(location.path).strip("/")
        if database and not database.isdecimal():
            raise ConfigurationError(f"{store}: the path of {redact(url)} is a database number such as /0.")
        if not urlsplit(url).hostname:
            raise ConfigurationError(f"{store}: {redact(url)} names no host.")
    for option in location.options:
        if option in _OURS:
            raise ConfigurationError(
                f"{store}: {option} is not for the URL; wrap the store in a RetryWrapper to retry."
            )
        if option not in known:
            raise ConfigurationError(f"{store}: {redact(url)} has the unknown option {option!r}; {_known(known)}")


def closed(outcome: Outcome) -> StoreClosedError:
    """Return the error for a call whose store was closed before it was sent, or while it was out."""
    return StoreClosedError("The store was closed; make a new one.", outcome=outcome)


def known_options(*classes: type, parsers: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the options that a client's connection classes take."""
    names = set(parsers)
    for kind in classes:
        for ancestor in kind.__mro__[:-1]:
            names |= set(inspect.signature(vars(ancestor).get("__init__", object.__init__)).parameters)
    return frozenset(names - {"self", "args", "kwargs", "connection_class", "parser_class", "encoder_class"})


def _known(known: frozenset[str]) -> str:
    shown = ", ".join(sorted(name for name in known if name.startswith(("socket", "ssl_c", "client_name", "protocol"))))
    return f"redis-py knows {shown} and others."
