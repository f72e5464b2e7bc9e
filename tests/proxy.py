"""TCP relays between a store and its server: one that hangs up once, one that misbehaves as it is told."""

import contextlib
import socket
import struct
import threading


class Relay:
    """Hand bytes on between clients and a server; a subclass says what becomes of them."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
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
            self._sockets.append(client)
            if not self._welcome(client):
                continue
            server = socket.create_connection(self._server)
            self._sockets.append(server)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._relay, client, server, self._ask)
            self._start(self._relay, server, client, self._answer)

    def _relay(self, source: socket.socket, target: socket.socket, pass_on) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(65536)) and pass_on(data, source, target):
                pass
        for one in (source, target):
            hang_up(one)

    def _welcome(self, client: socket.socket) -> bool:
        """Say whether a new connection goes on to the server."""
        return True

    def _ask(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        """Pass on what is asked, and say whether the connection goes on."""
        server.sendall(data)
        return True

    def _answer(self, data: bytes, server: socket.socket, client: socket.socket) -> bool:
        """The same for what is answered."""
        client.sendall(data)
        return True

    def close(self) -> None:
        """End all connections and threads."""
        for one in self._sockets:
            hang_up(one)
        for thread in self._threads:
            thread.join(5)
        for one in self._sockets:
            one.close()


class HangingUp(Relay):
    """Close the first connection that sends *word*, without passing it on."""

    def __init__(self, host: str, port: int, word: bytes) -> None:
        self._word: bytes | None = word
        super().__init__(host, port)

    def _ask(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        if self._word is not None and self._word in data:
            self._word = None
            return False
        return super()._ask(data, client, server)


class Misbehaving(Relay):
    """Relay well or badly: `mode` says how what is asked and answered from now on is treated.

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
        self._ended = threading.Event()
        super().__init__(host, port)

    def _welcome(self, client: socket.socket) -> bool:
        self.connections += 1
        if self.mode == "refused":
            reset(client)
            return False
        return True

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
        """End all connections and threads, without waiting for an answer that is late."""
        self._ended.set()
        super().close()


def hang_up(one: socket.socket) -> None:
    """Shut a socket down in both directions, whatever is left of it."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def reset(one: socket.socket) -> None:
    """Close a connection with RST instead of FIN."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
