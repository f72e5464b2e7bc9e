"""A TCP relay that hangs up once, for tests of what follows."""

import contextlib
import socket
import struct
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


class Misbehaving:
    """Relay connections to a server, well or badly: `mode` says how what is asked and answered from now on is treated.

    - `fine`: as it comes;
    - `late`: an answer waits for `DELAY` seconds;
    - `dripping`: an answer comes a byte each 10 ms, and all at once after 30;
    - `refused`: a new connection is closed at once, an old one with its next request;
    - `reset before`, `reset after`: the connection is reset before the request is passed on, or before the answer is;
    - `truncated`, `slow close`: after half of an answer the connection is closed, at once or after `DELAY` seconds;
    - `garbage`: the answer is something else;
    - `half-open`: the request is passed on, and the answer is not;
    - `silent`: the request is not passed on, and nothing is closed.
    """

    MODES = (
        "late",
        "dripping",
        "refused",
        "reset before",
        "reset after",
        "truncated",
        "slow close",
        "garbage",
        "half-open",
        "silent",
    )
    DELAY = 0.25

    def __init__(self, host: str, port: int) -> None:
        self.mode = "fine"
        self.connections = 0
        self._server = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
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
            self._sockets.append(client)
            self.connections += 1
            if self.mode == "refused":
                reset(client)
                continue
            server = socket.create_connection(self._server)
            self._sockets.append(server)
            self._start(self._relay, client, server, self._ask)
            self._start(self._relay, server, client, self._answer)

    def _relay(self, source: socket.socket, target: socket.socket, pass_on) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and pass_on(data, source, target):
                pass
        for one in (source, target):
            hang_up(one)

    def _ask(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        if self.mode in {"refused", "reset before"}:
            reset(client)
            return False
        if self.mode != "silent":
            server.sendall(data)
        return True

    def _answer(self, data: bytes, server: socket.socket, client: socket.socket) -> bool:
        match self.mode:
            case "late":
                self._ended.wait(self.DELAY)
            case "dripping":
                for byte in data[:30]:
                    client.sendall(bytes([byte]))
                    self._ended.wait(0.01)
                data = data[30:]
            case "reset after":
                reset(client)
                return False
            case "truncated" | "slow close":
                client.sendall(data[: len(data) // 2])
                if self.mode == "slow close":
                    self._ended.wait(self.DELAY)
                return False
            case "garbage":
                data = b"\xff\x00?!" * 8 + b"\r\n"
            case "half-open" | "silent":
                return True
            case _:
                pass
        client.sendall(data)
        return True

    def close(self) -> None:
        """End all connections and threads."""
        self._ended.set()
        for one in self._sockets:
            hang_up(one)
        for thread in self._threads:
            thread.join(5)
        for one in self._sockets:
            one.close()


def reset(one: socket.socket) -> None:
    """Close a connection with RST instead of FIN."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
