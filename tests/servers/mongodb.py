"""What speaks MongoDB's wire protocol."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from servers.base import LOOPBACK, Kind, local_program, wheel_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


class MongoDB(Kind):
    """MongoDB, or SecantusDB in its place, which the summary then says."""

    name = "mongodb"
    label = "MongoDB"
    image = "mongo:8"
    container_port = 27017

    def binaries(self) -> Iterator[tuple[Path, str]]:
        """The user's mongod, then the server in the secantusdb wheel."""
        if found := local_program("mongod"):
            yield found, "local mongod"
        program = Path(sys.executable).parent / "secantusd-py"
        if wheel_folder("secantus") and program.exists():
            yield program, "secantusdb wheel"

    def command(self, binary: Path, port: int, folder: Path) -> list[str]:
        """Keep nothing for longer than the run."""
        if binary.name == "mongod":
            return [str(binary), "--bind_ip", LOOPBACK, "--port", str(port), "--dbpath", str(folder)]
        options = {"--host": LOOPBACK, "--port": port, "--storage-path": ":memory:", "--log-level": "WARNING"}
        return [str(binary), *(str(word) for option in options.items() for word in option), "--standalone"]

    def url(self, host: str, port: int) -> str:
        """A plain URL without a database."""
        return f"mongodb://{host}:{port}"

    def version(self, url: str) -> str:
        """Ask through pymongo."""
        import pymongo

        with pymongo.MongoClient(url, serverSelectionTimeoutMS=2000) as client:
            return str(client.server_info()["version"])

    def described(self, url: str, where: str) -> str:
        """Say whose server it is: the wheel's is not MongoDB's."""
        if "secantusdb" in where:
            return f"MongoDB wire (SecantusDB), answers as {self.version(url)}, {where}"
        return super().described(url, where)


class OwnMongoDB(MongoDB):
    """The same with options of the test's, and a folder that outlives it; the stand-in and mongod spell some alike."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.options = options

    def command(self, binary: Path, port: int, folder: Path) -> list[str]:
        """Keep the data in our folder."""
        words = super().command(binary, port, self.folder)
        return [*(str(self.folder) if word == ":memory:" else word for word in words), *self.options]
