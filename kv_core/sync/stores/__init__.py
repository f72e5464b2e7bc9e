# Written by tools/mirror.py from kv_core/aio/stores/__init__.py: change that file instead.
"""Where entries live: one file for each backend."""
