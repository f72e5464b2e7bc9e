"""Make the script: `python -m conformance.generate`, in `tests/`. Scenes are drawn by hypothesis, answers by memory.

Each scene makes a few calls about a few keys of one collection, most of them right, some with one wrong argument.
"""

from __future__ import annotations

from typing import Any

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from conformance.replay import SCRIPT, Line, reference, replay
from kv_core.capabilities import ALL

KEYS = (
    *("a", "b", "count", "", " ", "\t", "a\r\nflush_all", "a\0b", "\x7f", "a\x85b", "a\u2028b", "::", "a::b", ":", "%"),
    *("%3A", "*?[ab]\\", "../../etc/passwd", "{a}b", "'\"`", "$where.x", "\u00e9", "e\u0301", "🗝", "Key", "key"),
    *("k" * 250, "k" * 251, "é" * 240, "k" * 1024),
)
COLLECTIONS = (
    *(None, None, None, "a", "a::b", "Users", "users", "*", "[ab]", "%", " ", "\0", "\r\n", "é", "🗝", "c" * 300),
    *("system.users", "$cmd", "_a", "-a", "a,b", "<logs-{now/d}>", "..", "/", "CON"),
)
BAD_KEYS = (1, None, b"x", ["a"], {"$ne": None}, True, "\ud800")
BAD_COLLECTIONS = ("", 1, b"x", ["a"], "a\udfff")
TTLS = (1000, 2000.0, 86_400, 30 * 86_400, 31 * 86_400, 3650 * 86_400, 1e9, 1e10)
BAD_TTLS = (0, -1, -0.0, float("nan"), float("inf"), True, "5", 1e11, {})
BAD_VALUES = (
    *({"x": float("nan")}, {"x": [float("inf")]}, {1: "x"}, {"a": {None: 1}}, {"x": {1}}, {"x": 2**64}),
    *({"x": -(2**63) - 1}, {"x": 1j}, {"x": range(3)}, {"x": bytearray(b"x")}, {"x": "\ud800"}),
    *([1], "text", None, b"x", 1),
)
AMOUNTS = (1, -1, 0, 5, 2**53, 2**62, -(2**62), 2**63 - 1, -(2**63))
BAD_AMOUNTS = (True, 1.0, "1", 2**63, -(2**63) - 1)
NUMBERS = (0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63))

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.binary(max_size=8),
)
nested = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=4), inner), max_leaves=5)
counters = st.sampled_from(NUMBERS).map(lambda number: {"value": number})
values = st.dictionaries(st.text(max_size=6), nested, max_size=3) | counters

OFTEN = (
    *("get", "get", "get_many", "ttl", "ttl_many", "get_with_revision", "get_with_revision", "keys", "iter_keys"),
    *("put", "put", "put_many", "put_many", "put_if_absent", "put_if_present", "put_if_unchanged", "put_if_unchanged"),
    *("delete", "delete_many", "delete_if_unchanged", "touch", "touch", "increment", "increment", "increment"),
)
RARE = ("collections", "destroy_collection", "cull", "ping", "destroy")


