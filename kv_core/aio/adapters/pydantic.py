"""Keep whatever pydantic validates: models, lists of models, dataclasses, TypedDicts, plain types."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final, Generic, TypeVar, cast, overload

import msgspec

from kv_core.address import check_collection, check_key, check_keys
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.checks import check_values
from kv_core.errors import (
    ConfigurationError,
    DeserializationError,
    InvalidCollectionError,
    MissingDependencyError,
    SerializationError,
)
from kv_core.spellings import also

try:
    from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError
except ImportError as error:
    raise MissingDependencyError("PydanticAdapter needs pydantic: pip install 'kvstack[pydantic]'") from error

T = TypeVar("T")
D = TypeVar("D")
_logger = logging.getLogger(__name__)
_ITEMS: Final = "items"
"""The key under which a value is kept that is not a dict; as py-key-value does for lists."""


class _Missing:
    """The type of what stands for no entry, where None may be an object."""


_MISSING: Final = _Missing()


class PydanticAdapter(Generic[T]):
    """A store of objects of one type.

    An object is kept as the JSON that pydantic makes of it, and validated when it is read; what would not be valid
    then is refused when it is put. What is not a JSON object, such as a list, is kept as `{"items": …}`.
    What pydantic leaves out of its JSON on purpose (fields that are excluded or computed, what a `SecretStr` hides,
    what a subclass adds) is not kept.
    """

    @also(store="key_value", model="pydantic_model")
    def __init__(
        self,
        key_value: AsyncKeyValue,
        pydantic_model: type[T],
        default_collection: str | None = None,
        raise_on_validation_error: bool = False,
    ) -> None:
        """Adapt a store.

        Args:
            key_value: The store.
            pydantic_model: The type of the objects: any that pydantic validates.
            default_collection: Where an object goes when no collection is named; by default the store's own.
            raise_on_validation_error: Raise `DeserializationError` for what is stored and is not of the type; by
                default it counts as missing, and a warning names its key.

        Raises:
            ConfigurationError: pydantic cannot validate the type, or *default_collection* cannot be a collection.
        """
        self.key_value = key_value
        self.default_collection = default_collection
        self.raise_on_validation_error = raise_on_validation_error
        try:
            if default_collection is not None:
                check_collection(default_collection)
            self._type: TypeAdapter[T] = TypeAdapter(pydantic_model)
            self._type.rebuild(raise_errors=True)  # names that are not known raise now, not at the first use
        except InvalidCollectionError as error:
            raise ConfigurationError(f"PydanticAdapter: default_collection: {error}") from error
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            raise ConfigurationError(f"PydanticAdapter: pydantic cannot validate {pydantic_model!r}.") from error

    # Objects and values ---------------------------------------------------------------------------------------------

    def _dump(self, item: T, key: str) -> dict[str, Any]:
        try:
            valid = self._type.validate_python(item)
            found = self._dumped(valid)
            again = self._type.validate_json(msgspec.json.encode(found))
            same = self._dumped(again) == found or bool(again == valid)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            name = type(item).__name__
            message = f"The {name} for {key!r} is not valid ({self._reasons(error)}), and was not kept."
            raise SerializationError(message, key=key) from None
        if not same:  # a field that is written under another name than it is read by, say
            message = f"The {type(item).__name__} for {key!r} would not come back as it is, and was not kept."
            raise SerializationError(message, key=key)
        return found if self._is_object(found) else {_ITEMS: found}

    def _dumped(self, item: T) -> Any:
        # A warning would show the value; what it warns of, an object that was made invalid, is found by reading it.
        return self._type.dump_python(item, mode="json", by_alias=True, round_trip=True, warnings=False)

    def _is_object(self, found: Any) -> bool:
        return type(found) is dict and not (found.keys() == {_ITEMS} and not self._has_items)

    @cached_property
    def _has_items(self) -> bool:
        """Whether the type is a model with a field of that name, which is kept as it is."""
        try:
            return _ITEMS in self._type.json_schema().get("properties", {})
        except PydanticUserError:  # JSON schema does not know the type
            return False

    def _load(self, value: dict[str, Any] | None, key: str, default: D) -> T | D:
        if value is None:
            return default
        stored: Any = value[_ITEMS] if value.keys() == {_ITEMS} and not self._has_items else value
        try:
            return self._type.validate_json(msgspec.json.encode(stored))
        except ValidationError as error:
            message = f"What is stored under {key!r} is not valid: {self._reasons(error)}."
            if self.raise_on_validation_error:
                raise DeserializationError(message, key=key) from None
            _logger.warning("%s It counts as missing.", message)
            return default

    def _reasons(self, error: Exception) -> str:
        """Say what pydantic found, without what it found it in: names that are not the type's own are left out."""
        if not isinstance(error, ValidationError):
            return "it cannot be written as JSON"
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return ", ".join(f"{self._shown(one['loc'])}: {one['type']}" for one in found[:5])

    def _shown(self, place: tuple[int | str, ...]) -> str:
        parts = [str(part) if isinstance(part, int) or part in self._field_names else "…" for part in place]
        return ".".join(parts) or "the whole"

    @cached_property
    def _field_names(self) -> frozenset[str]:
        return frozenset(_names_in(self._type.core_schema))

    def _place(self, collection: str | None) -> str | None:
        return self.default_collection if collection is None else collection

    # Operations -----------------------------------------------------------------------------------------------------

    @overload
    async def get(self, key: str, *, collection: str | None = None, default: None = None) -> T | None: ...
    @overload
    async def get(self, key: str, *, collection: str | None = None, default: D) -> T | D: ...
    async def get(self, key: str, *, collection: str | None = None, default: D | None = None) -> T | D | None:
        """Return the object, or *default* if there is none."""
        return self._load(await self.key_value.get(key, collection=self._place(collection)), key, default)

    @overload
    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, default: None = None
    ) -> list[T | None]: ...
    @overload
    async def get_many(self, keys: Sequence[str], *, collection: str | None = None, default: D) -> list[T | D]: ...
    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, default: D | None = None
    ) -> list[T | None] | list[T | D]:
        """Return the object or *default* for each key, in the order of the keys."""
        found = await self.key_value.get_many(keys, collection=self._place(collection))
        items: list[Any] = [self._load(value, key, default) for key, value in zip(keys, found, strict=True)]
        return items

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[T | None, float | None]:
        """Return the object and the seconds it has left (None: no expiry), or `(None, None)` if there is none."""
        value, seconds = await self.key_value.ttl(key, collection=self._place(collection))
        return self._load_ttl(value, key, seconds)

    def _load_ttl(self, value: dict[str, Any] | None, key: str, seconds: float | None) -> tuple[T | None, float | None]:
        item = self._load(value, key, _MISSING)
        return (None, None) if isinstance(item, _Missing) else (item, seconds)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[T | None, float | None]]:
        """Return what `ttl` returns for each key."""
        found = await self.key_value.ttl_many(keys, collection=self._place(collection))
        return [self._load_ttl(value, key, seconds) for key, (value, seconds) in zip(keys, found, strict=True)]

    async def put(self, key: str, value: T, *, collection: str | None = None, ttl: float | None = None) -> None:
        """Keep an object, for *ttl* seconds or without end.

        Raises:
            SerializationError: It is not of the type, or what is kept of it would not be.
        """
        check_key(key)
        await self.key_value.put(key, self._dump(value, key), collection=self._place(collection), ttl=ttl)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[T],
        *,
        collection: str | None = None,
        ttl: Sequence[float | None] | float | None = None,
    ) -> None:
        """Keep an object for each key.

        Raises:
            BatchLengthError: There are more or fewer objects than keys.
            SerializationError: One is not of the type; none was kept.
        """
        check_keys(keys)
        check_values(keys, values)
        dumped = [self._dump(value, key) for key, value in zip(keys, values, strict=True)]
        await self.key_value.put_many(keys, dumped, collection=self._place(collection), ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Delete the object, and return whether there was one."""
        return await self.key_value.delete(key, collection=self._place(collection))

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Delete the objects, and return how many there were."""
        return await self.key_value.delete_many(keys, collection=self._place(collection))


def _names_in(schema: Any) -> Iterator[str]:
    """Yield the names and aliases of all fields in one of pydantic's schemas."""
    left: list[Any] = [schema]
    while left:
        part = left.pop()
        if isinstance(part, list | tuple):
            left += cast("Sequence[Any]", part)
        elif isinstance(part, dict):
            known = cast("dict[str, Any]", part)
            if isinstance(known.get("fields"), dict):
                yield from known["fields"]
            if str(known.get("type")).endswith("-field"):
                yield from [name for name in (known.get("name"), known.get("validation_alias")) if type(name) is str]
            left += known.values()
