"""A TCP relay that hangs up once, for tests of what follows."""

import contextlib
import socket
import threading


class HangingUp:
    """Relay connections to a server, and close the first one that sends *word*, without passing it on."""

    def __init__(self, host: str, port: int, word: bytes) -> None:
        self._server = host, port
        self._word: bytes | None = word
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            self._start(self._relay, client, server, True)
            self._start(self._relay, server, client, False)

    def _relay(self, source: socket.socket, target: socket.socket, asks: bool) -> None:
        try:
            while data := source.recv(65536):
                if asks and self._word is not None and self._word in data:
                    self._word = None
                    break
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            hang_up(one)

    def close(self) -> None:
        """End all connections and threads."""
        for one in self._sockets:
            hang_up(one)
        for thread in self._threads:
            thread.join(5)
        for one in self._sockets:
            one.close()


def hang_up(one: socket.socket) -> None:
    """Shut a socket down in both directions, whatever is left of it."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
