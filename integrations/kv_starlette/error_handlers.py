"""Answer 503 where a store cannot be reached."""

from __future__ import annotations

import logging
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from kv_core.errors import StoreError

RETRY_AFTER = 1
TRY_AGAIN_LATER = 1013
"""The WebSocket close code of that meaning: https://www.iana.org/assignments/websocket/websocket.xml"""

logger = logging.getLogger("kv_starlette")


def add_error_handlers(app: Starlette) -> None:
    """Answer 503 to every `StoreError` that an endpoint lets pass, and close a WebSocket with code 1013.

    The client learns only that it may try again; the error itself is logged.
    """
    app.add_exception_handler(StoreError, _unavailable)


async def _unavailable(connection: Request | WebSocket, error: Exception) -> Any:
    logger.error("%s: %s", type(error).__name__, error)
    if isinstance(connection, WebSocket):
        await connection.close(TRY_AGAIN_LATER)
        return None
    return _response(error)


def _response(error: Exception) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER)} if getattr(error, "retryable", False) else None
    return JSONResponse({"detail": "The store is not available."}, 503, headers)
