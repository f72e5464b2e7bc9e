"""Read what an Elasticsearch store is told about its servers."""

from __future__ import annotations

import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from kv_core.errors import ConfigurationError
from kv_core.options import coerce, did_you_mean
from kv_core.url import parse, redact

MAX_CONNECTIONS: Final = 32
"""How many connections to a node a client opens at most; further calls wait for one within their deadline."""

SCHEMES: Final = {"elasticsearch": "http", "elasticsearchs": "https", "http": "http", "https": "https"}
PORT: Final = 9200

_OPTIONS: Final[dict[str, Any]] = {
    "ca_certs": str,
    "verify_certs": bool,
    "client_cert": str,
    "client_key": str,
    "max_connections": int,
}
_TLS: Final = frozenset({"ca_certs", "verify_certs", "client_cert", "client_key"})


@dataclass(frozen=True)
class Servers:
    """The nodes of a cluster, and how to speak to them.

    Attributes:
        scheme: `http` or `https`.
        hosts: The name and the port of each node.
        path: What stands before every path, behind a proxy.
        login: A user and a password, if there is a login.
        api_key: An API key instead.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    path: str = ""
    login: tuple[str, str] | None = field(default=None, repr=False)
    api_key: str | tuple[str, str] | None = field(default=None, repr=False)
    ca_certs: str | None = None
    verify_certs: bool = True
    client_cert: str | None = None
    client_key: str | None = None
    max_connections: int = MAX_CONNECTIONS

    def tls(self) -> ssl.SSLContext | None:
        """Return how TLS is spoken, with the host's name checked even if it is an address; None without TLS.

        Raises:
            ConfigurationError: A certificate cannot be read.
        """
        if self.scheme != "https":
            return None
        import certifi  # the client's own choice; it comes with it

        try:
            context = ssl.create_default_context(cafile=self.ca_certs or certifi.where())
            if self.client_cert is not None:
                context.load_cert_chain(self.client_cert, self.client_key)
        except OSError as error:
            raise ConfigurationError(
                f"ElasticsearchStore: ca_certs, client_cert or client_key cannot be read: {type(error).__name__}."
            ) from error
        if not self.verify_certs:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def read_servers(url: str, api_key: str | tuple[str, str] | None = None) -> Servers:
    """Read a URL such as `elasticsearch://user:password@host1:9200,host2:9200/path?option=value`.

    Raises:
        ConfigurationError: Its scheme, a host or an option is not known.
    """
    location = parse(url)
    shown = f"ElasticsearchStore: {redact(url)}"
    scheme = SCHEMES.get(location.scheme)
    if scheme is None:
        raise ConfigurationError(f"{shown} is not an elasticsearch://, elasticsearchs:// or https:// URL.")
    userinfo, _, hosts = location.address.rpartition("@")
    options: dict[str, Any] = {}
    for name, text in location.options.items():
        if name not in _OPTIONS:
            raise ConfigurationError(f"{shown} has the unknown option {name!r}. {did_you_mean(name, _OPTIONS)}")
        if name in _TLS and scheme != "https":
            raise ConfigurationError(f"{shown} has the option {name!r} and no TLS; say elasticsearchs:// or https://.")
        try:
            options[name] = coerce(text, _OPTIONS[name])
        except ValueError as error:
            raise ConfigurationError(f"{shown}: {name} {error}.") from error
    if options.get("max_connections", 1) < 1:
        raise ConfigurationError(f"{shown}: max_connections is a whole number from 1.")
    login = _login(userinfo, shown)
    if login is not None and api_key is not None:
        raise ConfigurationError(f"{shown} has a login; api_key= goes without one.")
    default = PORT if location.scheme.startswith("elasticsearch") else None
    nodes = tuple(_host(host, default, shown) for host in hosts.split(","))
    path = unquote(location.path).strip("/")
    return Servers(scheme, nodes, path, login, api_key, **options)


def basic(login: tuple[str, str] | None) -> str | None:
    """Return a user and a password as they are sent; the client itself takes ASCII alone."""
    return None if login is None else b64encode(":".join(login).encode()).decode()


def login_of(given: Any) -> dict[str, Any]:
    """Return the client's options for what a credential provider gave: an API key, or a user and a password.

    Raises:
        ConfigurationError: It is neither.
    """
    match given:
        case (str() as key) | (str() as key,):
            return {"api_key": key}
        case (str() as user, str() as password):
            return {"basic_auth": basic((user, password))}
        case _:
            raise ConfigurationError(
                "ElasticsearchStore: credential_provider gives an API key, or a user and a password."
            )


def _login(userinfo: str, shown: str) -> tuple[str, str] | None:
    if not userinfo:
        return None
    user, separator, password = userinfo.partition(":")
    if not separator or not user:
        raise ConfigurationError(f"{shown} has half a login; write user:password@, or give api_key=.")
    return unquote(user), unquote(password)


def _host(text: str, default: int | None, shown: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        name, port = parts.hostname, parts.port or default
    except ValueError:
        name = port = None
    if not name or text.startswith(":"):
        raise ConfigurationError(f"{shown} names no host, or one with a port that is none.")
    if port is None:
        raise ConfigurationError(f"{shown} names no port; write one, such as :{PORT} or :443.")
    return name, port
