"""Errors that are both ours and what Django's users catch."""

from __future__ import annotations

import pickle

from django.core.exceptions import ImproperlyConfigured

from kv_core.errors import ConfigurationError, MissingKeyError, SerializationError


class StoresImproperlyConfiguredError(ConfigurationError, ImproperlyConfigured):
    """`KV_STORES`, or a stack in `CACHES`, cannot be built as described; `.problems` lists all that is wrong."""


class CacheKeyMissingError(MissingKeyError, ValueError):
    """There is nothing under a key whose value was to be changed."""


class UnpicklableError(SerializationError, pickle.PickleError):
    """A value cannot be pickled, so it cannot be cached."""
