# Written by tools/mirror.py from kv_core/aio/stores/elasticsearch.py: change that file instead.
"""Keep entries in an index of Elasticsearch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from typing_extensions import override

from kv_core import codec
from kv_core import elasticsearch_documents as documents
from kv_core.capabilities import Promises
from kv_core.elasticsearch_documents import Operation, State, operation
from kv_core.elasticsearch_errors import CONFLICT, failure_of, raise_failures, translate
from kv_core.elasticsearch_options import read_servers
from kv_core.entry import Revision
from kv_core.errors import BaseKeyValueError, ConfigurationError
from kv_core.options import load_provider
from kv_core.spellings import also
from kv_core.sync._drivers import elasticsearch as driver
from kv_core.sync._runtime import Borrowed, PerLoop
from kv_core.sync.stores._backend import DEFAULT_COLLECTION, Write
from kv_core.sync.stores._elasticsearch_index import Index
from kv_core.sync.stores.base import PAGE, BaseStore
from kv_core.ttl import SYSTEM_CLOCK, Clock, KeptTTL, When


class ElasticsearchStore(BaseStore):
    """A store in one index of Elasticsearch, one document an entry.

    An acknowledged write is in the transaction log of every copy of its shard that is in sync. Reads by key are
    real-time: they see it at once. Enumeration goes by the search index, which it refreshes first.
    Entries end by the reader's wall clock, exactly; `cull` removes those that have ended.
    The first write makes the index; a read never does. A collection is a field, and never names an index.
    """

    _promises = Promises(
        clock="the reader's, exact",
        acknowledged="in the transaction log of every copy that is in sync",
        largest="70 MiB, or what the server's `http.max_content_length` allows",
        dropped="nothing; what has ended stays until `cull`",
    )

    @also(index_prefix="index", elasticsearch_client="client")
    def __init__(
        self,
        *,
        url: str | None = None,
        api_key: str | tuple[str, str] | None = None,
        index: str = "kvstack",
        client: driver.Elasticsearch | None = None,
        credential_provider: object = None,
        default_collection: str = DEFAULT_COLLECTION,
        timeout: float = 5.0,
        max_entry_size: int | None = None,
        _clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Describe the cluster; the first operation connects.

        Args:
            url: `elasticsearch://user:password@host1:9200,host2:9200`, or `elasticsearchs://` with TLS; the query may
                have ca_certs, verify_certs, client_cert, client_key and max_connections (to a node).
                `http://` and `https://` with a port do, too.
            api_key: An API key, encoded or as its id and its secret.
            index: The index, of this store alone.
            client: Instead of a URL: a client of yours. It is not closed, and belongs to the loop it is used in first.
            credential_provider: An object, or the dotted path to one, whose `get_credentials` returns an API key or a
                user and a password. It is asked for each new client, and again when a login is refused.
            default_collection: Where an entry goes when no collection is named.
            timeout: How long a whole operation may take, waiting for a connection included, in seconds; where entries
                are enumerated, culled or destroyed, one request of it.
            max_entry_size: The largest entry that is written, in bytes before they are sent as base64; never more
                than 70 MiB.

        Raises:
            ConfigurationError: The options contradict each other, or one is not known.
        """
        super().__init__(
            default_collection=default_collection, timeout=timeout, max_entry_size=max_entry_size, _clock=_clock
        )
        documents.check_index(index)
        if client is not None:
            if any(given is not None for given in (url, api_key, credential_provider)):
                raise ConfigurationError("ElasticsearchStore takes client= or the address of a server, not both.")
            self._index = Index(Borrowed(driver.borrow(client)), index)
            return
        servers = read_servers("elasticsearch://localhost" if url is None else url, api_key)
        credentials = load_provider(credential_provider, "ElasticsearchStore")
        if credentials is not None and (servers.login or servers.api_key):
            raise ConfigurationError("ElasticsearchStore takes credential_provider= or a login, not both.")
        self._index = Index(PerLoop(lambda: driver.connect(servers, credentials), driver.Client.close), index)

    # Entries --------------------------------------------------------------------------------------------------------

    def _fetch(self, collection: str, keys: Sequence[str], field: str) -> list[Any]:
        return self._index.get([documents.name_of(collection, key) for key in keys], field)

    def _state(self, collection: str, key: str) -> State | None:
        [found] = self._fetch(collection, [key], "expires_at")
        return None if found is None else documents.state_of(found)

    def _do(self, one: Operation) -> bool:
        """Make one operation; return whether its condition held."""
        [item] = self._index.bulk([one])
        if item["status"] == CONFLICT:
            return False
        if (failure := failure_of(item)) is not None:
            raise failure
        return bool(item["result"] != "not_found")

    def _apply(self, collection: str, operations: dict[str, Operation]) -> int:
        """Make operations about keys, in as few requests as they fit into; return how many found something to do."""
        results: dict[str, BaseKeyValueError | None] = {}
        done = 0
        keys = iter(operations)
        for batch in documents.batches(list(operations.values())):
            names = list(islice(keys, len(batch)))
            try:
                items = self._index.bulk(batch)
            except (BaseKeyValueError, driver.ApiError, driver.TransportError) as error:
                results |= {key: self._named(error) for key in names}
            else:
                results |= zip(names, map(failure_of, items), strict=True)
                done += sum("error" not in item and item["result"] != "not_found" for item in items)
        raise_failures(collection, results)
        return done

    @override
    def _read(self, collection: str, key: str) -> bytes | None:
        [data] = self._read_many(collection, [key])
        return data

    @override
    def _read_many(self, collection: str, keys: Sequence[str]) -> list[bytes | None]:
        about = keys[0] if len(keys) == 1 else None
        found = self._call(collection, about, self._fetch, collection, keys, "entry")
        return [
            None if item is None else documents.entry_in(item, collection, key)
            for item, key in zip(found, keys, strict=True)
        ]

    @override
    def _read_revision(self, collection: str, key: str) -> tuple[dict[str, Any], Revision] | None:
        [found] = self._call(collection, key, self._fetch, collection, [key], "entry")
        if found is None:
            return None
        entry = codec.decode(documents.entry_in(found, collection, key), collection, key)
        if self._ended(entry):
            return None
        state = State(found["_seq_no"], found["_primary_term"], entry.expires_at)
        return entry.value, Revision(state.token, entry.expires_at)

    @override
    def _write(self, collection: str, key: str, data: bytes, ttl: float | None, when: When) -> bool:
        return self._call(collection, key, self._write_if, collection, key, data, when)

    def _write_if(self, collection: str, key: str, data: bytes, when: When) -> bool:
        document = documents.document(collection, key, data)
        if when == "always":
            return self._do(operation("index", collection, key, document))
        while True:
            if when == "absent" and self._do(operation("create", collection, key, document)):
                return True
            state = self._state(collection, key)
            if state is None:
                if when == "present":
                    return False
                continue  # it was deleted just now
            if state.ended(self._clock.now()) is (when == "present"):
                return False
            if self._do(operation("index", collection, key, document, state)):
                return True

    @override
    def _write_many(self, collection: str, writes: Sequence[Write]) -> None:
        operations = {
            key: operation("index", collection, key, documents.document(collection, key, data))
            for key, data, _ in writes
        }
        self._call(collection, None, self._apply, collection, operations)

    @override
    def _remove(self, collection: str, key: str) -> bool:
        return self._call(collection, key, self._remove_all, collection, [key]) == 1

    @override
    def _remove_many(self, collection: str, keys: Sequence[str]) -> int:
        return self._call(collection, None, self._remove_all, collection, keys)

    def _remove_all(self, collection: str, keys: Sequence[str]) -> int:
        found = self._fetch(collection, keys, "expires_at")
        now = self._clock.now()
        there = [
            key for key, item in zip(keys, found, strict=True) if item is not None and not documents.ended(item, now)
        ]
        operations = {key: operation("delete", collection, key) for key in there}
        return self._apply(collection, operations) if operations else 0

    @override
    def _swap(self, collection: str, key: str, token: Any, data: bytes | None, ttl: KeptTTL) -> bool:
        state = documents.state_in(token)
        if state is None or state.ended(self._clock.now()):
            return False
        document = None if data is None else documents.document(collection, key, data)
        action = "delete" if data is None else "index"
        return self._call(collection, key, self._do, operation(action, collection, key, document, state))

    @override
    def _touch(self, collection: str, key: str, ttl: float | None) -> bool:
        return self._call(collection, key, super()._touch, collection, key, ttl)

    @override
    def _increment(self, collection: str, key: str, amount: int, first: int | None, ttl: float | None) -> int:
        return self._call(collection, key, super()._increment, collection, key, amount, first, ttl)

    # Enumeration ----------------------------------------------------------------------------------------------------

    @override
    def _page(self, collection: str, cursor: Any, size: int) -> tuple[list[str], Any]:
        if cursor is None and not self._call(collection, None, self._index.refresh):
            return [], None
        now = self._clock.now()
        query = documents.living(now, collection)
        hits = self._call(collection, None, self._index.search, query, "name", cursor, size)
        places = [documents.place_in(hit) for hit in hits if not documents.ended(hit, now)]
        return [place[1] for place in places if place is not None], hits[-1]["sort"][0] if len(hits) == size else None

    @override
    def _collections(self) -> list[str]:
        found: list[str] = []
        query = documents.living(self._clock.now())
        more = self._call(None, None, self._index.refresh)
        after = None
        while more:
            hits = self._call(None, None, self._index.search, query, "collection", after, PAGE)
            found += [place[0] for place in map(documents.place_in, hits) if place is not None]
            more, after = len(hits) == PAGE, hits[-1]["sort"][0] if hits else None
        return found

    @override
    def _clear(self, collection: str | None) -> bool:
        if not self._call(collection, None, self._index.refresh):
            return False
        query = documents.living(self._clock.now(), collection)
        found = self._call(collection, None, self._index.search, query, "name", None, 1)
        self._delete(collection, documents.ours(collection))
        return bool(found)

    @override
    def _cull(self) -> int:
        there = self._call(None, None, self._index.refresh)
        return self._delete(None, documents.past(self._clock.now())) if there else 0

    def _delete(self, collection: str | None, query: dict[str, Any]) -> int:
        """Delete what a query finds, as much at a time as a request may take; return how many there were."""
        deleted = 0
        more = True
        while more:
            count, more = self._call(collection, None, self._index.delete, query)
            deleted += count
        return deleted

    @override
    def _ping(self) -> None:
        self._call(None, None, self._index.is_there)

    @override
    def _release(self) -> None:
        self._index.close()

    @override
    def _translate(self, error: Exception) -> BaseKeyValueError:
        return translate(driver, error)
