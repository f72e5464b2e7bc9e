# Written by tools/mirror.py from kv_core/aio/recipes/session_record.py: change that file instead.
"""Keep web sessions, so that one that ended never comes back and an id that we did not make is never used."""

from __future__ import annotations

import re
from typing import Any, Final

from kv_core.capabilities import require
from kv_core.session_id import SESSION_ID, is_session_id, new_session_id
from kv_core.sync.protocols import ConditionalPut, KeyValue, Touch

_ATTEMPTS: Final = 10


class SessionRecords:
    """The sessions in one collection of a store.

    Creating is put-if-absent and saving is put-if-present, each in one step on the server: a session that was deleted
    meanwhile stays deleted. Of two saves at once the later one wins, as a whole. Errors of the store pass through: an
    outage is not a session that ended.
    """

    def __init__(
        self, store: KeyValue, *, collection: str | None = None, pattern: re.Pattern[str] = SESSION_ID
    ) -> None:
        """Use a store that can put conditionally.

        Args:
            store: The store.
            collection: Where the sessions are; by default the store's default collection.
            pattern: What an id looks like in full; other ids are never looked up.

        Raises:
            UnsupportedOperationError: The store cannot put conditionally.
        """
        self._store = store
        self._puts = require(store, ConditionalPut)
        self._collection = collection
        self._pattern = pattern

    def create(self, data: dict[str, Any], *, ttl: float | None, session_id: str | None = None) -> str | None:
        """Keep a new session.

        Args:
            data: What it holds.
            ttl: How long it lasts, in seconds.
            session_id: Its id, made by the caller and never by a client; by default a fresh one is made.

        Returns:
            Its id, or None if the given one is taken.
        """
        if session_id is not None:
            kept = self._puts.put_if_absent(session_id, data, collection=self._collection, ttl=ttl)
            return session_id if kept else None
        for _ in range(_ATTEMPTS):
            session_id = new_session_id()
            if self._puts.put_if_absent(session_id, data, collection=self._collection, ttl=ttl):
                return session_id
        return None

    def load(self, session_id: str) -> dict[str, Any] | None:
        """Return what a session holds, or None if there is none of this id. Nothing is created."""
        if not is_session_id(session_id, self._pattern):
            return None
        return self._store.get(session_id, collection=self._collection)

    def save(self, session_id: str, data: dict[str, Any], *, ttl: float | None) -> bool:
        """Keep what a session holds now; return False, and keep nothing, if it has ended."""
        if not is_session_id(session_id, self._pattern):
            return False
        return self._puts.put_if_present(session_id, data, collection=self._collection, ttl=ttl)

    def exists(self, session_id: str) -> bool:
        """Say whether there is a session of this id."""
        return self.load(session_id) is not None

    def touch(self, session_id: str, *, ttl: float | None) -> bool:
        """Let a session last *ttl* seconds from now without writing it anew; return False if it has ended."""
        if not is_session_id(session_id, self._pattern):
            return False
        return require(self._store, Touch).touch(session_id, ttl=ttl, collection=self._collection)

    def regenerate(self, session_id: str, data: dict[str, Any], *, ttl: float | None) -> str | None:
        """Move a session to a fresh id, as after a login; return it, or None if the session has ended.

        The fresh one is made first, so that an outage in between leaves the session where it was.
        """
        if not is_session_id(session_id, self._pattern):
            return None
        fresh = self.create(data, ttl=ttl)
        if fresh is not None and not self.delete(session_id):
            self.delete(fresh)
            return None
        return fresh

    def delete(self, session_id: str) -> bool:
        """End a session; return whether there was one."""
        if not is_session_id(session_id, self._pattern):
            return False
        return self._store.delete(session_id, collection=self._collection)
