"""Name what Elasticsearch's client raises, and what a bulk request answers for each of its items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kv_core.deadline import unsent
from kv_core.errors import (
    BaseKeyValueError,
    EntryTooLargeError,
    Outcome,
    PartialFailureError,
    StoreAuthenticationError,
    StoreConnectionError,
    StoreFullError,
    StoreProtocolError,
    StoreSetupError,
    StoreTimeoutError,
)
from kv_core.options import is_mapping

NAME: Final = "ElasticsearchStore"

MISSING: Final = "index_not_found_exception"
EXISTS: Final = "resource_already_exists_exception"
CONFLICT: Final = 409


def translate(errors: Any, error: Exception) -> BaseKeyValueError:
    """Name an error of the client's. The server's own text may quote documents, so only its type is shown.

    Args:
        errors: The driver, with the client's exceptions.
        error: What it raised.
    """
    never = unsent(error) or any(isinstance(reason, errors.UNSENT) for reason in _reasons(error))
    outcome: Outcome = "not_applied" if never else "unknown"
    match error:
        case errors.UnsupportedProductError():
            named: BaseKeyValueError = StoreProtocolError(
                f"{NAME}: the server does not answer as Elasticsearch does.", outcome="unknown"
            )
        case errors.ApiError():
            named = refused(error.status_code, kind_of(error))
        case errors.TlsError():
            named = StoreConnectionError(
                f"{NAME}: TLS failed; see ca_certs and the server's certificate.", outcome=outcome
            )
        case errors.ConnectionTimeout():
            named = StoreTimeoutError(f"{NAME}: the server did not answer in time.", outcome=outcome)
        case errors.ConnectionError() | OSError():
            named = StoreConnectionError.to(f"{NAME}: the server", outcome)
        case _:
            named = StoreProtocolError(f"{NAME}: unexpected {type(error).__name__}.", outcome="unknown")
    return named


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def kind_of(error: Exception) -> str:
    """Return the type by which the server names an error, such as `index_not_found_exception`."""
    body = getattr(error, "body", None)
    return kind_in(body) if is_mapping(body) else "?"


def kind_in(answer: Mapping[str, Any]) -> str:
    """Return the type of the error in an answer, or in one item of it."""
    error: Any = answer.get("error")
    return str(error.get("type", "?")) if is_mapping(error) else "?"


def refused(status: int, kind: str) -> BaseKeyValueError:
    """Name a refusal by its HTTP status and the type that the server gives it."""
    shown = f"({status}, {kind})"
    match status, kind:
        case ((403 | 429), "cluster_block_exception"):  # the flood stage of the disks, or made read-only by hand
            named: BaseKeyValueError = StoreFullError(f"{NAME}: the index takes no writes {shown}; see its disks.")
        case _, ("cluster_block_exception" | "unavailable_shards_exception" | "no_shard_available_action_exception"):
            named = StoreConnectionError(f"{NAME}: the cluster is not ready {shown}.")
        case _, ("index_not_found_exception" | "index_closed_exception"):
            named = StoreSetupError(f"{NAME}: the index is missing or closed {shown}.")
        case ((401 | 403), _):
            named = StoreAuthenticationError(f"{NAME}: the server refuses these credentials or this request {shown}.")
        case 413, _:
            named = EntryTooLargeError(f"{NAME}: the request is larger than the server's http.max_content_length.")
        case 429, _:
            named = StoreConnectionError(f"{NAME}: the server has too much to do {shown}.")
        case ((502 | 503 | 504), _):
            named = StoreConnectionError(f"{NAME}: the server is not available {shown}.", outcome="unknown")
        case _:
            outcome: Outcome = "not_applied" if 400 <= status < 500 else "unknown"
            named = StoreProtocolError(f"{NAME}: the server refuses the request {shown}.", outcome=outcome)
    return named


def failure_of(item: Mapping[str, Any]) -> BaseKeyValueError | None:
    """Return what went wrong with one item of a bulk or multi-get answer, if anything did."""
    return refused(int(item.get("status", 500)), kind_in(item)) if "error" in item else None


def raise_failures(collection: str, results: Mapping[str, BaseKeyValueError | None]) -> None:
    """Raise what went wrong with the keys of a bulk operation, if anything did.

    Raises:
        PartialFailureError: Some keys were done and some were not, or for different reasons.
        BaseKeyValueError: All of them failed for one reason, which this is.
    """
    errors = {key: error for key, error in results.items() if error is not None}
    if not errors:
        return
    if len(errors) == len(results) and len({str(error) for error in errors.values()}) == 1:
        raise next(iter(errors.values()))
    for key, error in errors.items():
        error.key, error.collection = key, collection
    message = f"{NAME}: {len(errors)} of {len(results)} keys in {collection!r} failed; see .failed and .unknown."
    raise PartialFailureError.of(message, errors, results, collection=collection)
