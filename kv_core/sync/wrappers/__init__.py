# Written by tools/mirror.py from kv_core/aio/wrappers/__init__.py: change that file instead.
"""Behaviours that stack: one file for each wrapper."""
