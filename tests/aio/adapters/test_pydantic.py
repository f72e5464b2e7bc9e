"""Objects of any type that pydantic validates come back as they were, or are refused when they are put."""

import logging
import traceback
import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    RootModel,
    SecretStr,
    computed_field,
    field_validator,
)
from typing_extensions import TypedDict

from kv_core.aio.adapters.pydantic import PydanticAdapter
from kv_core.aio.stores.memory import MemoryStore
from kv_core.errors import (
    BaseKeyValueError,
    BatchLengthError,
    ConfigurationError,
    DeserializationError,
    InvalidKeyError,
    SerializationError,
)

CANARY = "c4n4ry"


class Colour(Enum):
    RED = "red"


class User(BaseModel):
    name: str
    born: date = date(1970, 1, 1)
    tags: set[str] = set()


class Everything(BaseModel):
    when: datetime
    after: timedelta
    price: Decimal
    id: UUID
    colour: Colour
    raw: bytes
    pair: tuple[int, str]
    maybe: User | None


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    user_name: str = Field(alias="userName")


class Basket(BaseModel):
    items: list[int]


class Tree(BaseModel):
    items: "list[Tree]" = []


class Free(BaseModel):
    model_config = ConfigDict(extra="allow")


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    when: datetime
    colour: Colour


@dataclass
class Point:
    x: int
    y: list[int]


class Movie(TypedDict):
    title: str
    year: int


class Square(BaseModel):
    model_config = ConfigDict(extra="forbid")
    side: int

    @computed_field
    @property
    def area(self) -> int:
        return self.side**2


class Wrapped(BaseModel):
    numbers: Json[list[int]]


class Opaque:
    """A type that pydantic only knows by its class."""


MOMENT = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
USER = User(name="Ada", born=date(1815, 12, 10), tags={"a"})
OBJECTS = [
    (User, USER),
    (
        Everything,
        Everything(
            when=MOMENT,
            after=timedelta(seconds=1.5),
            price=Decimal("1.10"),
            id=UUID(int=7),
            colour=Colour.RED,
            raw=b"raw",
            pair=(1, "a"),
            maybe=USER,
        ),
    ),
    (Aliased, Aliased(userName="Ada")),
    (Basket, Basket(items=[1, 2])),
    (Basket, Basket(items=[])),
    (Tree, Tree(items=[Tree(items=[Tree()])])),
    (Free, Free(items=5)),
    (Strict, Strict(when=MOMENT, colour=Colour.RED)),
    (Square, Square(side=2)),
    (Wrapped, Wrapped(numbers="[1, 2]")),
    (set[str], {str(number) for number in range(100)}),
    (RootModel[list[int]], RootModel[list[int]]([1])),
    (Point, Point(1, [2])),
    (Movie, {"title": "M", "year": 1931}),
    (list[User], [USER, USER]),
    (list[User], []),
    (list[Basket], [Basket(items=[1])]),
    (dict[str, int], {"items": 5}),
    (dict[str, int], {}),
    (dict[str, dict[str, int]], {"items": {"items": 5}}),
    (Basket | User, Basket(items=[3])),
    (Basket | list[int], [3]),
    (int, 5),
    (str, ""),
    (float, 0.1),
    (bool, False),
    (datetime, MOMENT),
    (tuple[int, str], (1, "a")),
    (int | None, None),
]


@pytest.mark.faults(28)
@pytest.mark.parametrize(("kind", "item"), OBJECTS)
async def test_an_object_comes_back(store, kind, item):
    """What was put is what is got, alone and in bulk, with its ttl."""
    adapter = PydanticAdapter(store, kind)
    await adapter.put("one", item, ttl=60)
    await adapter.put_many(["two", "three"], [item, item])

    found = await adapter.get("one", default="none")
    assert (found, type(found)) == (item, type(item))
    assert await adapter.get_many(["two", "none", "three"], default="none") == [item, "none", item]
    value, left = await adapter.ttl("one")
    assert value == item
    assert 59 < left <= 60
    assert await adapter.ttl_many(["two", "none"]) == [(item, None), (None, None)]


