"""Write entries in the layout of this version to a file, once for each version of the layout: `python write.py`.

The files of earlier versions stay as they are: every later version has to read them.
"""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

from kv_core import address, codec
from kv_core.entry import VERSION, Entry

CREATED = datetime(2025, 1, 2, 3, 4, 5, 678901, UTC)
ENDS = datetime(2120, 1, 2, 3, 4, 5, 678901, UTC)
VALUES = {
    "empty": {},
    "texts": {"t": ["", "é", "e\u0301", "🗝", "\u2028", "\0", "\r\n", '"', "\\", "</script>", "null", "1"]},
    "numbers": {"n": [0, -1, 2**53 + 1, 2**64 - 1, -(2**63)], "x": [0.1, -0.0, 1e16, 1e-7, 5e-324, 1.0]},
    "constants": {"yes": True, "no": False, "none": None},
    "nested": {"z": [[], {}, [[1, [2, {"b": {"c": []}}]]]], "": {"": 1}, "a.b": {"$set": 2}},
    "counter": {"value": 41},
    "like an entry": {"collection": "c", "key": "k", "value": {"value": 1}, "version": 99},
    "bytes": {"raw": bytes(range(256)), "empty": b"", "inside": [{"b": [b"{", "{", None, -1, 0.5]}]},
    "bytes and numbers": {"b": b"\xff", "n": [2**64 - 1, -(2**63), 0], "x": [-0.0, 5e-324], "t": "é🗝"},
}
PLACES = [
    *(("default_collection", key) for key in VALUES),
    *(("a:b", "texts"), ("a::b", "counter"), ("100%", "empty"), ("%3A", "bytes"), ("é🗝", "numbers"), ("*", "nested")),
    *(
        (" \r\n\0", "bytes"),
        ("users", "::"),
        ("users", ""),
        ("users", "k" * 300),
        ("c" * 300, "counter"),
        ("Users", "é"),
    ),
]


def entries() -> list[dict[str, object]]:
    """Return each entry with the name it lies under, with an end and without."""
    found = []
    for collection, key in PLACES:
        value = VALUES.get(key, {"n": 1})
        for ends in (None, ENDS):
            entry = Entry(
                collection=collection, created_at=CREATED, expires_at=ends, key=key, value=value, version=VERSION
            )
            data = base64.b64encode(codec.encode(entry)).decode()
            place = {"collection": collection, "key": key, "name": address.encode(collection, key)}
            found.append({**place, "value": ascii(value), "ends": ends is not None, "data": data})
    return found


if __name__ == "__main__":
    path = Path(__file__).with_name(f"entries-{VERSION}.json")
    path.write_text(json.dumps(entries(), indent=1) + "\n")
