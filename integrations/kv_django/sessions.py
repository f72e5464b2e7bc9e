"""A session engine for Django on a stack of `KV_STORES`: `SESSION_ENGINE = "kv_django.sessions"`."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, CreateError, SessionBase, UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.utils.crypto import get_random_string
from typing_extensions import override

from kv_core.aio.recipes.session_record import SessionRecords as AsyncSessionRecords
from kv_core.capabilities import capabilities
from kv_core.errors import DeserializationError
from kv_core.sync.recipes.session_record import SessionRecords
from kv_django._stacks import Stack, stacks
from kv_django._values import ttl_of

SETTING: Final = "KV_SESSION_STORE"
"""The setting that names the stack; without it the stack is "sessions" if there is one, else "default"."""

COLLECTION: Final = "sessions"

_PAYLOAD: Final = "session"
_ATTEMPTS: Final = 10


class SessionEndedError(UpdateError, SessionInterrupted):
    """The session was deleted while the request used it, as by a logout elsewhere; Django answers 400."""


def session_alias() -> str:
    """Return the alias of the stack that holds sessions."""
    given: str | None = getattr(settings, SETTING, None)
    return given or ("sessions" if "sessions" in stacks.registry().specs else "default")


def session_collection(alias: str, stack: Stack) -> str:
    """Return the collection that holds sessions: the one of a stack of their own, or one apart in "default"."""
    given = stack.described_collection
    return given if given is not None and alias != "default" else COLLECTION


class _Records:
    """The sessions of the stack that the settings name, on both sides, as long as the settings stay what they are."""

    def __init__(self) -> None:
        self.generation = stacks.generation
        alias = session_alias()
        self.stack = stacks.named(alias)
        self._collection = session_collection(alias, self.stack)

    @cached_property
    def sync(self) -> SessionRecords:
        """The sessions for threads."""
        return SessionRecords(self.stack.store, collection=self._collection)

    @cached_property
    def aio(self) -> AsyncSessionRecords:
        """The sessions for event loops."""
        return AsyncSessionRecords(self.stack.astore, collection=self._collection)


_known: _Records | None = None


def _records() -> _Records:
    global _known  # noqa: PLW0603 - what was read from the settings, once
    found = _known
    if found is None or found.generation != stacks.generation:
        found = _known = _Records()
    return found


class SessionStore(SessionBase):
    """Sessions that end when they are ended.

    Creating is put-if-absent and saving put-if-present, each in one step on the server: a session that was deleted
    meanwhile is not saved (`UpdateError`). A key that was not made here is never taken over, and nothing is created
    by reading. Errors of the store pass through: an outage is not a logout, and the cookie stays.
    What is stored is the text that Django's `encode` signs.
    """

    if TYPE_CHECKING:  # what django-stubs leaves out of SessionBase
        _session_cache: dict[str, Any]

        def _get_session(self, no_load: bool = False) -> dict[str, Any]: ...
        async def _aget_session(self, no_load: bool = False) -> dict[str, Any]: ...

    def _get_new_session_key(self) -> str:
        return get_random_string(32, VALID_KEY_CHARS)  # 165 bits; creating makes sure that it is new

    async def _aget_new_session_key(self) -> str:
        return self._get_new_session_key()

    @override
    def load(self) -> dict[str, Any]:
        try:
            record = _records().sync.load(self.session_key or "")
        except DeserializationError as error:
            _log_unreadable(error)
            record = None
        return self._loaded(record)

    @override
    async def aload(self) -> dict[str, Any]:
        try:
            record = await _records().aio.load(self.session_key or "")
        except DeserializationError as error:
            _log_unreadable(error)
            record = None
        return self._loaded(record)

    @override
    def exists(self, session_key: str | None) -> bool:
        return _records().sync.exists(session_key or "")

    @override
    async def aexists(self, session_key: str | None) -> bool:
        return await _records().aio.exists(session_key or "")

    @override
    def create(self) -> None:
        for _ in range(_ATTEMPTS):
            self._session_key = self._get_new_session_key()
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return
        raise CreateError("No unused session key was found.")

    @override
    async def acreate(self) -> None:
        for _ in range(_ATTEMPTS):
            self._session_key = await self._aget_new_session_key()
            try:
                await self.asave(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return
        raise CreateError("No unused session key was found.")

    @override
    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            self.create()
            return
        key, data = self.session_key, self._dumped(self._get_session(no_load=must_create))
        ttl = ttl_of(self.get_expiry_age(), None)
        records = _records().sync
        if must_create:
            kept = ttl == 0 or records.create(data, ttl=ttl, session_id=key) is not None
        else:
            kept = records.delete(key) if ttl == 0 else records.save(key, data, ttl=ttl)
        self._was_kept(kept=kept, must_create=must_create)

    @override
    async def asave(self, must_create: bool = False) -> None:
        if self.session_key is None:
            await self.acreate()
            return
        key, data = self.session_key, self._dumped(await self._aget_session(no_load=must_create))
        ttl = ttl_of(await self.aget_expiry_age(), None)
        records = _records().aio
        if must_create:
            kept = ttl == 0 or await records.create(data, ttl=ttl, session_id=key) is not None
        else:
            kept = await (records.delete(key) if ttl == 0 else records.save(key, data, ttl=ttl))
        self._was_kept(kept=kept, must_create=must_create)

    @override
    def delete(self, session_key: str | None = None) -> None:
        _records().sync.delete(session_key or self.session_key or "")

    @override
    async def adelete(self, session_key: str | None = None) -> None:
        await _records().aio.delete(session_key or self.session_key or "")

    @override
    def cycle_key(self) -> None:
        """Move the session to a new key, as Django does at login.

        Raises:
            SessionEndedError: It was deleted meanwhile; it does not come back under the new key.
        """
        data, key = self._get_session(), self.session_key
        self.create()
        self._session_cache = data
        if key and not _records().sync.delete(key):
            self.delete()
            raise SessionEndedError("The session was deleted before it could be moved to a new key.")

    @override
    async def acycle_key(self) -> None:
        """Move the session to a new key; see `cycle_key`.

        Raises:
            SessionEndedError: It was deleted meanwhile; it does not come back under the new key.
        """
        data, key = await self._aget_session(), self.session_key
        await self.acreate()
        self._session_cache = data
        if key and not await _records().aio.delete(key):
            await self.adelete()
            raise SessionEndedError("The session was deleted before it could be moved to a new key.")

    @classmethod
    @override
    def clear_expired(cls) -> None:
        """Give back the room of expired sessions, on stores that do not do so themselves."""
        store = _records().stack.store
        if "cull" in capabilities(store):
            store.cull()

    @classmethod
    @override
    async def aclear_expired(cls) -> None:
        """Give back the room of expired sessions; see `clear_expired`."""
        store = _records().stack.astore
        if "cull" in capabilities(store):
            await store.cull()

    def _dumped(self, session: dict[str, Any]) -> dict[str, Any]:
        return {_PAYLOAD: self.encode(session)}

    def _loaded(self, record: dict[str, Any] | None) -> dict[str, Any]:
        """Return what a record holds; what is no session of ours is none at all, and its key is not used again."""
        text = None if record is None else record.get(_PAYLOAD)
        if type(text) is not str:
            self._session_key = None
            return {}
        return self.decode(text)

    @staticmethod
    def _was_kept(*, kept: bool, must_create: bool) -> None:
        if not kept:
            raise CreateError if must_create else UpdateError


def _log_unreadable(error: DeserializationError) -> None:
    """Say in Django's log that a session cannot be read; whoever sent its key begins a new one."""
    logger = logging.getLogger("django.security.SuspiciousSession")
    logger.warning("Session data corrupted: %s", type(error).__name__)