async def test_the_stored_form_is_plain():
    """Models are kept as their own JSON, by alias; what is no JSON object as {"items": …}."""
    store = MemoryStore()
    for kind, item, kept in (
        (User, USER, {"name": "Ada", "born": "1815-12-10", "tags": ["a"]}),
        (Aliased, Aliased(userName="Ada"), {"userName": "Ada"}),
        (list[int], [1], {"items": [1]}),
        (Basket, Basket(items=[1]), {"items": [1]}),
        (dict[str, int], {"items": 1}, {"items": {"items": 1}}),
        (int, 5, {"items": 5}),
    ):
        await PydanticAdapter(store, kind).put("key", item)
        assert await store.get("key") == kept


async def test_collections(store):
    """The adapter's collection is used where none is named."""
    adapter = PydanticAdapter(store, User, default_collection="users")
    await adapter.put("key", USER)
    await adapter.put("key", User(name="Bob"), collection="other")

    assert (await store.get("key", collection="users"))["name"] == "Ada"
    assert (await adapter.get("key", collection="other")).name == "Bob"
    assert await adapter.get("key") == USER
    assert await adapter.delete("key") is True
    assert await adapter.delete_many(["key"], collection="other") == 1
    assert await adapter.get_many(["key"]) == [None]


@pytest.mark.faults(90, 93)
@pytest.mark.parametrize(
    "stored",
    [
        {"name": {CANARY: CANARY}},
        {"name": "Ada", "born": CANARY},
        {CANARY: 1},
        {"items": [CANARY]},
        {"tags": {CANARY: 1}},
    ],
    ids=str,
)
async def test_what_is_stored_and_not_valid_counts_as_missing(store, stored, caplog):
    """The default is returned, a warning names the key, and nothing of what is stored is in it."""
    await store.put("bad", stored)
    adapter = PydanticAdapter(store, User)

    with caplog.at_level(logging.WARNING, logger="kv_core"):
        assert await adapter.get("bad") is None
        assert await adapter.get("bad", default=USER) is USER
        assert await adapter.get_many(["bad", "none"], default=USER) == [USER, USER]
        assert await adapter.ttl("bad") == (None, None)
        assert await adapter.ttl_many(["bad"]) == [(None, None)]

    assert len(caplog.records) == 5
    assert all("'bad'" in record.getMessage() for record in caplog.records)
    assert CANARY not in caplog.text + "".join(repr(vars(record)) for record in caplog.records)


@pytest.mark.faults(90, 93)
async def test_told_to_it_raises(store):
    """With raise_on_validation_error=True it is a DeserializationError that shows fields and no values."""
    await store.put("bad", {"name": 5, "born": CANARY, CANARY: CANARY})
    adapter = PydanticAdapter(store, User, raise_on_validation_error=True)
    reads = [
        lambda: adapter.get("bad", default=USER),
        lambda: adapter.get_many(["bad"]),
        lambda: adapter.ttl("bad"),
        lambda: adapter.ttl_many(["bad"]),
    ]

    for read in reads:
        with pytest.raises(DeserializationError, match=r"'bad' is not valid: name: string_type, born: date") as caught:
            await read()
        assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert await adapter.get("none") is None


@pytest.mark.faults(90)
async def test_names_from_the_data_are_not_shown():
    """A reason names the fields of the type, by alias too; keys that the data brought are left out."""

    class Inner(BaseModel):
        model_config = ConfigDict(extra="forbid")
        amounts: dict[str, int] = Field(alias="theAmounts")

    @dataclass
    class Outer:
        inner: list[Inner]

    adapter = PydanticAdapter(MemoryStore(), Outer)
    with pytest.raises(SerializationError) as caught:
        await adapter.put("key", {"inner": [{"theAmounts": {CANARY: "x"}, CANARY: 1}]})
    assert "inner.0.theAmounts.…: int_parsing" in str(caught.value)
    assert "inner.0.…: extra_forbidden" in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def changed():
    """A model that was made invalid after it was validated."""
    user = User(name="Ada")
    user.born = CANARY
    return user


