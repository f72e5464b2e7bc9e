# Written by tools/mirror.py from kv_core/aio/wrappers/__init__.py: change that file instead.
"""Behaviours that stack: one file for each wrapper, and the bases for wrappers of your own."""

from kv_core.sync.wrappers._calls import Call, CallWrapper
from kv_core.sync.wrappers._names import NameWrapper
from kv_core.sync.wrappers._values import ValueWrapper
from kv_core.sync.wrappers.base import BaseWrapper

__all__ = ["BaseWrapper", "Call", "CallWrapper", "NameWrapper", "ValueWrapper"]
