"""The adversarial cases by number, and which tests show each: `@pytest.mark.faults(number, ...)`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from published import table
from summary import BACKENDS, uses

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

ROOT = Path(__file__).parents[1]

SECTIONS: dict[str, dict[int, str]] = {
    "Keys and collections": {
        1: "Two addresses that read alike once joined never share an entry",
        2: "Tenants with different key prefixes are apart, for every pair of prefixes",
        4: "An empty prefix is refused; one that contains another's separator is isolated",
        5: "The empty key round-trips; the empty collection is refused",
        6: "A key with line breaks is one command to the server",
        7: "Spaces, tabs, NUL and Unicode line breaks in keys round-trip",
        8: "A lone surrogate in a key or collection is refused before any I/O",
        9: "Keys of 250 to 65,536 characters round-trip",
        10: "A key's length is counted in bytes, and its server sees one command",
        12: "A million distinct names have a million distinct names in the backend",
        13: "Collections that differ in case are apart",
        14: "Text is compared by code points, never normalised, on every store",
        16: "No collection's name leads out of the base directory",
        17: "A symbolic link planted as a collection's directory is a PathSecurityError",
        18: "A key that is not exactly a str is refused by every operation",
        20: "A single str in place of a sequence of keys is refused",
        21: "A key given twice: both slots are filled, the last value stays, one deletion counts",
        22: "Without keys a bulk operation does nothing, and no I/O",
        24: "Glob characters in a collection match nothing but themselves",
        26: "Names that MongoDB and Elasticsearch reserve are safe",
        27: "An entry that lies under another address is corrupt, never a value",
    },
    "Values": {
        28: "The empty dict comes back as one, through every wrapper",
        29: "NaN and the infinities are refused",
        30: "Dict keys that are not str are refused, nested ones too",
        32: "Types that would not come back are refused; bytes round-trip, a tuple comes back as a list",
        33: "A circular value is refused",
        34: "A value nested too deep is refused, and corrupt when it is found",
        35: "An integer beyond 64 bits is refused, and corrupt when it is found",
        37: "A value that holds a wrapper's own marks is still a value",
        38: "A decompression bomb ends at the limit, and so does its memory",
        40: "A damaged compressed payload is a DecompressionError",
        41: "Stored and returned values are never live objects",
        42: "Large values round-trip up to the documented limit; beyond it the old value stays",
        43: "Long texts and deep objects are no trouble to Elasticsearch",
        45: "Dots and dollars in a value's keys are plain text",
        46: "Random and flipped bytes are named errors in every decoder",
    },
    "TTL and clocks": {
        47: "A ttl that is NaN is refused",
        49: "A ttl of zero, below zero, a bool or text is refused; None is no expiry",
        50: "An entry has all of its ttl: nothing is cut to whole seconds",
        51: "Fractions of a second never end early",
        52: "Ttls of 30 days, 31 days, ten years and beyond 2038 are kept",
        53: "A put without ttl clears the one that there was",
        54: "At its very end an entry is absent, a microsecond before it is there",
        56: "Deleting an expired entry returns False",
        57: "The room of expired entries is given back, and none is listed",
        58: "A reader's clock that is wrong changes nothing where the server ends entries",
        60: "A step of the wall clock changes no timeout, retry or breaker",
        61: "A clamp with impossible bounds is refused",
    },
    "Wrappers": {
        63: "A ciphertext copied to another key is a DecryptionError",
        64: "Plaintext planted under encryption is a DecryptionError, unless reading it was allowed",
        65: "An expiry edited outside the ciphertext changes nothing",
        66: "Keys are rotated without losing an entry, interrupted or not",
        68: "A wrong key taken for a miss is counted and logged, and never the default",
        70: "Encrypting before compressing is refused",
        71: "A fallback never answers with an older value than this instance was acknowledged",
        72: "A delete during an outage is never undone by the fallback's copy",
        74: "Only errors of availability fall back",
        75: "No read is older than the last acknowledged write while the primary flaps",
        76: "A connection dropped once costs one attempt",
        77: "What cannot succeed is not retried",
        78: "A delete whose answer was lost is True or unknown, never a false False",
        79: "An increment or a conditional put whose answer was lost is not repeated",
        81: "Retries multiply with no other retries, and keep to one budget",
        82: "A timeout ends a call on time, even over a store that blocks",
        83: "A timeout after the write says that its outcome is unknown",
        84: "A cache returns what was put, once the put has returned",
        85: "Many misses of one key are one load",
        87: "A bulk write with a refused item names the keys that failed",
        88: "A value that is too large is refused, or removes the old one if so asked",
        89: "Limits count what they say they count, to the byte",
        90: "No value is in a log line",
        91: "A key cannot forge a log line",
        93: "A value that fails validation can be a default, and is in no log",
        94: "Every write is refused by a read-only stack, new operations too",
        95: "Statistics are exact under threads, and bounded",
    },
    "Stores": {
        97: "A pickle planted in a disk store is corrupt, and nothing is executed",
        98: "Directories and files of a disk store belong to the user alone",
        100: "A damaged database is a named error, never an empty store",
        101: "Processes that share a directory lose no update, and wait no longer than their timeout",
        102: "Reads create nothing",
        104: "Destroying removes only what is ours",
        105: "A Redis client works however it was configured",
        106: "Damaged entries are corrupt alike, alone and in bulk",
        107: "Bulk operations cross the slots of a cluster, in order",
        108: "A full server is a StoreFullError, and nothing is half written",
        109: "A check warns of a Redis that evicts under sessions",
        111: "Fifty first puts of one key make one document",
        112: "Indexes that an earlier process did not make are made",
        114: "Two workers that make one index at once both start",
        115: "Elasticsearch: what was written is read at once",
        116: "One script of operations has the same answers on every store",
    },
    "Configuration": {
        117: "A URL that asks for TLS gets it, or an error, never plain text",
        118: "URLs are decoded, sockets honoured, unknown options refused",
        120: "Misspelt and impossible options are refused at construction",
        121: "Aliases with different credentials have pools of their own",
        122: "A missing driver is an ImportError that names the extra",
        124: "Insecure settings are warned of",
    },
    "Concurrency, cancellation, loops, processes": {
        125: "Reads cancelled at any point leave no reply for the next caller",
        126: "Writes cancelled at any point are never acknowledged falsely",
        127: "A connection that ends inside a reply is a StoreConnectionError",
        128: "A cancellation goes through every wrapper",
        130: "A store works in two event loops, in turn and at once",
        131: "Threads share a sync store without sharing a connection",
        132: "After a fork the child has its own sockets, and the parent goes on",
        134: "A closed store says so; closing twice, or never, is quiet",
        135: "An interrupted put leaves the old value or the new one",
        136: "Writers of one key never mix their values",
    },
    "Process and network faults": {
        137: "A writer that is killed loses nothing that was acknowledged",
        138: "What a power loss may take is documented, and set so",
        139: "A full disk is a StoreFullError, and over when there is room",
        141: "A server that is not there is a StoreConnectionError, in time",
        142: "A restarted server costs one named error a call, and no wrong value",
        143: "A frozen server fails each call at its deadline; no reply is delivered late",
        144: "A refused login is said at once, and is no outage",
        145: "Latency, resets, garbage and silence are named errors or right values",
        147: "What a failover may lose is documented",
        148: "A ttl survives a failover in the middle of its put",
        149: "Entries of earlier versions and of py-key-value are read; those of later ones say so",
    },
    "Web surfaces": {
        151: "A session id that a client made up is never adopted",
        152: "Logging in gives a new session id",
        153: "A session that was logged out is not saved again",
        154: "A deletion between load and save stays",
        155: "An outage is not a logout",
        156: "A new session that cannot be saved is one attempt and a named error",
        158: "Session ids are random, unique, and checked before they are looked up",
        159: "Made-up ids and logouts create no record",
        160: "A stored session that is no session is none, and nothing is executed",
        161: "Of two requests that save one session, the last wins as a whole",
        163: "Cookies have their flags by default",
        164: "Django's own cache tests pass",
        165: "Django's incr is atomic, keeps the ttl, and names its errors",
        167: "A dependency outside the lifespan is a StoreClosedError",
        168: "Clients that disconnect leave no reply for the next request",
        169: "Two applications in a process have stores of their own",
        170: "No worker ever serves another user's value",
        171: "The example applications answer as their schemas say, faults included",
        172: "No page shows a session's values or a backend's address",
    },
}


@dataclass
class Shown:
    """The tests that show a case, by the file that they are written in, and the backends that they meet."""

    tests: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    backends: set[str] = field(default_factory=set)


def numbers(item: pytest.Item) -> set[int]:
    """Return the numbers that a test bears."""
    return {number for mark in item.iter_markers("faults") for number in mark.args}


def gather(items: Iterable[pytest.Item]) -> dict[int, Shown]:
    """Return what shows each case. A file and its mirror image count as one, and so does a contract everywhere."""
    found: defaultdict[int, Shown] = defaultdict(Shown)
    for item in items:
        for number in numbers(item):
            function = getattr(item, "function", None)
            path = Path(function.__code__.co_filename if function else item.path)
            if path.is_relative_to(ROOT):
                file = path.relative_to(ROOT).as_posix().replace("/sync/", "/aio/")
                found[number].tests[file][item.name.partition("[")[0]] = None
            found[number].backends |= uses(item)
    return found


def tables(found: dict[int, Shown]) -> str:
    """Return a table for each section: number, case, tests, backends."""
    parts = []
    for section, cases in SECTIONS.items():
        rows = []
        for number, statement in cases.items():
            shown = found.get(number, Shown())
            tests = "<br>".join(
                f"`{file}`: {', '.join(f'`{name}`' for name in sorted(names))}"
                for file, names in sorted(shown.tests.items())
            )
            backends = ", ".join(name for name in BACKENDS if name in shown.backends)
            rows.append([str(number), statement, tests or "not yet", backends or "–"])  # noqa: RUF001 - a dash, as tables have it
        parts.append(f"## {section}\n\n{table(['', 'case', 'tests', 'backends'], rows)}")
    return "\n".join(parts)
