"""The Elasticsearch client for event loops. The twin is `kv_core/sync/_drivers/elasticsearch.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any, Final, TypeAlias, TypeVar

from typing_extensions import override

from kv_core.aio._runtime import run_blocking
from kv_core.deadline import left, mark_unsent, unsent
from kv_core.elasticsearch_errors import NAME
from kv_core.elasticsearch_options import Servers, basic, login_of
from kv_core.errors import ConfigurationError, MissingDependencyError, StoreClosedError
from kv_core.options import no_login

try:
    from aiohttp import BaseConnector, ClientConnectorError
    from elastic_transport import (
        AiohttpHttpNode,
        ConnectionError,  # noqa: A004 - the client's names
        ConnectionTimeout,
        NodeConfig,
        TlsError,
        TransportError,
    )
    from elasticsearch import ApiError, AuthenticationException, UnsupportedProductError
    from elasticsearch import AsyncElasticsearch as Elasticsearch
except ImportError as error:
    raise MissingDependencyError(
        "ElasticsearchStore needs its client and aiohttp: pip install 'kvstack[elasticsearch]'"
    ) from error

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
Request: TypeAlias = Callable[[Elasticsearch], Awaitable[T]]
"""What is asked of the client; what changes entries is a POST, which aiohttp never repeats by itself."""

UNSENT: Final = (ClientConnectorError,)
"""What goes wrong before a request is sent."""

_LARGE: Final = 2**20
_LONGEST: Final = 3600.0
_ROUNDED: Final = 5.0
"""Beyond so many seconds aiohttp lets a timeout end with a whole second of the loop's clock."""


def _share() -> float:
    """Return how many of the seconds that a call has left the client is given.

    Nearly all, so that the client ends the call before it is cancelled: only then does it leave the node out for a
    while.
    """
    seconds = left(_LONGEST)
    return seconds * 0.97 if seconds <= _ROUNDED else seconds - 1.0


class Client:
    """An Elasticsearch client that repeats nothing and waits as long as the call's deadline allows."""

    def __init__(self, elasticsearch: Elasticsearch, credential_provider: Any = None) -> None:
        self._elasticsearch = elasticsearch
        self._provider = credential_provider
        self._logged_in = credential_provider is None
        self._closed = False

    async def ask(self, request: Request[T]) -> T:
        """Make a request, and return its answer; after a refused login the credential provider is asked again."""
        if self._closed:
            raise StoreClosedError
        try:
            if not self._logged_in:
                await self._log_in()
            try:
                return await request(self._timely())
            except AuthenticationException:
                if self._provider is None:
                    raise
                await self._log_in()
                return await request(self._timely())
        except (Exception, asyncio.CancelledError) as error:
            if _cancelled():
                raise
            if self._closed:  # which cancels what waits for a connection
                raise StoreClosedError(outcome="not_applied" if unsent(error) else "unknown") from error
            raise

    def _timely(self) -> Elasticsearch:
        return self._elasticsearch

    async def _log_in(self) -> None:
        provider = self._provider
        asks = hasattr(provider, "get_credentials_async")
        try:
            given = await (provider.get_credentials_async() if asks else run_blocking(provider.get_credentials))
        except Exception as error:  # whatever somebody else's code raises
            raise no_login(NAME, error) from error
        self._elasticsearch = self._elasticsearch.options(**login_of(given))
        self._logged_in = True

    async def close(self) -> None:
        """Close the connections; a call that is out ends with StoreClosedError."""
        self._closed = True
        await self._elasticsearch.close()


class _Borrowed(Client):
    """A client that the user made, which is told for each call how long to wait."""

    @override
    def _timely(self) -> Elasticsearch:
        return self._elasticsearch.options(max_retries=0, retry_on_timeout=False, request_timeout=_share())


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _Body(BytesIO):
    """A large body, which aiohttp sends in pieces, so that the loop goes on meanwhile."""

    def decode(self, *_: object) -> str:
        """Return what the client's log shows of it, which may be asked for after it was sent and closed."""
        return "(a large body)"


class _Node(AiohttpHttpNode):
    """A node that waits as long as the call's deadline allows, and marks what goes wrong while it connects."""

    @override
    async def perform_request(  # type: ignore[override] # as the client's own does
        self, method: str, target: str, body: bytes | None = None, headers: Any = None, request_timeout: Any = None
    ) -> Any:
        sent: Any = _Body(body) if body is not None and len(body) > _LARGE else body
        return await super().perform_request(method, target, sent, headers, _share())

    @override
    def _create_aiohttp_session(self) -> None:
        super()._create_aiohttp_session()
        connector: Any = None if self.session is None else self.session.connector
        connector.connect = _marking(connector)


def _marking(connector: BaseConnector) -> Any:
    connect = connector.connect

    async def marked(*args: Any, **kwargs: Any) -> Any:
        try:
            return await connect(*args, **kwargs)
        except BaseException as error:
            mark_unsent(error)
            raise

    return marked


def connect(servers: Servers, credential_provider: object) -> Client:
    """Make a client; it connects when it is used."""
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
    return Client(client, credential_provider)


def borrow(client: object) -> Client:
    """Use a client that the user made, without its retries.

    Raises:
        ConfigurationError: It is none, or one of the other side.
    """
    if not isinstance(client, Elasticsearch):
        raise ConfigurationError(
            f"ElasticsearchStore: client= is an {Elasticsearch.__name__} on this side, not {type(client).__name__}."
        )
    return _Borrowed(client)
