"""pymongo's blocking client. The twin is `kv_core/aio/_drivers/mongodb.py`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from typing_extensions import override

from kv_core import mongodb_options as options
from kv_core.deadline import left, mark_unsent
from kv_core.errors import ConfigurationError, StoreClosedError
from kv_core.mongodb_errors import refused_login
from kv_core.mongodb_options import CredentialProvider, errors, pymongo, watching
from kv_core.options import no_login
from kv_core.sync._runtime import Op

if TYPE_CHECKING:
    from pymongo.synchronous.collection import Collection

__all__ = ["Client", "Entries", "MongoClient", "ReplaceOne", "borrow", "check", "connect", "errors"]

T = TypeVar("T")
MongoClient = pymongo.MongoClient
ReplaceOne = pymongo.ReplaceOne
Mongo: TypeAlias = "pymongo.MongoClient[dict[str, Any]]"
Entries: TypeAlias = "Collection[dict[str, Any]]"

_LONGEST: Final = 3600.0
_STORE: Final = "MongoDBStore"
_CLOSING: Final = 1.0
"""How long closing may take to end the sessions at the server, in seconds."""


class Client:
    """A Mongo collection in which entries lie, as a client of the user's sees it."""

    _own = False

    def __init__(self, mongo: Mongo, db_name: str | None, coll_name: str) -> None:
        self._where = db_name, coll_name
        self._entries: Entries = options.entries_of(_STORE, mongo, *self._where)
        self._prepared = False
        self._closed = False

    def do(self, work: Op[[Entries], T]) -> T:
        """Do some work on the Mongo collection."""
        if self._closed:
            raise StoreClosedError
        try:
            with watching(self._own), pymongo.timeout(options.share(self._entries, left(_LONGEST))):
                return work(self._entries)
        except Exception as error:
            if self._closed:
                raise StoreClosedError(outcome="unknown") from error
            raise

    def prepare(self) -> None:
        """Make the index by which the server removes what has ended, if this client has not done so."""
        if self._prepared:
            return
        try:
            self.do(lambda entries: entries.create_index("expires_at", expireAfterSeconds=0))
        except BaseException as error:
            mark_unsent(error)  # the write that follows
            raise
        self._prepared = True

    def close(self) -> None:
        """Let go of the client, which stays open."""
        self._closed = True


class _OwnClient(Client):
    """The same through a client of ours, which is made anew when its login is refused and there may be another."""

    _own = True

    def __init__(self, url: str, db_name: str | None, coll_name: str, provider: CredentialProvider | None) -> None:
        self._url, self._provider = url, provider
        self._mongo = make(url)  # connects when it is used; with a provider it never is
        self._logged_in = provider is None
        self._retired: Mongo | None = None
        self._lock = threading.Lock()
        super().__init__(self._mongo, db_name, coll_name)

    @override
    def do(self, work: Op[[Entries], T]) -> T:
        if self._provider is None:
            return super().do(work)
        if not self._logged_in:
            self._log_in(self._mongo, self._provider)
        mongo = self._mongo
        try:
            return super().do(work)
        except errors.OperationFailure as error:
            if not refused_login(errors, error):
                raise
        self._log_in(mongo, self._provider)
        return super().do(work)

    def _log_in(self, refused: Mongo, provider: CredentialProvider) -> None:
        try:
            username, password = provider.get_credentials()
        except Exception as error:  # whatever somebody else's code raises
            raise no_login(_STORE, error) from error
        with self._lock:
            if self._mongo is not refused:
                return  # another thread was faster
            self._mongo = make(self._url, username=username, password=password)
            self._entries = options.entries_of(_STORE, self._mongo, *self._where)
            self._logged_in = True
            retired, self._retired = self._retired, refused  # calls that are out may need it
        if retired is not None:
            retired.close()

    @override
    def close(self) -> None:
        """Close the connections; a call that is out ends with StoreClosedError."""
        self._closed = True
        with pymongo.timeout(_CLOSING):
            self._mongo.close()
            if self._retired is not None:
                self._retired.close()


def make(url: str, **login: str) -> Mongo:
    """Make a client; it connects when it is used, and each call has what is left of its deadline."""
    mongo: Mongo = options.connect(MongoClient, url, **login)
    return mongo


def check(url: str) -> None:
    """Refuse a URL that cannot be connected to as it stands; nothing is sent."""
    options.check_url(_STORE, url, MongoClient)


def connect(url: str, db_name: str | None, coll_name: str, credential_provider: CredentialProvider | None) -> Client:
    """Make a client; it connects when it is used."""
    return _OwnClient(url, db_name, coll_name, credential_provider)


def borrow(client: object, db_name: str | None, coll_name: str) -> Client:
    """Use a client that the user made."""
    if not isinstance(client, MongoClient):
        wanted = f"{MongoClient.__name__} of pymongo"
        raise ConfigurationError(f"{_STORE}: client is a {wanted} on this side, not {type(client).__name__}.")
    return Client(cast("Mongo", client), db_name, coll_name)
