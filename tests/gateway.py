"""An HTTP server before Elasticsearch: it counts requests, wants a login, speaks TLS, and answers as it is told."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADERS = {"content-type": "application/json", "x-elastic-product": "Elasticsearch"}


def error(status: int, kind: str) -> tuple[int, Any]:
    """Return an answer as Elasticsearch words an error."""
    reason = {"type": kind, "reason": "quotes canary-7f3a"}
    return status, {"error": {"root_cause": [reason], **reason}, "status": status}


class Gateway(ThreadingHTTPServer):
    """Forward requests to a server, and keep count of them by their last word, such as `_bulk`.

    Attributes:
        logins: The `Authorization` headers that are let in; None lets everybody in.
        answer: Called with method, path and body; what it returns, unless None, is answered in the server's place:
            a status, and what is sent as JSON, or bytes as they are.
        seen: The method, the path and the body of each request.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = host, port
        self.logins: set[str] | None = None
        self.answer: Callable[[str, str, bytes], tuple[int, Any] | None] = lambda *_: None
        self.seen: list[tuple[str, str, bytes]] = []
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def counts(self) -> dict[str, int]:
        """Return how many requests there were since the last call, by the last word of their path."""
        seen, self.seen = self.seen, []
        return dict(Counter(path.partition("?")[0].rpartition("/")[2] for _, path, _ in seen))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def stop(self) -> None:
        """End it."""
        self.shutdown()
        self.server_close()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        gateway = cast("Gateway", self.server)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        gateway.seen.append((self.command, self.path, body))
        if gateway.logins is not None and self.headers.get("authorization") not in gateway.logins:
            told: tuple[int, Any] | None = error(401, "security_exception")
        else:
            told = gateway.answer(self.command, self.path, body)
        if told is None:
            self._reply(*self._forward(gateway, body))
        else:
            status, answer = told
            self._reply(status, HEADERS, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def _forward(self, gateway: Gateway, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = http.client.HTTPConnection(*gateway.upstream, timeout=10)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() in HEADERS}
            return answer.status, kept, answer.read()
        finally:
            upstream.close()

    def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815 - the names that http.server calls

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
