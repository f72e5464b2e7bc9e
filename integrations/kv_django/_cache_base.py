"""What the two sides of the cache backend share: settings, keys, and the stack that is used now."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Final

from django.apps import apps
from django.core.cache.backends.base import DEFAULT_TIMEOUT, MEMCACHE_MAX_KEY_LENGTH, BaseCache, default_key_func
from typing_extensions import override

from kv_core.aio.protocols import AsyncStore
from kv_core.errors import NotACounterError, PartialFailureError, UnsupportedOperationError
from kv_core.sync.protocols import Store
from kv_django._options import read_options
from kv_django._stacks import Stack, stacks
from kv_django._values import PURPOSE, Values, ttl_of
from kv_django.errors import CacheKeyMissingError, StoresImproperlyConfiguredError

_NOT_PORTABLE: Final = re.compile(r"[\x00-\x20\x7f]").search
_MARK: Final = "\N{OBJECT REPLACEMENT CHARACTER}kv\N{OBJECT REPLACEMENT CHARACTER}"


class Bound:
    """A stack and the way of writing values, as long as the settings stay what they are."""

    def __init__(self, stack: Stack, values: Values, generation: int) -> None:
        self._stack = stack
        self.values = values
        self.generation = generation

    @cached_property
    def store(self) -> Store:
        """The stack for threads."""
        return self._stack.store

    @cached_property
    def astore(self) -> AsyncStore:
        """The stack for event loops."""
        return self._stack.astore


class CacheBase(BaseCache):
    """Read a cache's settings; nothing is connected before the first operation."""

    def __init__(self, location: Any, params: dict[str, Any]) -> None:
        """Read and check the settings.

        Args:
            location: `"kv:alias"` for a stack of `KV_STORES`, or a URL.
            params: What else `CACHES` says.

        Raises:
            StoresImproperlyConfiguredError: The settings are wrong; with "kv_django" in INSTALLED_APPS the system
                checks say so instead, and the first use.
        """
        super().__init__(params)
        self._described = location, params
        self._collection = ""
        self._bound: Bound | None = None
        self._plain_making = type(self).make_key is BaseCache.make_key
        self._plain_validation = type(self).validate_key is BaseCache.validate_key
        try:
            self._bind()
        except StoresImproperlyConfiguredError:
            if not (apps.apps_ready and apps.is_installed("kv_django")):
                raise
            # Django's checks make every cache; ours say what is wrong with this one, and so does its first use

    @property
    def store(self) -> Store:
        """The stack for threads, as `kv_django.stores` has it; the cache is one collection of it."""
        return self._current().store

    @property
    def astore(self) -> AsyncStore:
        """The stack for event loops, as `kv_django.astores` has it; the cache is one collection of it."""
        return self._current().astore

    @property
    def collection(self) -> str:
        """The collection that holds this cache."""
        self._current()
        return self._collection

    def _current(self) -> Bound:
        """Return what to work with now; it is another after settings changed or stores were closed."""
        bound = self._bound
        return bound if bound is not None and bound.generation == stacks.generation else self._bind()

    def _bind(self) -> Bound:
        generation = stacks.generation
        options = read_options(*self._described)
        stack = (
            stacks.described(options.description, evict=options.evict)
            if options.alias is None
            else stacks.named(options.alias)
        )
        signer = None if stack.private else stacks.signer(PURPOSE)
        self._collection = options.collection
        self._bound = Bound(stack, Values(options.collection, options.serializer, signer), generation)
        return self._bound

    # Keys and timeouts ----------------------------------------------------------------------------------------------

    @override
    def make_and_validate_key(self, key: Any, version: int | None = None) -> str:
        if self._plain_making and self.key_func is default_key_func:
            made = f"{self.key_prefix}:{self.version if version is None else version!s}:{key!s}"
        else:
            made = self.make_key(key, version)
        if not self._plain_validation or len(made) > MEMCACHE_MAX_KEY_LENGTH or _NOT_PORTABLE(made):
            self.validate_key(made)
        return made if type(made) is str else str.__str__(made)  # without what a subclass of str adds

    def _made(self, keys: Iterable[Any], version: int | None) -> dict[str, Any]:
        """Return each made key with the key that it was made from."""
        make = self.make_and_validate_key
        return {make(key, version): key for key in keys}

    def _ttl(self, timeout: Any) -> float | None:
        return ttl_of(timeout, self.default_timeout)

    @override
    def get_backend_timeout(self, timeout: float | None = DEFAULT_TIMEOUT) -> float | None:
        """Return the ttl for a timeout, in seconds from now: None for no end, 0 for what has ended already."""
        return self._ttl(timeout)

    def _user_key(self, pattern: str, version: int | None) -> Callable[[str], str | None]:
        """Return what turns a made key of this version that matches *pattern* into the key it was made from.

        Raises:
            UnsupportedOperationError: KEY_FUNCTION does not keep the key as it is.
        """
        made = self.make_key(_MARK, version)
        before, mark, after = made.partition(_MARK)
        if not mark or _MARK in after:
            message = "KEY_FUNCTION changes the key itself, so this cache cannot list its keys."
            raise UnsupportedOperationError(message)
        matches = re.compile(fnmatch.translate(pattern)).match

        def user_key(made: str) -> str | None:
            if not (made.startswith(before) and made.endswith(after) and len(made) >= len(before) + len(after)):
                return None
            key = made[len(before) : len(made) - len(after)]
            return key if matches(key) else None

        return user_key

    # Errors ---------------------------------------------------------------------------------------------------------

    def _missing(self, key: Any) -> CacheKeyMissingError:
        return CacheKeyMissingError(f"Key {key!r} not found", key=str(key), collection=self._collection)

    @staticmethod
    def _unkept(error: PartialFailureError, made: dict[str, Any]) -> list[Any]:
        """Return the keys of a bulk write that were not surely kept, as Django wants to know them."""
        return [key for name, key in made.items() if name in error.failed or name in error.unknown]


def checked_delta(delta: Any) -> int:
    """Refuse to count by anything but an int.

    Raises:
        NotACounterError: It is not exactly an int.
    """
    if type(delta) is not int:
        raise NotACounterError(f"A cached number is changed by an int, not {type(delta).__name__}.")
    return delta
