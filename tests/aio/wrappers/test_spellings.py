"""Wrappers and adapters take the spellings of arguments that the field has published."""

import pytest
from cryptography.fernet import Fernet

from kv_core.aio.adapters.pydantic import PydanticAdapter
from kv_core.aio.adapters.raise_on_missing import RaiseOnMissingAdapter
from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.wrappers.circuit_breaker import CircuitBreakerWrapper
from kv_core.aio.wrappers.coalesce import CoalesceWrapper
from kv_core.aio.wrappers.compression import CompressionWrapper
from kv_core.aio.wrappers.default_value import DefaultValueWrapper
from kv_core.aio.wrappers.encryption.fernet import FernetEncryptionWrapper
from kv_core.aio.wrappers.fallback import FallbackWrapper
from kv_core.aio.wrappers.limit_size import LimitSizeWrapper
from kv_core.aio.wrappers.logging import LoggingWrapper
from kv_core.aio.wrappers.passthrough_cache import PassthroughCacheWrapper
from kv_core.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
from kv_core.aio.wrappers.prefix_keys import PrefixKeysWrapper
from kv_core.aio.wrappers.read_only import ReadOnlyWrapper
from kv_core.aio.wrappers.retry import RetryWrapper
from kv_core.aio.wrappers.routing import CollectionRoutingWrapper, RoutingWrapper
from kv_core.aio.wrappers.single_collection import SingleCollectionWrapper
from kv_core.aio.wrappers.statistics import StatisticsWrapper
from kv_core.aio.wrappers.timeout import TimeoutWrapper
from kv_core.aio.wrappers.ttl_clamp import TTLClampWrapper

STORE, OTHER = MemoryStore(), MemoryStore()
OF_A_STORE = [
    (CompressionWrapper, {}),
    (FernetEncryptionWrapper, {"fernet": Fernet(Fernet.generate_key())}),
    (LimitSizeWrapper, {"max_size": 1000}),
    (LoggingWrapper, {}),
    (PrefixCollectionsWrapper, {"prefix": "a"}),
    (PrefixKeysWrapper, {"prefix": "a"}),
    (ReadOnlyWrapper, {}),
    (RetryWrapper, {}),
    (SingleCollectionWrapper, {"collection": "a"}),
    (TTLClampWrapper, {"min_ttl": 1, "max_ttl": 2}),
    (StatisticsWrapper, {}),
    (TimeoutWrapper, {}),
    (CoalesceWrapper, {}),
    (DefaultValueWrapper, {"default_value": {}}),
    (CircuitBreakerWrapper, {}),
    (RaiseOnMissingAdapter, {}),
    (PydanticAdapter, {"pydantic_model": int}),
]
ROUTE = {"routing_function": lambda _: None}
SPELLINGS = [
    *[(kind, options, "key_value", "store", STORE, "key_value") for kind, options in OF_A_STORE],
    (FallbackWrapper, {"fallback": OTHER}, "primary", "primary_key_value", STORE, "key_value"),
    (FallbackWrapper, {"fallback": OTHER}, "primary", "key_value", STORE, "key_value"),
    (FallbackWrapper, {"fallback": OTHER}, "primary", "store", STORE, "key_value"),
    (FallbackWrapper, {"primary": STORE}, "fallback", "fallback_key_value", OTHER, "fallback"),
    (PassthroughCacheWrapper, {"cache": OTHER}, "store", "key_value", STORE, "key_value"),
    (PassthroughCacheWrapper, {"cache": OTHER}, "store", "primary_key_value", STORE, "key_value"),
    (PassthroughCacheWrapper, {"store": STORE}, "cache", "cache_store", OTHER, "cache"),
    (PassthroughCacheWrapper, {"store": STORE}, "cache", "cache_key_value", OTHER, "cache"),
    (SingleCollectionWrapper, {"key_value": STORE}, "collection", "single_collection", "all", "collection"),
    (RoutingWrapper, ROUTE, "default_store", "default", STORE, "key_value"),
    (CollectionRoutingWrapper, {"collection_map": {}}, "default_store", "default", STORE, "key_value"),
    (PydanticAdapter, {"key_value": STORE, "default_collection": "a"}, "pydantic_model", "model", int, None),
]


@pytest.mark.parametrize(
    ("kind", "options", "ours", "other", "given", "attribute"),
    SPELLINGS,
    ids=[f"{kind.__name__}-{ours}-{other}" for kind, _, ours, other, *_ in SPELLINGS],
)
def test_both_spellings_are_taken(kind, options, ours, other, given, attribute):
    """Either name gives the same; both at once, or a name of neither, is a TypeError."""
    for name in (ours, other):
        made = kind(**options, **{name: given})
        assert attribute is None or getattr(made, attribute) is given
    with pytest.raises(TypeError, match=f"both {ours}= and {other}="):
        kind(**options, **{ours: given, other: given})
    with pytest.raises(TypeError):
        kind(**options, **{ours: given, f"{other}s": given})


@pytest.mark.parametrize(("kind", "options"), OF_A_STORE, ids=[kind.__name__ for kind, _ in OF_A_STORE])
def test_the_store_comes_first(kind, options):
    """The store may be given by position, and not by position and name."""
    assert kind(STORE, **options).key_value is STORE
    with pytest.raises(TypeError):
        kind(STORE, store=OTHER, **options)