class Scene:
    """What the calls of a scene are about, and which of their arguments is wrong, if any."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True))
        self._collection = draw(st.sampled_from(COLLECTIONS))
        self._wrong = ""

    def one(self, good: Any, bad: Any, kind: str) -> Any:
        """Draw an argument, a wrong one if this kind of argument is to be wrong."""
        return self._draw(st.sampled_from(bad) if kind == self._wrong else good)

    def key(self) -> Any:
        return self.one(st.sampled_from(self._keys), BAD_KEYS, "key")

    def keys(self) -> Any:
        if self._wrong == "keys":
            return self._draw(st.sampled_from(("abc", None, 5, b"abc")))
        if self._wrong == "key":
            return [self._keys[0], self.key()]
        return self._draw(st.lists(st.sampled_from([*self._keys, "none"]), max_size=4))

    def value(self) -> Any:
        return self.one(values, BAD_VALUES, "value")

    def ttl(self) -> Any:
        return self.one(st.none() | st.sampled_from(TTLS), BAD_TTLS, "ttl")

    def revision(self) -> Any:
        return self.one(
            st.sampled_from((Text("latest(1)"), Text("latest(1)"), Text("latest(2)"))), (None, 1, "x"), "revision"
        )

    def first(self) -> str:
        """Return a call that puts the keys of the scene, counters among them."""
        place = "" if self._collection is None else f", collection={self._collection!a}"
        many = [self._draw(counters | values) for _ in self._keys]
        return f"put_many({self._keys!a}, {many!a}{place})"

    def call(self) -> str:
        """Draw a call."""
        operation = self._draw(st.sampled_from([*OFTEN * 3, *RARE]))
        kinds = ("key", "keys", "collection", "value", "ttl", "revision", "amount", "limit", "length")
        self._wrong = self._draw(st.sampled_from([""] * 12 + [*kinds]))
        arguments, options = self._arguments(operation)
        if operation not in {"keys", "iter_keys", "collections", "destroy_collection", "destroy", "cull", "ping"}:
            place = self.one(st.just(self._collection), BAD_COLLECTIONS, "collection")
            if place is not None:
                options["collection"] = place
        parts = [*map(ascii, arguments), *(f"{name}={value!a}" for name, value in options.items())]
        return f"{operation}({', '.join(parts)})"

    def _arguments(self, operation: str) -> tuple[list[Any], dict[str, Any]]:  # noqa: PLR0912 - a branch a form
        given = {"ttl": self.ttl()}
        options = {name: value for name, value in given.items() if value is not None}
        match operation:
            case "get" | "ttl" | "delete" | "get_with_revision":
                return [self.key()], {}
            case "get_many" | "ttl_many" | "delete_many":
                return [self.keys()], {}
            case "put" | "put_if_absent" | "put_if_present":
                return [self.key(), self.value()], options
            case "put_many":
                return self._many(options)
            case "put_if_unchanged":
                kept = {} if self._wrong != "ttl" and self._draw(st.booleans()) else given
                return [self.key(), self.value(), self.revision()], kept
            case "delete_if_unchanged":
                return [self.key(), self.revision()], {}
            case "touch":
                return [self.key()], given
            case "increment":
                amount = self.one(st.sampled_from(AMOUNTS), BAD_AMOUNTS, "amount")
                initial = self._draw(st.none() | st.sampled_from(NUMBERS))
                return [self.key(), amount], options | ({} if initial is None else {"initial": initial})
            case "keys":
                return [self._place()], self._limit()
            case "iter_keys":
                return [self._place()], {}
            case "destroy_collection":
                return [self._place() or "a"], {}
            case "collections":
                return [], self._limit()
            case _:
                return [], {}

    def _many(self, options: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        keys = self.keys()
        count = len(keys) if isinstance(keys, list) else 1
        many = [self._draw(values) for _ in range(count)]
        if self._wrong == "length":
            many.append({})
        if self._wrong == "value":
            many[-1:] = [self.value()] if many else []
        if options and self._wrong != "ttl" and self._draw(st.booleans()):
            options = {"ttl": [self._draw(st.none() | st.sampled_from(TTLS)) for _ in range(count)]}
        return [keys, many], options

    def _place(self) -> Any:
        return self.one(st.just(self._collection), BAD_COLLECTIONS, "collection")

    def _limit(self) -> dict[str, Any]:
        limit = self.one(st.none() | st.integers(0, 3), (-1, True, 1.5, "1"), "limit")
        return {} if limit is None else {"limit": limit}


class Text(str):
    """An argument that is written as it is."""

    __slots__ = ()

    __repr__ = str.__str__


@st.composite
def scenes(draw: st.DrawFn) -> list[Line]:
    """Draw the calls of a scene; before most of them there is something."""
    scene = Scene(draw)
    first = [scene.first()] if draw(st.integers(0, 3)) else []
    return [Line(call) for call in (*first, *(scene.call() for _ in range(draw(st.integers(4, 12)))))]


def kinds(scene: list[Line]) -> set[tuple[str, str]]:
    """Return which operations a scene makes, each with the kind of what it answers on an empty store."""
    return {(line.operation, _kind(answer)) for line, answer in zip(scene, replay(reference(ALL), scene), strict=True)}


def _kind(answer: str) -> str:
    return answer if answer.isalnum() and not answer.isdecimal() else answer[:1]


def calls() -> list[Line]:
    """Return the calls of scenes that each show something that none before it has shown."""
    found: list[Line] = []
    shown: set[tuple[str, str]] = set()

    @seed(116)
    @settings(max_examples=2000, database=None, deadline=None, phases=[Phase.generate])
    @given(scenes())
    def collect(scene: list[Line]) -> None:
        new = kinds(scene)
        if not new <= shown:
            found.extend(scene)
            shown.update(new)

    collect()
    return found + last()


def last() -> list[Line]:
    """Return calls that fill many places that look alike, and then look into each."""
    places = [collection for collection in dict.fromkeys(COLLECTIONS) if collection is not None]
    return [
        *(Line(f"put('key', {{'in': {place!a}}}, collection={place!a})") for place in places),
        Line(f"put_many({[*KEYS]!a}, {[{'n': number} for number in range(len(KEYS))]!a})"),
        *(Line(f"get('key', collection={place!a})") for place in places),
        *(Line(f"keys({place!a})") for place in places[:9]),
        *(Line(f"get({key!a})") for key in KEYS),
        Line(f"get_many({[*KEYS]!a})"),
        *map(Line, ("keys()", "iter_keys()", "collections()", "destroy_collection('*')", "collections()", "keys('a')")),
        *map(Line, ("delete('key', collection='Users')", "get('key', collection='users')", "collections()", "keys()")),
        *map(Line, ("destroy()", "collections()", "keys()")),
    ]


if __name__ == "__main__":
    script = calls()
    answers = replay(reference(ALL), script)
    lines = [Line(line.call, answer) for line, answer in zip(script, answers, strict=True)]
    SCRIPT.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
