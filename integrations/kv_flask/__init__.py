"""Key-value stores in Flask: an extension with the stores of each application."""

from kv_flask.extension import KV, KVStores, OutsideAppError, current_kv

__all__ = ["KV", "KVStores", "OutsideAppError", "current_kv"]
