"""valkey-py for threads. The twin is `kv_core/aio/_drivers/valkey.py`."""

# valkey-py publishes half of its types.
# mypy: disable-error-code="no-untyped-call"
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

from typing_extensions import override

from kv_core.errors import MissingDependencyError
from kv_core.redis_options import VALKEY
from kv_core.sync._drivers.resp import Library

try:
    from valkey import Valkey, ValkeyCluster, connection, sentinel
    from valkey import exceptions as errors
    from valkey._parsers.url_parser import URL_QUERY_ARGUMENT_PARSERS
    from valkey.backoff import NoBackoff
    from valkey.crc import key_slot
    from valkey.retry import Retry
except ImportError as error:
    raise MissingDependencyError("ValkeyStore needs valkey-py: pip install 'kvstack[valkey]'") from error

__all__ = ["LIBRARY", "Valkey", "ValkeyCluster"]


class _Pool(connection.ConnectionPool):
    @override
    def get_connection(self, command_name: str = "", *keys: Any, **options: Any) -> Any:
        return super().get_connection(command_name, *keys, **options)


class _SentinelPool(_Pool, sentinel.SentinelConnectionPool):
    pass


LIBRARY: Library[Valkey | ValkeyCluster] = Library(
    dialect=VALKEY,
    errors=errors,
    redis=Valkey,
    cluster=ValkeyCluster,
    connection=connection,
    manager=sentinel.Sentinel,
    managed=(sentinel.SentinelManagedConnection, sentinel.SentinelManagedSSLConnection),
    pools=(_Pool, _SentinelPool),
    parsers=URL_QUERY_ARGUMENT_PARSERS,
    no_retry=lambda: Retry(NoBackoff(), 0),
    slot=key_slot,
    taking=("a command",),
)
