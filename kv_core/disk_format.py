"""What lies in a disk store's directory: a diskcache database that holds bytes; how it is made, checked and opened.

The layout is diskcache 5's. Its `Cache` makes the tables, but does not work on them here: it waits for locks without a
deadline, deletes value files before the commit, and stays in a transaction whose commit failed.
"""

from __future__ import annotations

import io
import os
import sqlite3
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, ParamSpec, TypeVar

from typing_extensions import override

from kv_core.errors import (
    ConfigurationError,
    CorruptEntryError,
    InvalidKeyError,
    MissingDependencyError,
    PathSecurityError,
    SerializationError,
    StoreSetupError,
    StoreTimeoutError,
)

try:
    from diskcache import Cache, Disk
    from diskcache.core import DBNAME, MODE_BINARY, MODE_RAW, MODE_TEXT, UNKNOWN
except ImportError as error:
    raise MissingDependencyError("DiskStore needs diskcache: pip install 'kvstack[disk]'") from error

P = ParamSpec("P")
T = TypeVar("T")

IN_DATABASE: Final = 2**31 - 1
"""As `disk_min_file_size`: every value stays in the database, so none can be lost or orphaned beside it."""
RAW: Final[int] = MODE_RAW
DATABASE: Final[str] = DBNAME
"""What the database is called in its directory; its log's name and the index's begin with it."""

_FILES: Final = (MODE_BINARY, MODE_TEXT)
_COLUMNS: Final = {
    "Cache": {"rowid", "key", "raw", "store_time", "expire_time", "access_time", "access_count", "tag", "size", "mode"}
    | {"filename", "value"},
    "Settings": {"key", "value"},
}
_SETTINGS: Final[dict[str, Any]] = {
    "eviction_policy": "none",
    "size_limit": 2**62,
    "cull_limit": 0,
    "statistics": 0,
    "disk_min_file_size": IN_DATABASE,
}
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


# Values ---------------------------------------------------------------------------------------------------------------


class BytesDisk(Disk):
    """A `Disk` for diskcache's `Cache` that keeps bytes under text keys: no pickle is written, and none is loaded.

    `Cache(directory, disk=BytesDisk, disk_min_file_size=IN_DATABASE)` can be given to a store as `disk_cache`.
    """

    @override
    def put(self, key: Any) -> Any:
        if type(key) is not str:
            raise InvalidKeyError(f"A key in this cache is a str, not {type(key).__name__}.")
        return key, True

    @override
    def get(self, key: Any, raw: Any) -> Any:
        if not raw:
            raise CorruptEntryError("A key in this cache is a pickle, which was not loaded.")
        return key

    @override
    def store(self, value: Any, read: bool, key: Any = UNKNOWN) -> Any:
        if type(value) is not bytes or read:
            raise SerializationError(f"A value in this cache is bytes, not {type(value).__name__}.")
        return 0, RAW, None, value

    @override
    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> Any:
        data = read_value(self._root, mode, filename, value)
        return io.BytesIO(data) if read else data

    @override
    def remove(self, file_path: Any) -> None:
        remove_file(self._root, file_path)

    @property
    def _root(self) -> Path:
        return Path(os.fsdecode(vars(self)["_directory"]))


def read_value(directory: Path, mode: int, filename: str | bytes | None, value: object) -> bytes:
    """Return the bytes of a row: those in the database, or in a value file that py-key-value wrote.

    Raises:
        CorruptEntryError: The row holds something else, such as a pickle, or its file is lost or elsewhere.
    """
    if mode == RAW and filename is None:
        if type(value) is bytes:
            return value
        if type(value) is str:
            return value.encode()
    elif mode in _FILES and filename is not None:
        try:
            path = _file_inside(directory, filename)
            if path.is_file():
                return path.read_bytes()
        except (OSError, ValueError) as error:
            raise CorruptEntryError("The file of this value cannot be read, or is not in the store.") from error
        raise CorruptEntryError("The file of this value is lost.")
    raise CorruptEntryError("What is stored there is not bytes that a store wrote, and was not loaded.")