def circular():
    free = Free()
    free.again = free
    return free


class Renamed(BaseModel):
    name: str = Field(serialization_alias="fullName")


class Lost(BaseModel):
    name: str = Field(default="", serialization_alias="fullName")


class Growing(BaseModel):
    name: Annotated[str, AfterValidator(lambda name: name + "!")]


class Hidden(BaseModel):
    name: str = Field(exclude=True)


class Checked(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def never(cls, name: str) -> str:
        raise ValueError(CANARY)


@pytest.mark.faults(29, 90)
@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (User, {"name": CANARY, "born": CANARY}),
        (User, None),
        (User, CANARY),
        (User, changed()),
        (Free, circular()),
        (Renamed, Renamed(name=CANARY)),
        (Lost, Lost(name=CANARY)),
        (Growing, Growing(name=CANARY)),
        (Hidden, Hidden(name=CANARY)),
        (Checked, {"name": CANARY}),
        (bytes, b"\xff" + CANARY.encode()),
        (float, float("nan")),
        (list[float], [float("inf")]),
        (dict[int, Any], {1: object()}),
        (str, "\ud800" + CANARY),
        (int, 2**70),
    ],
)
async def test_what_could_not_be_read_back_is_refused(store, kind, item):
    """It raises SerializationError, no value is in it nor in a warning, and what is there stays."""
    adapter = PydanticAdapter(store, kind)
    await store.put("key", {"old": True})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SerializationError) as caught:
            await adapter.put("key", item)
        with pytest.raises(SerializationError):
            await adapter.put_many(["new", "key"], [item, item])
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert await store.get_many(["key", "new"]) == [{"old": True}, None]


async def test_a_secret_is_not_kept_as_stars():
    """A SecretStr is written as asterisks, so it is kept as these: keep secrets as str."""
    store = MemoryStore()
    await PydanticAdapter(store, SecretStr).put("key", SecretStr(CANARY))

    assert await store.get("key") == {"items": "**********"}


async def test_types_without_a_json_schema():
    """A type that has no JSON schema, a callable among its parts, works as far as it is JSON."""

    class Odd(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        items: int
        opaque: Opaque | None = None

    adapter = PydanticAdapter(MemoryStore(), Odd)
    await adapter.put("key", Odd(items=1))
    assert await adapter.get("key") == Odd(items=1)
    listed = PydanticAdapter(MemoryStore(), list[Odd])
    await listed.put("key", [Odd(items=1)])
    assert await listed.get("key") == [Odd(items=1)]


async def test_calls_are_checked(store):
    """Keys, lengths and ttls are refused as by the store."""
    adapter = PydanticAdapter(store, int)

    for bad in (1, None, "\ud800"):
        with pytest.raises(InvalidKeyError):
            await adapter.put(bad, 1)
        with pytest.raises(InvalidKeyError):
            await adapter.get(bad)
    for bad in ("ab", None, iter(["a"])):
        with pytest.raises(InvalidKeyError):
            await adapter.put_many(bad, [1, 2])
        with pytest.raises(InvalidKeyError):
            await adapter.get_many(bad)
        with pytest.raises(InvalidKeyError):
            await adapter.ttl_many(bad)
    for values in ([], [1, 2], 1, None):
        with pytest.raises(BatchLengthError):
            await adapter.put_many(["a"], values)
    with pytest.raises(BaseKeyValueError):
        await adapter.put("a", 1, ttl=-1)
    await adapter.put_many([], [])
    assert await adapter.get_many([]) == []


@pytest.mark.faults(120)
@pytest.mark.parametrize(
    ("kind", "options"),
    [(5, {}), (Opaque, {}), (list["Nowhere"], {}), (int, {"default_collection": ""}), (int, {"default_collection": 5})],  # noqa: F821
    ids=repr,
)
def test_options_are_checked(kind, options):
    """A type that pydantic cannot validate, and what is no collection, are refused at construction."""
    with pytest.raises(ConfigurationError, match="PydanticAdapter"):
        PydanticAdapter(MemoryStore(), kind, **options)
