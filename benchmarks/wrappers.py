"""What each wrapper costs over a memory store, and a stack of them."""

from __future__ import annotations

import inspect
import pkgutil
from functools import partial
from importlib import import_module
from typing import Any

from cryptography.fernet import Fernet

from benchmarks._harness import Bench
from kv_core import aio, sync

KEY = "user:1"
PAYLOAD = b"p" * 120  # about what there is to encrypt of the value
VALUE: dict[str, Any] = {"name": "Ada", "age": 36, "admin": True, "score": 0.5, "note": None}
SIDES = {"sync": sync, "aio": aio}


def _no_route(collection: str | None) -> None:
    """Send every collection to the default store."""


STORE = object()
"""Stands for a memory store of the side that is measured."""
ARGUMENTS: dict[str, dict[str, Any]] = {
    "CollectionRoutingWrapper": {"collection_map": {}, "default_store": STORE},
    "DefaultValueWrapper": {"default_value": {}},
    "FallbackWrapper": {"fallback": STORE},
    "PassthroughCacheWrapper": {"cache": STORE},
    "PrefixCollectionsWrapper": {"prefix": "app"},
    "PrefixKeysWrapper": {"prefix": "app"},
    "RoutingWrapper": {"routing_function": _no_route, "default_store": STORE},
    "SingleCollectionWrapper": {"collection": "all"},
    "TTLClampWrapper": {"min_ttl": 1.0, "max_ttl": 3600.0},
}
"""What the constructors need beyond the store that they wrap, where they wrap one."""
READ_ONLY = {"ReadOnlyWrapper"}
STACK_BAR = {"sync": 8.0, "aio": 12.0}
"""For Statistics(Retry(Timeout(Compression(Fernet)))), less cipher, compressor and store; the three take less."""


def main(bench: Bench) -> None:
    """Measure each wrapper that is there, by its `get` and `put`."""
    for side in SIDES:
        bench.title(f"Wrappers over MemoryStore, {side}")
        bare = _memory(side)
        _cost(bench, "one that overrides delete alone", _untouched(side)(bare), bare, at_most=0.2)
        wrappers = _wrappers(side)
        for name, wrapper in wrappers.items():
            _cost(bench, name, _make(wrapper, side, bare), bare)
        stack = bare
        for name in ("TimeoutWrapper", "RetryWrapper", "StatisticsWrapper"):
            stack = wrappers[name](stack)
        _cost(bench, "Statistics(Retry(Timeout))", stack, bare, at_most=STACK_BAR[side])
        _production(bench, side, wrappers)


def _production(bench: Bench, side: str, wrappers: dict[str, Any]) -> None:
    """Measure the recommended stack, less what its cipher and compressor do to the value, and less the store."""
    encryption = import_module(f"kv_core.{side}.wrappers.encryption.fernet")
    fernet = Fernet(Fernet.generate_key())
    store = _memory(side)
    sealed = encryption.FernetEncryptionWrapper(store, fernet=fernet)
    compressed = wrappers["CompressionWrapper"](sealed)
    inner = wrappers["RetryWrapper"](wrappers["TimeoutWrapper"](compressed))
    stack = wrappers["StatisticsWrapper"](inner)
    fallback = wrappers["StatisticsWrapper"](wrappers["FallbackWrapper"](inner, _memory(side)))
    bench.run(partial(stack.put, KEY, VALUE))
    stored = bench.run(partial(store.get, KEY))
    address = (store.default_collection, KEY)

    def encoded() -> Any:
        return sealed._encode(compressed._encode(VALUE, address, None), address, None)

    def decode(value: Any) -> Any:
        return compressed._decode(sealed._decode(value, address), address)

    token = fernet.encrypt(PAYLOAD)
    if inspect.iscoroutinefunction(store.put):

        async def bare_put() -> None:
            await store.put(KEY, encoded())

        async def bare_get() -> None:
            decode(await store.get(KEY))

        async def cipher_put() -> None:
            fernet.encrypt(PAYLOAD)
            await store.put(KEY, stored)

        async def cipher_get() -> None:
            await store.get(KEY)
            fernet.decrypt(token)

        bares = [(bare_put, bare_get), (cipher_put, cipher_get)]
    else:
        bares = [
            (lambda: store.put(KEY, encoded()), lambda: decode(store.get(KEY))),
            (
                lambda: (fernet.encrypt(PAYLOAD), store.put(KEY, stored)),
                lambda: (store.get(KEY), fernet.decrypt(token)),
            ),
        ]
    text = "Statistics(Retry(Timeout(Compression(Fernet))))"
    for what, one, bar in ((text, stack, STACK_BAR[side]), ("the same with Fallback", fallback, None)):
        for (put, get), less, limit in zip(bares, ("", ", less Fernet alone"), (bar, None), strict=True):
            bench.run(partial(one.put, KEY, VALUE))
            bench.cost(f"{what}: put{less}", partial(one.put, KEY, VALUE), put, at_most=limit)
            bench.run(partial(one.put, KEY, VALUE))
            bench.cost(f"{what}: get{less}", partial(one.get, KEY), get, at_most=limit)


def _cost(bench: Bench, name: str, wrapped: Any, bare: Any, *, at_most: float | None = None) -> None:
    bench.run(partial(bare.put, KEY, VALUE))
    if name not in READ_ONLY:
        bench.run(partial(wrapped.put, KEY, VALUE))  # it may keep it elsewhere
        bench.cost(f"{name}: put", partial(wrapped.put, KEY, VALUE), partial(bare.put, KEY, VALUE), at_most=at_most)
    bench.cost(f"{name}: get", partial(wrapped.get, KEY), partial(bare.get, KEY), at_most=at_most)


def _make(wrapper: Any, side: str, store: Any) -> Any:
    """Wrap a store."""
    arguments = ARGUMENTS.get(wrapper.__name__, {})
    ready = {name: _memory(side) if one is STORE else one for name, one in arguments.items()}
    return wrapper(**ready) if _first(wrapper).name in ready else wrapper(store, **ready)


def _memory(side: str) -> Any:
    return import_module(f"kv_core.{side}.stores.memory").MemoryStore()


def _wrappers(side: str) -> dict[str, Any]:
    """Return the classes of all wrappers, without their bases and those of which too little is known to make one."""
    package = import_module(f"kv_core.{side}.wrappers")
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    modules = [import_module(f"{package.__name__}.{name}") for name in names if name != "base" and name[0] != "_"]
    return {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if name.endswith("Wrapper") and kind.__module__ == module.__name__ and _can_be_made(kind)
    }


def _can_be_made(kind: type) -> bool:
    parameters = inspect.signature(kind).parameters.values()
    named = [one for one in parameters if one.kind in {one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD}]
    needed = {one.name for one in named if one.default is one.empty}
    missing = needed - {_first(kind).name} - ARGUMENTS.get(kind.__name__, {}).keys()
    if missing:
        print(f"{kind.__name__} is left out: benchmarks/wrappers.py does not say what it takes as {', '.join(missing)}")
    return not missing


def _first(kind: type) -> inspect.Parameter:
    return next(iter(inspect.signature(kind).parameters.values()))


def _untouched(side: str) -> Any:
    """Return a wrapper that changes one operation, which is not measured."""
    base: Any = import_module(f"kv_core.{side}.wrappers.base").BaseWrapper

    class Untouched(base):  # type: ignore[misc]  # the base of either side
        def __init__(self, key_value: Any) -> None:
            self.key_value = key_value

        async def delete(self, key: str, *, collection: str | None = None) -> bool:
            return False

    return Untouched