def remove_file(directory: Path, filename: str | bytes) -> None:
    """Delete a value file, if it lies in the directory and is still there."""
    with suppress(OSError, ValueError):
        path = _file_inside(directory, filename)
        path.unlink()
        path.parent.rmdir()  # refuses unless nothing is left in it
        path.parent.parent.rmdir()


def _file_inside(directory: Path, filename: str | bytes) -> Path:
    path = inside(directory, os.fsdecode(filename))
    if path.name.startswith(DATABASE):
        raise PathSecurityError("A value's file bears the database's name; it was not touched.")
    return path


def inside(directory: Path, name: str) -> Path:
    """Return the path of a file in *directory*, links resolved.

    Raises:
        PathSecurityError: It lies elsewhere.
    """
    try:
        root = directory.resolve()
        path = (root / name).resolve()
    except RuntimeError as error:
        raise PathSecurityError(f"{name!r} is a link that leads to itself.") from error
    if root not in path.parents:
        raise PathSecurityError(f"{name!r} leads out of the store's directory {directory}; it was not touched.")
    return path


# The database ---------------------------------------------------------------------------------------------------------


class Connection(sqlite3.Connection):
    """A connection that belongs to one thread; only `close` may be called from another.

    Attributes:
        directory: Where the database lies.
        max_size: Beyond this size, in bytes, the entries written first are dropped.
        files: Value files to delete when the transaction has been committed.
        joined: A transaction is open, and what is done is part of it.
    """

    def __init__(self, directory: Path, *, max_size: int | None = None, uri: str | None = None) -> None:
        path = uri or f"{(directory / DATABASE).as_uri()}?mode=rw"  # never made by merely connecting
        super().__init__(path, timeout=0, isolation_level=None, check_same_thread=False, uri=True)
        self.text_factory = bytes  # what is damaged or planted need not be UTF-8
        self.directory = directory
        self.max_size = max_size
        self.files: list[str | bytes] = []
        self.joined = False


def connect(directory: Path, *, max_size: int | None = None) -> Connection:
    """Open the database in *directory*; make both, for this user alone, if there is neither.

    Args:
        directory: Where it lies; absolute.
        max_size: Beyond this size, in bytes, the entries written first are dropped.

    Raises:
        StoreSetupError: What is there is not a database of diskcache, or not all of it.
        OSError: The directory cannot be made.
        sqlite3.Error: The database is locked, damaged, or may not be opened.
    """
    _prepare(directory)
    connection = Connection(directory, max_size=max_size)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA synchronous = NORMAL")
        _check_tables(connection)
        if connection.execute("PRAGMA journal_mode").fetchone() != (b"wal",):
            connection.execute("PRAGMA journal_mode = WAL")
        if max_size is not None:
            connection.execute("CREATE INDEX IF NOT EXISTS Cache_store_time ON Cache (store_time)")
    except sqlite3.DatabaseError as error:
        connection.close()
        if primary_code(error) == sqlite3.SQLITE_NOTADB:
            raise StoreSetupError(f"{directory / DATABASE} is not a database; move it away, or restore it.") from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def empty() -> Connection:
    """Return a database in memory without entries, which answers for one that is not there."""
    connection = Connection(Path(), uri="file::memory:")
    for table, columns in _COLUMNS.items():
        connection.execute(f"CREATE TABLE {table} ({', '.join(sorted(columns))})")
    return connection


