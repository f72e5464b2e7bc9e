"""What is kept: values of every kind, under keys that are easily read wrongly."""

FAR = 3_000_000_000
"""A ttl that ends after those who read this, in seconds."""

VALUES = {
    "greeting": {"text": "hello"},
    "empty": {},
    "texts": {"t": ["", "é", "e\u0301", "🗝", "\u2028", "\0", "\r\n", '"', "\\", "</script>", "null", "1"]},
    "numbers": {"n": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)], "x": [0.1, -0.0, 1e16, 1e-7, 5e-324, 1.0]},
    "constants": {"yes": True, "no": False, "none": None},
    "nested": {"a": [[], {}, [[1, [2, {"b": {"c": []}}]]]], "": {"": 1}, "a.b": {"$set": 2}},
    "counter": {"value": 41},
    "like an entry": {"collection": "c", "key": "k", "value": {"value": 1}, "version": 1},
    "user:1": {"name": "Ada", "tags": ["a", "b"], "age": 36},
    "a::b": {"n": 1},
    "": {"n": 2},
    "é🗝": {"n": 3},
    "percent%20": {"n": 4},
}
