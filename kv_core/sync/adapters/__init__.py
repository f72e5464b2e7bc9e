# Written by tools/mirror.py from kv_core/aio/adapters/__init__.py: change that file instead.
"""Stores under another interface."""