def _prepare(directory: Path) -> None:
    database, log, index = (directory / f"{DATABASE}{suffix}" for suffix in ("", "-wal", "-shm"))
    if not database.exists():
        if log.exists() and not database.exists():
            raise StoreSetupError(f"{database} is missing, but its log {log.name} is there; restore or remove both.")
        _create(directory)
    if not database.stat().st_size:
        raise StoreSetupError(f"{database} is empty, so not a database; restore it, or remove it to begin anew.")
    for _ in range(5):  # SQLite makes the log before its index and removes it after, so a lone index stays one
        if log.exists() or not index.exists():
            return
        sleep(0.001)
    raise StoreSetupError(
        f"{log} was removed from beside {index.name}, and with it the last writes; restore it, "
        f"or remove {index.name} to go on with what had been saved before."
    )


def _create(directory: Path) -> None:
    """Make an empty database elsewhere, and put it in its place in one step, unless another process did."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, new = tempfile.mkstemp(prefix=".new-", dir=directory)  # SQLite gives the log and its index its mode
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_new_database(directory))
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(new, directory / DATABASE)
    finally:
        Path(new).unlink()


_new: bytes | None = None


def _new_database(directory: Path) -> bytes:
    """Return an empty database as diskcache makes it, which takes it long enough to do it once a process."""
    global _new  # noqa: PLW0603 - the same for all
    if _new is None:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=directory) as folder:
            Cache(folder, disk=BytesDisk, **_SETTINGS).close()
            _new = Path(folder, DATABASE).read_bytes()
    return _new


def _check_tables(connection: Connection) -> None:
    unique = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = 'Cache_key_raw'"
    complete = connection.execute(unique).fetchone() is not None and all(
        columns <= {name.decode() for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        for table, columns in _COLUMNS.items()
    )
    if not complete:
        raise StoreSetupError(
            f"{connection.directory / DATABASE} is not a database that diskcache 5 made; choose another directory."
        )


def directory_of(cache: object, option: str = "disk_cache") -> tuple[Path, int | None]:
    """Return where a user's `Cache` lies, and from how many bytes on it evicts; *option* is where it came from.

    Raises:
        ConfigurationError: It is not a `Cache`, or its `Disk` may load pickles.
    """
    if not isinstance(cache, Cache) or not isinstance(cache.disk, BytesDisk):
        raise ConfigurationError(
            f"{option} gives a diskcache Cache whose disk is kv_core.disk_format.BytesDisk, because the stock Disk "
            "loads pickles: Cache(directory, disk=BytesDisk, disk_min_file_size=IN_DATABASE)."
        )
    settings: Any = cache
    evicts = settings.eviction_policy != "none" and settings.cull_limit
    return Path(os.fsdecode(cache.directory)).absolute(), settings.size_limit if evicts else None


# Work -----------------------------------------------------------------------------------------------------------------


@contextmanager
def transaction(connection: Connection) -> Generator[None, None, None]:
    """Make what is done inside one step, or a part of the transaction that is open already."""
    if connection.joined:
        yield
        return
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.joined = True
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.files.clear()
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.joined = False
    while connection.files:
        remove_file(connection.directory, connection.files.pop())


def patiently(
    until: float, check: Callable[[], None] | None, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Do a job that begins with taking SQLite's lock; while another has it, try again.

    SQLite's own wait is fixed for a connection; this one costs nothing unless it is needed, and ends with the call.

    Args:
        until: When to stop trying, on the monotonic clock.
        check: Raises what ends the wait early, such as that the store was closed.
        job: What to do.
        *args: Its arguments.
        **kwargs: More of them.

    Raises:
        StoreTimeoutError: The lock was not free in time; nothing was done.
    """
    pause = 0.0005
    while True:
        try:
            return job(*args, **kwargs)
        except sqlite3.OperationalError as error:
            left = until - monotonic()
            if primary_code(error) not in _BUSY:
                raise
            if left <= 0:
                message = "Another thread or process kept the database locked until the call's deadline."
                raise StoreTimeoutError(message, outcome="not_applied") from error
        if check is not None:
            check()
        sleep(min(pause, left))
        pause = min(pause * 1.5, 0.02)


def primary_code(error: sqlite3.Error) -> int:
    """Return the kind of an SQLite error, without its details."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
