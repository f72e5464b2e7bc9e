"""What a disk store does with its rows: each method is one job on a connection, and waits for nothing but the disk."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from kv_core import address, codec
from kv_core.decisions import Action, Decision, Written
from kv_core.disk_format import RAW, Connection, primary_code, read_value, transaction
from kv_core.entry import Entry
from kv_core.errors import (
    BaseKeyValueError,
    CorruptEntryError,
    DeserializationError,
    EntryTooLargeError,
    StoreClosedError,
    StoreFullError,
    StoreProtocolError,
    StoreSetupError,
    StoreTimeoutError,
    UnsupportedEntryVersionError,
)
from kv_core.ttl import Clock, expiry

T = TypeVar("T")


class Found(NamedTuple):
    """An entry that has not ended, and its bytes."""

    entry: Entry
    data: bytes


_READ: Final = "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1"
_READ_MANY: Final = "SELECT key, mode, filename, value FROM Cache WHERE raw = 1 AND key IN ({marks})"
_CHUNK: Final = 500
_WRITE: Final = (  # one statement, so a transaction by itself
    "INSERT INTO Cache"
    "(key, raw, store_time, access_time, expire_time, access_count, tag, size, mode, filename, value)"
    " VALUES (?, 1, ?, ?, ?, 0, NULL, 0, 1, NULL, ?) ON CONFLICT(key, raw) DO UPDATE SET"
    " store_time = excluded.store_time, access_time = excluded.access_time, expire_time = excluded.expire_time,"
    " access_count = 0, tag = NULL, size = 0, mode = 1, filename = NULL, value = excluded.value"
)
_WRITE_UNLESS_FILE: Final = f"{_WRITE} WHERE filename IS NULL"
_RANGE: Final = "raw = 1 AND key >= CAST(? AS TEXT) AND key < CAST(? AS TEXT)"
_LIVING: Final = "(expire_time IS NULL OR expire_time > ?)"
_VOLUME: Final = (
    "SELECT (page_count - freelist_count) * page_size + (SELECT value FROM Settings WHERE key = 'size')"
    " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)

PAGE: Final = 500
"""How many rows a long job looks at before others get their turn."""
_TIDY_EVERY: Final = 64
"""After how many writes the rows of ended entries are dropped, twice as many at most."""
_TABLE_SIZE: Final = 10_000
"""For how many collections the room that is left is remembered."""


class DiskTable:
    """The rows of one store; its methods are jobs for the thread that has the connection."""

    def __init__(self, clock: Clock, *, limit: int | None = None) -> None:
        """Remember what is evicted.

        Args:
            clock: By which entries end.
            limit: How many entries a collection may have.
        """
        self._clock = clock
        self._limit = limit
        self._room: dict[str, int] = {}
        self._writes = 0

    # Reading ----------------------------------------------------------------------------------------------------------

    def read(self, connection: Connection, collection: str, key: str) -> bytes | None:
        """Return the bytes stored for an address, ended or not."""
        row = connection.execute(_READ, (address.encode(collection, key),)).fetchone()
        if row is None:
            return None
        mode, filename, value = row
        if mode == RAW and type(value) is bytes and filename is None:
            return value
        return self._read_oddity(connection, collection, key, row)

    def _read_oddity(self, connection: Connection, collection: str, key: str, row: Any) -> bytes | None:
        while True:
            try:
                return read_value(connection.directory, *row)
            except CorruptEntryError as error:
                again = connection.execute(_READ, (address.encode(collection, key),)).fetchone()
                if again != row:  # overwritten or deleted, and its file with it, since the row was read
                    if again is None:
                        return None
                    row = again
                    continue
                message = f"{error.message} ({key!r} in {collection!r})"
                raise CorruptEntryError(message, key=key, collection=collection) from error

    def read_many(self, connection: Connection, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the bytes stored for several addresses."""
        names = [address.encode(collection, key) for key in keys]
        rows: dict[str, Any] = {}
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            query = _READ_MANY.format(marks=",".join("?" * len(chunk)))
            rows.update((row[0].decode(), row[1:]) for row in connection.execute(query, chunk).fetchall())
        return [
            None if name not in rows else self._read_oddity(connection, collection, key, rows[name])
            for name, key in zip(names, keys, strict=True)
        ]

    def _find(self, connection: Connection, collection: str, key: str) -> Found | None:
        data = self.read(connection, collection, key)
        if data is None:
            return None
        entry = codec.decode(data, collection, key)
        ended = entry.expires_at is not None and entry.expires_at <= self._clock.now()
        return None if ended else Found(entry, data)

    def _is_there(self, connection: Connection, collection: str, key: str) -> bool:
        """Say whether something lies there that has not ended; what cannot be read counts."""
        try:
            return self._find(connection, collection, key) is not None
        except DeserializationError:
            return True

    # Writing ----------------------------------------------------------------------------------------------------------

    def put(self, connection: Connection, collection: str, key: str, data: bytes, ttl: float | None) -> bool:
        """Keep an entry's bytes."""
        self._writes += 1
        tidy = not self._writes % _TIDY_EVERY
        expires_at = None if ttl is None else expiry(self._clock.now(), ttl)
        if self._limit is None and connection.max_size is None and not tidy:
            row = _row(address.encode(collection, key), data, expires_at)
            if connection.execute(_WRITE_UNLESS_FILE, row).rowcount:
                return True
        with transaction(connection):
            if tidy:
                self.cull(connection, 2 * _TIDY_EVERY)
            self._keep(connection, collection, key, Written(data, expires_at))
        return True

    def put_many(
        self, connection: Connection, collection: str, entries: Iterable[tuple[str, bytes, float | None]]
    ) -> None:
        """Keep several entries in one step."""
        now = self._clock.now()
        with transaction(connection):
            for key, data, ttl in entries:
                self._keep(connection, collection, key, Written(data, None if ttl is None else expiry(now, ttl)))
            self.cull(connection, 2 * _TIDY_EVERY)

    def put_if(
        self, connection: Connection, collection: str, key: str, data: bytes, ttl: float | None, present: bool
    ) -> bool:
        """Keep an entry's bytes if there is an entry (*present*), or if there is none; return whether it did."""
        with transaction(connection):
            if self._is_there(connection, collection, key) != present:
                return False
            expires_at = None if ttl is None else expiry(self._clock.now(), ttl)
            self._keep(connection, collection, key, Written(data, expires_at))
            return True

    def remove_many(self, connection: Connection, collection: str, keys: Iterable[str]) -> int:
        """Drop entries; return how many of them had not ended."""
        count = 0
        with transaction(connection):
            for key in keys:
                count += self._is_there(connection, collection, key)
                self._drop(connection, collection, key)
        return count

    def change(
        self, connection: Connection, collection: str, key: str, decide: Callable[[Found | None], Decision[T]]
    ) -> T:
        """Let *decide* see an entry and say what becomes of it, in one step."""
        with transaction(connection):
            answer, action = decide(self._find(connection, collection, key))
            if isinstance(action, Written):
                self._keep(connection, collection, key, action)
            elif action is Action.DROP:
                self._drop(connection, collection, key)
            return answer

    def _keep(self, connection: Connection, collection: str, key: str, written: Written) -> None:
        name = address.encode(collection, key)
        row = connection.execute("SELECT filename FROM Cache WHERE key = ? AND raw = 1", (name,)).fetchone()
        if row is not None and row[0] is not None:
            connection.files.append(row[0])
        connection.execute(_WRITE, _row(name, written.data, written.expires_at))
        if self._limit is not None and row is None:
            self._count(connection, collection, name, self._limit)
        if connection.max_size is not None:
            self._shrink(connection, name, connection.max_size)

    def _drop(self, connection: Connection, collection: str, key: str) -> None:
        name = address.encode(collection, key)
        if self._delete(connection, "key = ? AND raw = 1", name) and collection in self._room:
            self._room[collection] += 1

    def _delete(self, connection: Connection, where: str, *values: object) -> int:
        files = f"SELECT filename FROM Cache WHERE filename IS NOT NULL AND {where}"  # noqa: S608 - our own words
        connection.files += [filename for (filename,) in connection.execute(files, values).fetchall()]
        return connection.execute(f"DELETE FROM Cache WHERE {where}", values).rowcount  # noqa: S608 - as above

    # Evicting ---------------------------------------------------------------------------------------------------------

    def _shrink(self, connection: Connection, newest: str, max_size: int) -> None:
        """Drop the entries written first, until the rest has room, or only the newest is left."""
        oldest = "rowid IN (SELECT rowid FROM Cache WHERE NOT (key = ? AND raw = 1) ORDER BY store_time LIMIT 10)"
        while connection.execute(_VOLUME).fetchone()[0] > max_size and self._delete(connection, oldest, newest):
            pass

    def _count(self, connection: Connection, collection: str, newest: str, limit: int) -> None:
        """Note a new entry; when there may be too many, count, and drop the tenth that was written first.

        Other processes add entries too, so the count is renewed after every tenth part of the limit.
        """
        left = self._room.get(collection, 0) - 1
        if left < 0:
            bounds = _bounds(collection)
            count = connection.execute(f"SELECT count(*) FROM Cache WHERE {_RANGE}", bounds).fetchone()[0]  # noqa: S608
            if count > limit:
                surplus = count - limit + limit // 10
                chosen = f"SELECT rowid FROM Cache WHERE {_RANGE} AND key != ? ORDER BY store_time, rowid LIMIT ?"  # noqa: S608
                count -= self._delete(connection, f"rowid IN ({chosen})", *bounds, newest, surplus)
            left = min(limit - count, limit // 10)
            if len(self._room) >= _TABLE_SIZE:
                self._room.clear()
        self._room[collection] = left

    def cull(self, connection: Connection, size: int = PAGE) -> int:
        """Drop entries that have ended, *size* at most; return how many there were."""
        ended = "rowid IN (SELECT rowid FROM Cache WHERE expire_time <= ? ORDER BY expire_time LIMIT ?)"
        with transaction(connection):
            return self._delete(connection, ended, self._clock.now().timestamp(), size)

    # Listing ----------------------------------------------------------------------------------------------------------

    def page(
        self, connection: Connection, collection: str, cursor: bytes | None, size: int
    ) -> tuple[list[str], bytes | None]:
        """Return keys in order from *cursor* on, and the next cursor."""
        begins, ends = _bounds(collection)
        query = f"SELECT key FROM Cache WHERE {_RANGE} AND {_LIVING} ORDER BY key LIMIT ?"  # noqa: S608 - our own words
        values = (cursor or begins, ends, self._clock.now().timestamp(), size)
        names = [name for (name,) in connection.execute(query, values).fetchall()]
        places = [place for name in names if (place := _place(name)) is not None]
        return [key for _, key in places], names[-1] + b"\0" if len(names) == size else None

    def collections(self, connection: Connection, cursor: bytes) -> tuple[list[str], bytes | None]:
        """Return collections in order from *cursor* on, and the next cursor; it leaps from one to the next."""
        query = (
            "SELECT key, mode, filename, value FROM Cache WHERE raw = 1 AND key >= CAST(? AS TEXT) AND key < x''"  # noqa: S608
            f" AND {_LIVING} ORDER BY key LIMIT 1"
        )
        found: list[str] = []
        now = self._clock.now().timestamp()
        for _ in range(PAGE):
            row = connection.execute(query, (cursor, now)).fetchone()
            if row is None:
                return found, None
            name, *content = row
            place = _place(name)
            if place is not None and _is_entry(connection, place, content):
                found.append(place[0])
                cursor = _bounds(place[0])[1]
            else:
                cursor = name + b"\0"
        return found, cursor

    def clear(self, connection: Connection, collection: str | None, cursor: bytes | None) -> tuple[bool, bytes | None]:
        """Drop a page of a collection, or of all; say whether one of them had not ended, and return the next cursor.

        Rows that are not entries are left where they are unless they bear the collection's name.
        """
        begins, ends = (b"", None) if collection is None else _bounds(collection)
        where = "raw = 1 AND key >= CAST(? AS TEXT) AND " + ("key < x''" if ends is None else "key < CAST(? AS TEXT)")
        bounds = (cursor or begins,) if ends is None else (cursor or begins, ends)
        content = "mode, filename, value" if collection is None else "NULL, NULL, NULL"
        query = f"SELECT rowid, key, expire_time, {content} FROM Cache WHERE {where} ORDER BY key LIMIT {PAGE}"  # noqa: S608
        now = self._clock.now().timestamp()
        found = False
        with transaction(connection):
            rows = connection.execute(query, bounds).fetchall()
            for rowid, name, expire_time, *content in rows:
                place = _place(name)
                if place is None or (collection is None and not _is_entry(connection, place, content)):
                    continue
                self._delete(connection, "rowid = ?", rowid)
                found = found or expire_time is None or expire_time > now
            self._room.clear()
        return found, rows[-1][1] + b"\0" if len(rows) == PAGE else None

    def ping(self, connection: Connection) -> None:
        """Read something that is always there."""
        connection.execute("SELECT value FROM Settings LIMIT 1").fetchone()


def _row(name: str, data: bytes, expires_at: datetime | None) -> tuple[str, float, float, float | None, bytes]:
    now = time.time()
    return name, now, now, None if expires_at is None else expires_at.timestamp(), data


def _bounds(collection: str) -> tuple[bytes, bytes]:
    """Return where the names of a collection begin, and where they have ended."""
    prefix = address.encode(collection, "").encode()
    return prefix, prefix[:-1] + b";"


def _place(name: bytes) -> tuple[str, str] | None:
    try:
        return address.decode(name.decode())
    except UnicodeDecodeError:
        return None


def _is_entry(connection: Connection, place: tuple[str, str], content: Sequence[Any]) -> bool:
    try:
        codec.decode(read_value(connection.directory, content[0], content[1], content[2]), *place)
    except UnsupportedEntryVersionError:
        return True
    except CorruptEntryError:
        return False
    return True


# Errors ---------------------------------------------------------------------------------------------------------------

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_WRITE: Final = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_TRUNCATE)


