"""Read and show the URLs by which stores are located."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from kv_core.errors import ConfigurationError

_USERINFO: Final = re.compile(r"(?<=://)\S*@")
_WITHOUT_TLS: Final = frozenset({"redis", "valkey", "memcached", "mongodb", "elasticsearch"})
"""Schemes, but for what follows a plus sign."""
_SECRET_OPTION: Final = re.compile(r"(?i)([?&](?:[a-z_]*(?:password|secret|token|key))=)[^&\s]*")


@dataclass(frozen=True)
class Location:
    """The parts of a store's URL, percent-decoded.

    Attributes:
        scheme: What stands before `://`, in lower case.
        address: What stands between `://` and the path: hosts, ports and, where there are, credentials.
        path: What follows, with its leading slash.
        options: The query, one value a name.
    """

    scheme: str
    address: str = field(default="", repr=False)
    path: str = ""
    options: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    def url(self, options: dict[str, str] | None = None) -> str:
        """Return the URL again, with *options* in place of its query."""
        query = urlencode(self.options if options is None else options, safe=":,")  # MongoDB's lists of pairs
        return f"{self.scheme}://{self.address}{self.path}{'?' + query if query else ''}"


def parse(url: str) -> Location:
    """Split a URL.

    Raises:
        ConfigurationError: It is not a URL, has a fragment, or names an option twice.
    """
    if type(url) is not str or "://" not in url:
        raise ConfigurationError(f"A store's location is a URL such as 'redis://localhost:6379/0', not {_shown(url)}.")
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        _ = parts.port if "," not in parts.netloc else None
    except ValueError:  # its text quotes what it takes for the port, which may be half a password
        raise ConfigurationError(f"{redact(url)} is not a URL: check its port, brackets and query.") from None
    if parts.fragment:
        raise ConfigurationError(f"{redact(url)} has a '#'; write it as %23 if it is part of a password or path.")
    options = dict(pairs)
    if len(options) != len(pairs):
        raise ConfigurationError(f"{redact(url)} names an option twice.")
    return Location(parts.scheme.lower(), parts.netloc, parts.path, options)


def redact(text: str) -> str:
    """Return *text* with the credentials of every URL in it replaced by `***`."""
    return _SECRET_OPTION.sub(r"\1***", _USERINFO.sub("***@", text))


def plain_hosts(url: str) -> list[str]:
    """Return the hosts beyond this machine that a store with this URL speaks to without TLS."""
    location = parse(url)
    scheme, _, form = location.scheme.partition("+")
    if scheme not in _WITHOUT_TLS or form in {"unix", "srv"}:
        return []
    if "true" in {location.options.get("tls"), location.options.get("ssl")}:  # as MongoDB has it
        return []
    hosts = [urlsplit(f"//{host}").hostname for host in location.address.rpartition("@")[2].split(",")]
    return [host for host in hosts if host and not _is_here(host)]


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def path_of(location: Location) -> str:
    """Return the file path of a location such as `disk:///var/lib/app` or `disk://./data`."""
    return unquote(location.address + location.path)


def _shown(url: object) -> str:
    return repr(redact(url)) if isinstance(url, str) else type(url).__name__
