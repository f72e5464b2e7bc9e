"""What speaks Elasticsearch's HTTP interface."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar
from urllib.request import urlopen

from servers.base import LOOPBACK, Kind, wheel_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Elasticsearch(Kind):
    """Elasticsearch in a container, or noida-db in its place, which the summary then says."""

    name = "elasticsearch"
    label = "Elasticsearch"
    image = "elasticsearch:8.15.3"
    container_port = 9200
    environment: ClassVar = {
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        "ES_JAVA_OPTS": "-Xms512m",
    }

    def binaries(self) -> Iterator[tuple[Path, str]]:
        """The server in the noida-db wheel."""
        if (wheel := wheel_folder("noida_db")) and (binary := wheel / "noida-db").exists():
            yield binary, "noida-db wheel"

    def command(self, binary: Path, port: int, folder: Path) -> list[str]:
        """One service of the many that it offers."""
        options = {"--data-dir": folder / "data", "--host": LOOPBACK, "--only": self.name, "--elasticsearch-port": port}
        return [str(binary), "start", *(str(word) for option in options.items() for word in option)]

    def url(self, host: str, port: int) -> str:
        """A plain URL."""
        return f"http://{host}:{port}"

    def version(self, url: str) -> str:
        """Ask its root."""
        with urlopen(url, timeout=2) as answer:
            return str(json.load(answer)["version"]["number"])

    def described(self, url: str, where: str) -> str:
        """Say whose server it is: the wheel's is not Elasticsearch."""
        if "noida-db" in where:
            return f"Elasticsearch API (noida-db), answers as {self.version(url)}, {where}"
        return super().described(url, where)
