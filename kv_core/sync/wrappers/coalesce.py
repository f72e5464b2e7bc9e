"""Pass everything through: what threads ask at once cannot be sent together without making one wait for another."""

from __future__ import annotations

from kv_core.checks import whole
from kv_core.spellings import also
from kv_core.sync.protocols import KeyValue
from kv_core.sync.wrappers.base import BaseWrapper


class CoalesceWrapper(BaseWrapper):
    """Change nothing. It is here so that one description of a stack serves both sides."""

    @also(store="key_value")
    def __init__(self, key_value: KeyValue, max_batch: int = 1000) -> None:
        """Wrap a store.

        Args:
            key_value: The store.
            max_batch: As on the other side.

        Raises:
            ConfigurationError: *max_batch* is not a whole number from 1.
        """
        self.key_value = key_value
        self.max_batch = whole(max_batch, "CoalesceWrapper: max_batch")
