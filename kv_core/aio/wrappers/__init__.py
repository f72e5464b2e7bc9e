"""Behaviours that stack: one file for each wrapper, and the bases for wrappers of your own."""

from kv_core.aio.wrappers._calls import Call, CallWrapper
from kv_core.aio.wrappers._names import NameWrapper
from kv_core.aio.wrappers._values import ValueWrapper
from kv_core.aio.wrappers.base import BaseWrapper

__all__ = ["BaseWrapper", "Call", "CallWrapper", "NameWrapper", "ValueWrapper"]
