"""Read, write and search the documents of one index of Elasticsearch, which the first write makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from kv_core.aio._drivers import elasticsearch as driver
from kv_core.aio._runtime import Clients
from kv_core.elasticsearch_documents import MAPPING, Operation, check_mapping, lines
from kv_core.elasticsearch_errors import EXISTS, MISSING, failure_of, kind_in, kind_of
from kv_core.errors import StoreConnectionError, StoreProtocolError

T = TypeVar("T")

CHUNK: Final = 10_000
"""How many documents one request deletes at most."""
_NDJSON: Final = {"accept": "application/json", "content-type": "application/x-ndjson"}


class Index:
    """One index; that it is missing is an answer, not an error."""

    def __init__(self, clients: Clients[driver.Client], name: str) -> None:
        self._clients = clients
        self._name = name
        self._ready = False

    async def _ask(self, request: driver.Request[T]) -> T:
        client = self._clients.current() or await self._clients.open()
        return await client.ask(request)

    async def get(self, names: Sequence[str], field: str) -> list[dict[str, Any] | None]:
        """Return documents by their ids, with one field of theirs; None for each that is missing."""
        answer = await self._ask(lambda client: client.mget(index=self._name, ids=names, source_includes=[field]))
        found: list[dict[str, Any]] = answer["docs"]
        for item, name in zip(found, names, strict=True):
            if item["_id"] != name:
                raise StoreProtocolError("ElasticsearchStore: the server answers about another document.")
            failure = failure_of(item)
            if failure is not None and kind_in(item) != MISSING:
                raise failure
        return [item if item.get("found") else None for item in found]

    async def bulk(self, operations: Sequence[Operation]) -> list[dict[str, Any]]:
        """Make operations in one request, and return what was said of each."""
        body = lines(operations)
        while True:
            await self._prepare()
            answer = await self._ask(
                lambda client: client.perform_request("POST", f"/{self._name}/_bulk", headers=_NDJSON, body=body)
            )  # client.bulk sends PUT, which some HTTP clients repeat by themselves
            items = [next(iter(item.values())) for item in answer["items"]]
            if kind_in(items[0]) != MISSING:
                return items
            self._ready = False  # it was deleted since, and the server makes none by itself

    async def search(self, query: Mapping[str, Any], by: str, after: str | None, size: int) -> list[dict[str, Any]]:
        """Return documents in the order of a field, after a value of it; one for each collection if that is the field.

        Every shard has to answer; there is no search context that somebody would have to close.
        """
        answer = await self._ask(
            lambda client: client.search(
                index=self._name,
                query=query,
                collapse={"field": by} if by == "collection" else None,
                sort=[{by: "asc"}],
                search_after=None if after is None else [after],
                size=size,
                source_includes=["address", "expires_at"],
                track_total_hits=False,
                allow_partial_search_results=False,
            )
        )
        hits: list[dict[str, Any]] = answer["hits"]["hits"]
        return hits

    async def delete(self, query: Mapping[str, Any]) -> tuple[int, bool]:
        """Delete some of the documents that a query finds; return how many, and whether to go on."""
        answer = await self._ask(
            lambda client: client.delete_by_query(
                index=self._name, query=query, max_docs=CHUNK, conflicts="proceed", refresh=True
            )
        )
        if answer["failures"]:
            message = "ElasticsearchStore: a shard failed, so only a part was deleted; do it again."
            raise StoreConnectionError(message, outcome="unknown")
        deleted = int(answer["deleted"])
        return deleted, deleted >= CHUNK or bool(answer["version_conflicts"])

    async def refresh(self) -> bool:
        """Let searches see every write that was acknowledged; return whether there is an index at all."""
        if not await self.is_there():
            return False
        answer = await self._ask(lambda client: client.indices.refresh(index=self._name))
        if answer["_shards"]["failed"]:
            raise StoreConnectionError("ElasticsearchStore: a shard could not be refreshed.")
        return True

    async def close(self) -> None:
        """Let go of the clients."""
        await self._clients.close()

    async def _prepare(self) -> None:
        """Make the index, unless it is there."""
        if self._ready:
            return
        if not await self.is_there():
            try:
                await self._ask(lambda client: client.indices.create(index=self._name, mappings=MAPPING))
            except driver.ApiError as error:
                if kind_of(error) != EXISTS:  # another worker was first
                    raise
            await self.is_there()
        self._ready = True

    async def is_there(self) -> bool:
        """Say whether there is an index; one that was not made for entries is an error."""
        try:
            answer = await self._ask(lambda client: client.indices.get_mapping(index=self._name))
        except driver.ApiError as error:
            if kind_of(error) == MISSING:
                return False
            raise
        check_mapping(self._name, answer.body)
        return True
