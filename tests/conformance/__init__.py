"""One script of calls that was made once and kept, and replayed on every store: `make matrix`.

`script.txt` has a call a line, and what it answers. `generate.py` made it, `replay.py` makes the calls, and
`matrix.py` writes down what came of it.
"""
