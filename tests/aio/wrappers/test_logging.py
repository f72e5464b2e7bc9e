"""Every operation is a line in the log: one line, whatever is in it, and without values."""

import json
import logging
import traceback

import pytest

from kv_core.aio._runtime import sleep
from kv_core.aio.stores.memory import MemoryStore
from kv_core.aio.testing import StoreContract
from kv_core.aio.testing._common import call
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
from kv_core.aio.wrappers.routing import CollectionRoutingWrapper
from kv_core.aio.wrappers.single_collection import SingleCollectionWrapper
from kv_core.aio.wrappers.statistics import StatisticsWrapper
from kv_core.aio.wrappers.timeout import TimeoutWrapper
from kv_core.aio.wrappers.ttl_clamp import TTLClampWrapper
from kv_core.capabilities import OPERATIONS
from kv_core.entry import Revision
from kv_core.errors import BaseKeyValueError, ConfigurationError, InvalidKeyError, StoreConnectionError
from kv_core.settings import parse_stack

CANARY = "c4n4ry"
WORDS = "cryptography.fernet says nothing of these words"


class Lines(logging.Handler):
    """A handler that keeps every record."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    @property
    def lines(self):
        return [record.getMessage() for record in self.records]

    @property
    def everything(self):
        """All that a handler could write of the records: text, arguments, extra and traceback."""
        return "".join(f"{record.getMessage()}{vars(record)!r}" for record in self.records)


@pytest.fixture
def lines():
    """What the wrapper has logged."""
    lines = Lines()
    logger = logging.getLogger("tests.lines")
    logger.addHandler(lines)
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield lines
    logger.removeHandler(lines)


def logged(store, **options):
    return LoggingWrapper(store, logger=logging.getLogger("tests.lines"), **options)


@pytest.mark.usefixtures("lines")
class TestLoggingWrapper(StoreContract):
    """The contract, with everything logged as JSON."""

    @pytest.fixture
    def make(self, inner):
        return lambda: logged(inner(), log_values=True, structured_logs=True)


@pytest.mark.usefixtures("lines")
class TestLoggingWrapperWithoutStructure(StoreContract):
    """The contract, with everything logged as text."""

    @pytest.fixture
    def make(self, inner):
        return lambda: logged(inner(), log_values=True)


async def test_the_lines_are_as_documented(lines):
    """Name, key or keys, and options; a counter's initial value is a value."""
    store = logged(MemoryStore())
    await store.put("test", {"n": 1})
    await store.get_many(["a", "b"], collection="users")
    await store.increment("visits", 5, initial=123456, ttl=60)
    await store.ping()

    assert lines.lines == [
        "PUT key='test' collection=None ttl=None",
        "GET_MANY keys=['a', 'b'] collection='users'",
        "INCREMENT key='visits' collection=None ttl=60",
        "PING",
    ]


async def test_values_are_shown_when_asked_for(lines):
    """With log_values=True a line has what was put and what was found."""
    store = logged(MemoryStore(), log_values=True)
    await store.put("a", {"n": 1})
    await store.get("a")
    await store.increment("visits", initial=0)

    assert lines.lines == [
        "PUT key='a' collection=None ttl=None value={'n': 1}",
        "GET key='a' collection=None result={'n': 1}",
        "INCREMENT key='visits' collection=None initial=0 ttl=None value=1 result=1",
    ]


async def test_structured_lines_are_json(lines):
    """Each line is a JSON object, in ASCII."""
    store = logged(MemoryStore(), structured_logs=True, log_values=True)
    await store.put("é\u2028", {"raw": b"\0"}, ttl=60)
    await store.get_with_revision("é\u2028")

    assert all(line.isascii() for line in lines.lines)
    put, got = map(json.loads, lines.lines)
    assert put == {"operation": "put", "key": "é\u2028", "collection": None, "ttl": 60, "value": {"raw": "b'\\x00'"}}
    assert got["operation"] == "get_with_revision"


@pytest.mark.faults(91)
@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize(
    "key",
    [
        "x'\nCRITICAL forged",
        "x\r\nforged",
        "x\u2028forged",
        "x\x85forged",
        "x\x1b[31mforged",
        "x\0",
        "\u202eforged",
        "\ud800",
    ],
)
async def test_a_key_forges_no_line(backend, lines, key, structured):
    """A key with line breaks or control characters is one record of one printable line, in a bulk too."""
    store = logged(backend(), structured_logs=structured)
    for make in (lambda: store.get(key), lambda: store.get("a", collection=key), lambda: store.get_many([key])):
        try:
            await make()
        except InvalidKeyError:
            assert key == "\ud800"

    assert len(lines.lines) == 3
    assert all(line.isprintable() and len(line.splitlines()) == 1 for line in lines.lines)


class Evil(str):
    """Text that lies about itself, and fails when it is asked again."""

    __slots__ = ()

    def __repr__(self):
        return "x\nCRITICAL forged"

    def __str__(self):
        raise RuntimeError(CANARY)

    __format__ = __str__


class Unshowable:
    """An object that cannot be shown."""

    def __repr__(self):
        raise RuntimeError(CANARY)


def circular():
    value = {}
    value["again"] = value
    return value


def grown():
    """A value of 60 small dicts, written down as 2**60."""
    value = {}
    for _ in range(60):
        value = {"a": value, "b": value}
    return value


def deep():
    value = {}
    for _ in range(10_000):
        value = {"a": value}
    return value


