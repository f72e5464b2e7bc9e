"""Which database a collection of a disk store is in, and which databases a thread has open."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from kv_core.address import shorten
from kv_core.disk_format import DATABASE, Connection, connect, directory_of, empty, inside
from kv_core.errors import ConfigurationError

Connect: TypeAlias = Callable[[str, bool], Connection | None]
"""Open the database of a place; make it first, if there is none and the second argument is true, else return None."""

MOST_OPEN: Final = 8
"""How many databases a thread of a store with many has open at once."""
_LONGEST: Final = 120
_ODD: Final = re.compile(rb"[^a-z0-9_-]")
_NAME: Final = re.compile(r"[a-z0-9_%~-]+")
_DEVICES: Final = {"con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(10))}


class Databases(dict[str, Connection]):
    """The databases that one thread has open, by place; beyond *most* the one that was opened first is closed.

    Attributes:
        turn: Held while one of them is used, so that it is not closed meanwhile.
    """

    def __init__(self, connect: Connect, most: int) -> None:
        super().__init__()
        self._connect = connect
        self._most = most
        self._empty: Connection | None = None
        self.turn = threading.RLock()

    def open(self, place: str, make: bool) -> Connection:
        """Open a database; one without entries stands for what is not there and shall not be made."""
        connection = self._connect(place, make)
        if connection is None:
            self._empty = self._empty or empty()
            return self._empty
        while len(self) >= self._most:
            self.pop(next(iter(self))).close()
        self[place] = connection
        return connection

    def close(self) -> None:
        """Close them all."""
        while self:
            self.popitem()[1].close()
        if self._empty is not None:
            self._empty.close()


def absolute(directory: str | os.PathLike[str], store: str) -> Path:
    """Return the path that a user gave; `~` is the user's home.

    Raises:
        ConfigurationError: It is not a path.
    """
    try:
        text = os.fspath(directory)
        path = Path(text).expanduser().absolute()
    except (TypeError, RuntimeError) as error:  # not a path, or no home
        raise ConfigurationError(f"{store}: directory is the path of a directory, not {directory!r}.") from error
    if not text or "\0" in text:
        raise ConfigurationError(f"{store}: directory is the path of a directory, not {directory!r}.")
    return path


def at_one_place(directory: Path, max_size: int | None) -> Connect:
    """Return what opens the one database of a store, and makes it in any case."""
    return lambda _place, _make: connect(directory, max_size=max_size)


def below(base: Path, max_size: int | None) -> Connect:
    """Return what opens databases in the directories of *base*, the places.

    It raises PathSecurityError where a link leads out of *base*.
    """

    def open_below(place: str, make: bool) -> Connection | None:
        inside(base, f"{place}/{DATABASE}")
        if make:
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not _is_there(base / place):
            return None
        return connect(base / place, max_size=max_size)

    return open_below


def made_by(factory: Callable[[str], Any]) -> Connect:
    """Return what opens the databases of the `Cache`s that a user's function returns for collections, the places.

    It raises ConfigurationError for one that may load pickles.
    """

    def open_made(place: str, _make: bool) -> Connection:
        cache = factory(place)
        directory, max_size = directory_of(cache, "disk_cache_factory")
        cache.close()
        return connect(directory, max_size=max_size)

    return open_made


def _is_there(directory: Path) -> bool:
    try:
        return any(name.startswith(DATABASE) for name in os.listdir(directory))  # noqa: PTH208 - names are enough
    except FileNotFoundError:
        return False


@lru_cache(1024)
def directory_name(collection: str) -> str:
    """Write a collection as the name of a directory that no file system changes, reserves, or takes for another."""
    name = _ODD.sub(lambda odd: b"%%%02x" % ord(odd[0]), collection.encode()).decode()
    if name in _DEVICES:
        name = f"%{ord(name[0]):02x}{name[1:]}"
    return shorten(name, _LONGEST)


def places_below(base: Path) -> list[str]:
    """Return the directories of *base* that may be those of collections."""
    try:
        with os.scandir(base) as found:
            return sorted(entry.name for entry in found if _NAME.fullmatch(entry.name) and entry.is_dir())
    except FileNotFoundError:
        return []
