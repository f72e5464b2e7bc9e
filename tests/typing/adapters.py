"""What type checkers see of adapters. Nothing here runs: mypy and pyright read it."""

from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from pydantic import BaseModel

from kv_core.aio.adapters.pydantic import PydanticAdapter as AsyncPydanticAdapter
from kv_core.aio.adapters.raise_on_missing import RaiseOnMissingAdapter as AsyncRaiseOnMissingAdapter
from kv_core.aio.protocols import AsyncKeyValue
from kv_core.sync.adapters.pydantic import PydanticAdapter
from kv_core.sync.adapters.raise_on_missing import RaiseOnMissingAdapter
from kv_core.sync.protocols import KeyValue

Value = dict[str, Any]


class User(BaseModel):
    name: str


@dataclass
class Point:
    x: int


class Movie(TypedDict):
    title: str


async def models_on_the_async_side(store: AsyncKeyValue, nobody: User) -> None:
    users = AsyncPydanticAdapter(store, User, default_collection="users", raise_on_validation_error=True)
    assert_type(users, AsyncPydanticAdapter[User])
    assert_type(await users.get("1"), User | None)
    assert_type(await users.get("1", default=None), User | None)
    assert_type(await users.get("1", default=nobody), User)
    assert_type(await users.get("1", collection="other", default="none"), User | str)
    assert_type(await users.get_many(["1"]), list[User | None])
    assert_type(await users.get_many(["1"], default=nobody), list[User])
    assert_type(await users.get_many(["1"], default=0), list[User | int])
    assert_type(await users.ttl("1"), tuple[User | None, float | None])
    assert_type(await users.ttl_many(["1"]), list[tuple[User | None, float | None]])
    await users.put("1", nobody, ttl=5)
    await users.put_many(["1"], [nobody], ttl=[None])
    assert_type(await users.delete("1"), bool)
    assert_type(await users.delete_many(["1"]), int)


def models_on_the_sync_side(store: KeyValue, nobody: User) -> None:
    users = PydanticAdapter(store, User)
    assert_type(users, PydanticAdapter[User])
    assert_type(users.get("1"), User | None)
    assert_type(users.get("1", default=nobody), User)
    assert_type(users.get_many(["1"]), list[User | None])
    assert_type(users.get_many(["1"], default=nobody), list[User])
    assert_type(users.ttl("1"), tuple[User | None, float | None])
    users.put("1", nobody)


def other_types(store: KeyValue) -> None:
    assert_type(PydanticAdapter(store, list[User]).get("1"), list[User] | None)
    assert_type(PydanticAdapter(store, list[User]).get_many(["1"]), list[list[User] | None])
    assert_type(PydanticAdapter(store, Point).get("1"), Point | None)
    assert_type(PydanticAdapter(store, Movie).get("1"), Movie | None)
    assert_type(PydanticAdapter(store, dict[str, int]).get("1"), dict[str, int] | None)
    assert_type(PydanticAdapter(store, int).get("1", default=0), int)
    PydanticAdapter(store, Movie).put("1", {"title": "M"})


async def missing_on_the_async_side(store: AsyncKeyValue, perhaps: bool) -> None:
    adapter = AsyncRaiseOnMissingAdapter(store)
    assert_type(await adapter.get("1"), Value)
    assert_type(await adapter.get("1", raise_on_missing=True), Value)
    assert_type(await adapter.get("1", raise_on_missing=False), Value | None)
    assert_type(await adapter.get("1", raise_on_missing=perhaps), Value | None)
    assert_type(await adapter.get_many(["1"]), list[Value])
    assert_type(await adapter.get_many(["1"], raise_on_missing=False), list[Value | None])
    assert_type(await adapter.ttl("1"), tuple[Value, float | None])
    assert_type(await adapter.ttl("1", raise_on_missing=False), tuple[Value | None, float | None])
    assert_type(await adapter.ttl_many(["1"]), list[tuple[Value, float | None]])


def missing_on_the_sync_side(store: KeyValue) -> None:
    adapter = RaiseOnMissingAdapter(store)
    assert_type(adapter.get("1"), Value)
    assert_type(adapter.get("1", raise_on_missing=False), Value | None)
    assert_type(adapter.get_many(["1"]), list[Value])
    assert_type(adapter.ttl("1"), tuple[Value, float | None])
    adapter.put("1", {"n": 1}, ttl=5)
    assert_type(adapter.delete("1"), bool)


def what_is_refused(store: KeyValue, other_side: AsyncKeyValue, user: User) -> None:
    PydanticAdapter(store, Point).put("1", user)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - another type
    PydanticAdapter(other_side, User)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - another side
    RaiseOnMissingAdapter(store).get("1").upper()  # type: ignore[attr-defined]  # pyright: ignore - a dict