@pytest.mark.faults(90, 91)
@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize(
    "strange", [Evil("x"), Unshowable(), b"x", 10**5000, circular(), deep(), grown(), {Unshowable(): 1}], ids=type
)
async def test_what_cannot_be_shown_does_no_harm(lines, strange, structured):
    """Keys, ttls and values that cannot be written down leave a line, and the error is that of the store."""
    store = logged(MemoryStore(), structured_logs=structured, log_values=True)
    careless = logged(ReadOnlyWrapper(MemoryStore(), raise_on_write=False), structured_logs=structured, log_values=True)

    for make in (
        lambda: store.get(strange),
        lambda: store.get_many([strange]),
        lambda: store.put("key", {}, ttl=strange),
        lambda: store.put("key", {"n": strange}),
        lambda: store.put(strange, strange),
    ):
        try:
            await make()
        except BaseKeyValueError:
            continue
        assert type(strange) is bytes
    await careless.put("key", {"n": strange})

    assert len(lines.records) == 6
    assert all(len(line.splitlines()) == 1 and "forged" not in line for line in lines.lines[:3])
    assert CANARY not in lines.everything


async def test_an_error_is_named(lines, flaky):
    """A failed operation has the error's name, and no text of it; a cancellation is logged, too."""
    store = logged(flaky(MemoryStore(), StoreConnectionError(CANARY)))

    with pytest.raises(StoreConnectionError):
        await store.get("a")
    assert lines.lines == ["GET key='a' collection=None error='StoreConnectionError'"]
    assert CANARY not in lines.everything


async def test_where_the_level_is_off_nothing_is_done(lines):
    """Nothing is formatted, and the call goes straight on."""
    store = logged(MemoryStore(), log_level=logging.DEBUG - 1)
    with pytest.raises(InvalidKeyError):
        await store.get(Unshowable())
    await sleep(0)

    assert lines.records == []
    for level in (5, "debug", "DEBUG"):
        assert logged(MemoryStore(), log_level=level).log_level in (5, logging.DEBUG)


# Canaries -------------------------------------------------------------------------------------------------------------

VALUE = {"name": CANARY, CANARY: [CANARY], "raw": CANARY.encode()}
STACKS = {
    "none": lambda store: store,
    "compression": lambda store: CompressionWrapper(store, min_size_to_compress=0),
    "default_value": lambda store: DefaultValueWrapper(store, {"n": CANARY}),
    "fernet": lambda store: FernetEncryptionWrapper(store, source_material=WORDS, salt="salt"),
    "fallback": lambda store: FallbackWrapper(store, MemoryStore()),
    "limit_size": lambda store: LimitSizeWrapper(store, max_size=5),
    "limit_size, silent": lambda store: LimitSizeWrapper(store, max_size=5, raise_on_too_large=False),
    "passthrough_cache": lambda store: PassthroughCacheWrapper(store, MemoryStore()),
    "prefix_collections": lambda store: PrefixCollectionsWrapper(store, "a"),
    "prefix_keys": lambda store: PrefixKeysWrapper(store, "a"),
    "read_only": ReadOnlyWrapper,
    "retry": lambda store: RetryWrapper(store, max_retries=1, initial_delay=0.0001),
    "routing": lambda store: CollectionRoutingWrapper({}, store),
    "single_collection": lambda store: SingleCollectionWrapper(store, "a"),
    "statistics": StatisticsWrapper,
    "timeout": TimeoutWrapper,
    "ttl_clamp": lambda store: TTLClampWrapper(store, 60, 100),
}


async def write(store, name, value):
    """Make an operation with a value."""
    match name:
        case "put_many":
            await store.put_many(["a", "b"], [value, value])
        case "put_if_unchanged":
            await store.put_if_unchanged("a", value, Revision(0))
        case "increment":
            await store.increment("a")
        case _:
            await getattr(store, name)("a", value)


@pytest.mark.faults(90)
@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
async def test_no_value_is_in_a_log_or_an_error(backend, stack, lines, caplog, flaky):
    """With the options as they are, a value is in no record, extra, error or traceback, of no wrapper."""
    bad = [
        VALUE,
        {"a": {1: CANARY}},
        {"a": {CANARY}},
        {"a": (CANARY, object())},
        {"\ud800": CANARY},
        CANARY,
        {"value": CANARY},
    ]
    shown = []
    caplog.set_level(logging.DEBUG)
    store = backend()
    for failing in (False, True):
        for number, value in enumerate(bad):
            errors = [StoreConnectionError("down", outcome="unknown")] * 40 if failing else []
            outer = logged(stack(flaky(store, *errors)), structured_logs=(number + failing) % 2 == 0)
            for name, operation in OPERATIONS.items():
                try:
                    if operation.writes_value:
                        await write(outer, name, value)
                    else:
                        await call(outer, name, "a")
                except BaseKeyValueError as error:
                    shown += [str(error), repr(error), *traceback.format_exception(error, limit=0)]
            shown.append(repr(outer))

    assert len(lines.records) > 2 * len(bad) * 15
    assert shown
    for text in (lines.everything, caplog.text, "".join(shown)):
        assert CANARY not in text


# Construction ---------------------------------------------------------------------------------------------------------


@pytest.mark.faults(120)
@pytest.mark.parametrize("options", [{"logger": 5}, {"log_level": "LOUD"}, {"log_level": None}, {"log_level": True}])
def test_options_are_checked(options):
    """What is no logger or no level is refused at construction."""
    with pytest.raises(ConfigurationError, match="LoggingWrapper"):
        LoggingWrapper(MemoryStore(), **options)


def test_settings_name_logger_and_level():
    """In settings both are text."""
    wrappers = [{"wrapper": "logging", "logger": "app.store", "log_level": "DEBUG", "structured_logs": "true"}]
    stack = parse_stack({"LOCATION": "memory://", "WRAPPERS": wrappers}).build_sync()

    assert stack.logger is logging.getLogger("app.store")
    assert (stack.log_level, stack.structured_logs) == (logging.DEBUG, True)
