"""Read what a MongoDB store is told about its server, and set its client up alike on both sides."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any, Final, Protocol
from urllib.parse import quote

from typing_extensions import override

from kv_core.deadline import mark_unsent
from kv_core.errors import ConfigurationError, MissingDependencyError
from kv_core.url import parse, redact

try:
    import pymongo
    from bson.codec_options import CodecOptions, DatetimeConversion
    from pymongo import errors
    from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
    from pymongo.read_preferences import ReadPreference
    from pymongo.uri_parser import split_options
    from pymongo.write_concern import WriteConcern
except ImportError as error:
    raise MissingDependencyError("MongoDBStore needs pymongo: pip install 'kvstack[mongodb]'") from error

__all__ = [
    "CredentialProvider",
    "check_names",
    "check_url",
    "connect",
    "entries_of",
    "errors",
    "pymongo",
    "share",
    "watching",
]

_DATABASE: Final = "kvstack"
"""Where entries go when neither `db_name` nor the URL says."""

_BAD_DATABASE: Final = re.compile(r'[\x00/\\. "$*<>:|?\ud800-\udfff]')
_BAD_COLLECTION: Final = re.compile(r"[\x00$\ud800-\udfff]|^system\.|^\.|\.$|\.\.")

_SENT: Final[ContextVar[list[str] | None]] = ContextVar("kv_mongodb_sent", default=None)


class CredentialProvider(Protocol):
    """What `credential_provider` is: asked for the login when a client is made, and when a server refuses it."""

    def get_credentials(self) -> tuple[str, str]:
        """Return the username and the password."""
        ...


class _Watch(CommandListener):
    """Notes each command that leaves, so that an error knows whether anything was sent."""

    @override
    def started(self, event: CommandStartedEvent) -> None:
        sent = _SENT.get()
        if sent is not None:
            sent.append(event.command_name)

    @override
    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    @override
    def failed(self, event: CommandFailedEvent) -> None:
        pass


class watching:  # noqa: N801 - reads as a statement: `with watching(own):`
    """Mark what is raised in a block as unsent, if no command of a watched client has left."""

    __slots__ = ("_sent", "_token", "_watched")

    def __init__(self, watched: bool) -> None:
        self._watched = watched

    def __enter__(self) -> None:
        self._sent: list[str] = []
        self._token = _SENT.set(self._sent)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        _SENT.reset(self._token)
        if error is not None and self._watched and not self._sent:
            mark_unsent(error)


def check_names(store: str, db_name: str | None, coll_name: str) -> None:
    """Refuse names that MongoDB does not take, or keeps for itself.

    Raises:
        ConfigurationError: One is not the name of a database or a collection.
    """
    if db_name is not None and (
        type(db_name) is not str or not db_name or _BAD_DATABASE.search(db_name) or len(db_name.encode()) > 63
    ):
        raise ConfigurationError(f"{store}: db_name is the name of a database, not {db_name!r}.")
    if type(coll_name) is not str or not coll_name or _BAD_COLLECTION.search(coll_name):
        raise ConfigurationError(f"{store}: coll_name is the name of a Mongo collection, not {coll_name!r}.")


def check_url(store: str, url: str, kind: Any) -> None:
    """Refuse a URL that cannot be connected to as it stands, or would break what the store promises.

    Args:
        store: The store's name.
        url: The URL; nothing is sent.
        kind: The class of the client.

    Raises:
        ConfigurationError: Its scheme, one of its options or something else in it will not do.
    """
    location = parse(url)
    if location.scheme not in ("mongodb", "mongodb+srv"):
        raise ConfigurationError(f"{store}: {redact(url)} is not a mongodb:// or mongodb+srv:// URL.")
    for name, text in location.options.items():
        if hint := _ours(name.lower(), text.lower()):
            raise ConfigurationError(f"{store}: {name}={text} is not for the URL; {hint}")
        try:
            split_options(f"{name}={quote(text, safe=':,')}")
        except (errors.PyMongoError, ValueError, TypeError, OSError):  # their text may quote what is secret
            raise ConfigurationError(
                f"{store}: {redact(url)} has an option {name!r} that pymongo does not know, or with a wrong value."
            ) from None
    try:
        mongo = connect(kind, url)
    except (errors.PyMongoError, ValueError, TypeError, OSError):
        raise ConfigurationError(
            f"{store}: pymongo refuses {redact(url)}: check its hosts, database, certificates and options that "
            "contradict each other, and percent-encode what is special in a password."
        ) from None
    entries_of(store, mongo, None, "entries")


def _ours(name: str, text: str) -> str:
    """Return why an option is not for the URL; empty if it is."""
    if name == "timeoutms":
        return "timeout= of the store is the time that a whole operation may take."
    if name == "readpreference" and text != "primary":
        return "the store reads from the primary, since a secondary may not have the last write yet."
    return ""


def connect(kind: Any, url: str, **login: str) -> Any:
    """Return a client of ours, of a class of either side; it connects when it is used.

    It sends each command once, even if the URL says `retryWrites=true`, as those that hosting services hand out do.
    """
    options: dict[str, Any] = {"connect": False, "retryWrites": False, "retryReads": False}
    options["event_listeners"] = [_Watch()]
    if pymongo.version_tuple >= (4, 17):
        options["maxAdaptiveRetries"] = 0
    if "servermonitoringmode" not in map(str.lower, parse(url).options):
        options["serverMonitoringMode"] = "poll"  # streamed, a refused login would hide the server for ten seconds
    return kind(url, **options, **login)


def entries_of(store: str, mongo: Any, db_name: str | None, coll_name: str) -> Any:
    """Return the Mongo collection in which entries lie, however its client was configured.

    Raises:
        ConfigurationError: The client asks for no acknowledgement of writes.
    """
    concern: WriteConcern = mongo.write_concern
    if not concern.acknowledged:
        raise ConfigurationError(f"{store}: with w=0 a write may be lost without an error; leave it out.")
    database = mongo[db_name] if db_name else mongo.get_default_database(_DATABASE)
    return database.get_collection(
        coll_name,
        codec_options=CodecOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO),
        read_preference=ReadPreference.PRIMARY,
        write_concern=WriteConcern("majority") if concern.is_server_default else concern,
    )


def share(entries: Any, seconds: float) -> float:
    """Return how many of the seconds that a call has left pymongo is given.

    Half of them while no server is known that takes writes, so that a server that is not there is no mere timeout; else
    nearly all, so that pymongo ends the call before it is cancelled: it closes what it was connecting, and says why.
    """
    servers = entries.database.client.topology_description.known_servers
    return seconds * (0.97 if any(server.is_writable for server in servers) else 0.5)
