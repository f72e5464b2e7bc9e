"""What a `LOCATION` looks like for every scheme that settings can name, for the tests of settings."""

from __future__ import annotations

NETWORK = {
    "elasticsearch": "elasticsearch://{login}{host}:{port}",
    "elasticsearchs": "elasticsearchs://{login}{host}:{port}",
    "memcached": "memcached://{login}{host}:{port}",
    "memcacheds": "memcacheds://{login}{host}:{port}",
    "mongodb": "mongodb://{login}{host}:{port}",
    **{
        f"{name}{secure}{form}": f"{name}{secure}{form}://{{login}}{{host}}:{{port}}{path}"
        for name in ("redis", "valkey")
        for secure in ("", "s")
        for form, path in (("", ""), ("+cluster", ""), ("+sentinel", "/mymaster"))
    },
}
"""By scheme, what speaks to a server of a name and a port."""

OTHERS = {
    "memory": "memory://",
    "simple": "simple://",
    "null": "null://",
    "disk": "disk://{folder}/disk",
    "multi-disk": "multi-disk://{folder}/multi-disk",
    "mongodb+srv": "mongodb+srv://{host}.example",
    "unix": "unix://{folder}/redis.socket",
    "redis+unix": "redis+unix://{folder}/redis.socket",
    "valkey+unix": "valkey+unix://{folder}/valkey.socket",
}
"""The rest: without a server, without a port, or by a name that has to be looked up."""

SECURE = [scheme for scheme in NETWORK if scheme.partition("+")[0] in {f"{name}s" for name in NETWORK}]
"""Those that speak TLS."""

PLAIN = [scheme for scheme in NETWORK if scheme not in SECURE]
"""Those that do not."""


def location(
    scheme: str, folder: object = "/nowhere", *, login: str = "", host: str = "127.0.0.1", port: int = 1
) -> str:
    """Return a URL of a scheme; nobody listens on port 1."""
    return (NETWORK | OTHERS)[scheme].format(folder=folder, login=login, host=host, port=port)
