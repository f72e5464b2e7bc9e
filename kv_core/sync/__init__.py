# Written by tools/mirror.py from kv_core/aio/__init__.py: change that file instead.
"""Stores, wrappers, adapters and recipes."""
