"""The blocking Elasticsearch client. The twin is `kv_core/aio/_drivers/elasticsearch.py`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from typing_extensions import override

from kv_core.deadline import left, mark_unsent
from kv_core.elasticsearch_errors import NAME
from kv_core.elasticsearch_options import Servers, basic, login_of
from kv_core.errors import ConfigurationError, MissingDependencyError, StoreClosedError, StoreTimeoutError
from kv_core.options import no_login

try:
    from elastic_transport import (
        ConnectionError,  # noqa: A004 - the client's names
        ConnectionTimeout,
        NodeConfig,
        TlsError,
        TransportError,
        Urllib3HttpNode,
    )
    from elasticsearch import ApiError, AuthenticationException, Elasticsearch, UnsupportedProductError
    from urllib3 import Timeout
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
except ImportError as error:
    raise MissingDependencyError("ElasticsearchStore needs its client: pip install 'kvstack[elasticsearch]'") from error

__all__ = [
    "UNSENT",
    "ApiError",
    "Client",
    "ConnectionError",
    "ConnectionTimeout",
    "Elasticsearch",
    "Request",
    "TlsError",
    "TransportError",
    "UnsupportedProductError",
    "borrow",
    "connect",
]

T = TypeVar("T")
Request: TypeAlias = Callable[[Elasticsearch], T]
"""What is asked of the client."""

UNSENT: Final = (ConnectTimeoutError, NewConnectionError)
"""What goes wrong before a request is sent."""

_LONGEST: Final = 3600.0


class Client:
    """An Elasticsearch client that repeats nothing and waits as long as the call's deadline allows."""

    def __init__(self, elasticsearch: Elasticsearch, max_connections: int, credential_provider: Any = None) -> None:
        self._elasticsearch = elasticsearch
        self._gate = threading.BoundedSemaphore(max_connections)  # at the client's own a thread would wait for ever
        self._provider = credential_provider
        self._logged_in = credential_provider is None
        self._closed = False

    def ask(self, request: Request[T]) -> T:
        """Make a request, and return its answer; after a refused login the credential provider is asked again."""
        self._enter()
        try:
            if not self._logged_in:
                self._log_in()
            try:
                return request(self._timely())
            except AuthenticationException:
                if self._provider is None:
                    raise
                self._log_in()
                return request(self._timely())
        except Exception as error:
            if self._closed:
                raise StoreClosedError(outcome="unknown") from error
            raise
        finally:
            self._gate.release()

    def _enter(self) -> None:
        if not self._gate.acquire(timeout=left(_LONGEST)):
            message = "All connections were busy until the call's deadline."
            raise StoreTimeoutError(message, outcome="not_applied")
        if self._closed:
            self._gate.release()
            raise StoreClosedError

    def _timely(self) -> Elasticsearch:
        return self._elasticsearch

    def _log_in(self) -> None:
        try:
            given = self._provider.get_credentials()
        except Exception as error:  # whatever somebody else's code raises
            raise no_login(NAME, error) from error
        self._elasticsearch = self._elasticsearch.options(**login_of(given))
        self._logged_in = True

    def close(self) -> None:
        """Close the connections; a call that another thread has out ends by itself."""
        self._closed = True
        self._elasticsearch.close()


class _Borrowed(Client):
    """A client that the user made, which is told for each call how long to wait."""

    @override
    def _timely(self) -> Elasticsearch:
        return self._elasticsearch.options(max_retries=0, retry_on_timeout=False, request_timeout=left(_LONGEST))


class _Node(Urllib3HttpNode):
    """A node that waits as long as the call's deadline allows, and marks what goes wrong while it connects."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        pool: Any = self.pool
        pool.ca_certs = None  # or public authorities would be trusted beside those of our own context
        pool.ConnectionCls = _marking(pool.ConnectionCls)

    @override
    def perform_request(
        self, method: str, target: str, body: Any = None, headers: Any = None, request_timeout: Any = None
    ) -> Any:
        seconds: Any = Timeout(total=left(_LONGEST))
        return super().perform_request(method, target, body, headers, seconds)


def _marking(kind: Any) -> Any:
    def connect(self: Any) -> None:
        try:
            kind.connect(self)
        except BaseException as error:
            mark_unsent(error)
            raise

    return type(kind.__name__, (kind,), {"connect": connect})


def connect(servers: Servers, credential_provider: object) -> Client:
    """Make a client; it connects when it is used, and each call has what is left of its deadline."""
    tls = servers.tls()
    nodes = [
        NodeConfig(
            servers.scheme,
            host,
            port,
            path_prefix=servers.path,
            connections_per_node=servers.max_connections,
            verify_certs=servers.verify_certs,
            ssl_context=tls,
        )
        for host, port in servers.hosts
    ]
    client = Elasticsearch(
        nodes,
        basic_auth=basic(servers.login),
        api_key=servers.api_key,
        node_class=_Node,
        max_retries=0,
        retry_on_timeout=False,
    )
    return Client(client, servers.max_connections, credential_provider)


def borrow(client: object) -> Client:
    """Use a client that the user made, without its retries, and no more connections than it allows.

    Raises:
        ConfigurationError: It is none, or one of the other side.
    """
    if not isinstance(client, Elasticsearch):
        raise ConfigurationError(
            f"ElasticsearchStore: client= is an {Elasticsearch.__name__} on this side, not {type(client).__name__}."
        )
    allowed = min(node.config.connections_per_node for node in client.transport.node_pool.all())
    return _Borrowed(client, allowed)
