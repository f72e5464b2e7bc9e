"""Key-value stores in Flask: an extension with the stores of each application."""

from kv_core.errors import MissingDependencyError

try:
    import flask  # noqa: F401 # pyright: ignore[reportUnusedImport] - before what needs it, to say what to install
except ImportError as error:
    raise MissingDependencyError("kv_flask needs Flask: pip install 'kvstack[flask]'") from error

from kv_flask.extension import KV, KVStores, OutsideAppError, current_kv

__all__ = ["KV", "KVStores", "OutsideAppError", "current_kv"]