def translate(error: Exception, store: str) -> BaseKeyValueError:
    """Name an error of SQLite or of the file system. What failed was rolled back."""
    match error:
        case sqlite3.Error():
            return _translate_sqlite(error, store)
        case OSError(errno=code) if code in _NO_ROOM:
            return StoreFullError(f"{store}: there is no room left on the disk.")
        case OSError(strerror=reason, filename=path):
            return StoreSetupError(f"{store} cannot use {path}: {reason}; check the directory and its permissions.")
        case OverflowError():
            return EntryTooLargeError(f"{store}: SQLite takes at most 1,000,000,000 bytes.")
        case _:
            return StoreProtocolError(f"{store}: unexpected {type(error).__name__}.", outcome="unknown")


def _translate_sqlite(error: sqlite3.Error, store: str) -> BaseKeyValueError:
    code: int = getattr(error, "sqlite_errorcode", 0)
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    if code in _NO_WRITE or primary_code(error) == sqlite3.SQLITE_FULL:
        return StoreFullError(f"{store}: the disk is full, or a quota or a limit of file size is reached ({name}).")
    match primary_code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreTimeoutError(f"{store}: the database is locked ({name}).", outcome="not_applied")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return CorruptEntryError(f"{store}: the database is damaged ({name}); restore its directory from a backup.")
        case sqlite3.SQLITE_TOOBIG:
            return EntryTooLargeError(f"{store}: SQLite takes at most 1,000,000,000 bytes ({name}).")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_ERROR:
            return StoreSetupError(f"{store}: the database cannot be used ({name}); check its files and permissions.")
        case _ if isinstance(error, sqlite3.ProgrammingError):  # "Cannot operate on a closed database"
            return StoreClosedError(f"{store} was closed; make a new one.")
        case _:
            return StoreProtocolError(f"{store}: SQLite reports {name}.", outcome="unknown")
