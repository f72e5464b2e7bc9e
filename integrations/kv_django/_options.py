"""Read what `CACHES` says about one cache."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from kv_core.address import check_collection
from kv_core.errors import BaseKeyValueError, InvalidCollectionError, Problem
from kv_core.kinds import stores
from kv_core.options import did_you_mean, parameters
from kv_django._values import SERIALIZERS, Serializer
from kv_django.errors import StoresImproperlyConfiguredError

THIS_CACHE: Final = "CACHES['…']"
"""What problems call a cache while its alias is not known."""

MAX_ENTRIES: Final = "max_entries_per_collection"
"""What stores that can evict call Django's MAX_ENTRIES."""

_OPTIONS: Final = ("COLLECTION", "CULL_FREQUENCY", "MAX_ENTRIES", "SERIALIZER", "STORE", "WRAPPERS")


class CacheOptions(NamedTuple):
    """What `CACHES` says about one cache.

    Attributes:
        alias: The alias in `KV_STORES` of the stack, if it is one of those as it stands.
        description: Else how the stack is described.
        collection: The collection that holds the cache.
        serializer: How values are written.
        evict: How many entries the memory store evicts at once beyond MAX_ENTRIES, as CULL_FREQUENCY says.
        ignores_max_entries: Whether MAX_ENTRIES was given, and the store cannot keep to it.
    """

    alias: str | None
    description: dict[str, Any]
    collection: str
    serializer: Serializer
    evict: int
    ignores_max_entries: bool


def read_options(location: Any, params: Mapping[str, Any]) -> CacheOptions:
    """Read LOCATION and the other parameters of a cache.

    Raises:
        StoresImproperlyConfiguredError: OPTIONS holds something that is not known or not possible.
    """
    options: Mapping[str, Any] = params.get("OPTIONS") or {}
    problems = [
        Problem(f"{THIS_CACHE}['OPTIONS'][{name!r}]", "this option is not known.", did_you_mean(name, _OPTIONS))
        for name in options
        if name not in _OPTIONS
    ]
    serializer = options.get("SERIALIZER", SERIALIZERS[0])
    if serializer not in SERIALIZERS:
        where = f"{THIS_CACHE}['OPTIONS']['SERIALIZER']"
        problems.append(Problem(where, f"{serializer!r} is not one of {', '.join(SERIALIZERS)}."))
    prefix = str(params.get("KEY_PREFIX") or "")
    collection = options.get("COLLECTION") or (f"cache:{prefix}" if prefix else "cache")
    try:
        check_collection(collection)
    except InvalidCollectionError as error:
        name = "['OPTIONS']['COLLECTION']" if options.get("COLLECTION") else "['KEY_PREFIX']"
        problems.append(Problem(THIS_CACHE + name, error.message))
    if problems:
        raise StoresImproperlyConfiguredError(problems=problems)
    description = {name: options[name] for name in ("STORE", "WRAPPERS") if options.get(name)}
    description["LOCATION"] = location
    ignored, evict = False, 1
    limit = options.get("MAX_ENTRIES")
    if limit is not None:
        if takes_max_entries(location):
            description["STORE"] = {MAX_ENTRIES: limit, **description.get("STORE", {})}
            evict = _evicted_at_once(limit, options.get("CULL_FREQUENCY", 3))
        else:
            ignored = True
    plain_alias = isinstance(location, str) and location.startswith("kv:") and len(description) == 1
    alias = location.removeprefix("kv:") if plain_alias else None
    return CacheOptions(alias, description, collection, serializer, evict, ignored)


def takes_max_entries(location: Any) -> bool:
    """Say whether the store of a location evicts beyond a number of entries, if it is told to."""
    return isinstance(location, str) and not location.startswith("kv:") and _evicts(location.partition(":")[0].lower())


def _evicted_at_once(limit: Any, frequency: Any) -> int:
    """Return what Django documents: a fraction of the entries, or all that were there if the frequency is 0."""
    if type(limit) is not int or type(frequency) is not int or frequency < 0:
        return 1
    return limit if frequency == 0 else max(1, limit // frequency)


@cache
def _evicts(scheme: str) -> bool:
    kind = stores().get(scheme)
    try:
        return kind is not None and MAX_ENTRIES in parameters(kind.load_sync())
    except BaseKeyValueError:  # it cannot be imported; whoever reads the stack says so
        return False
