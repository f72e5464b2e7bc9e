"""Turn what settings say into the objects that constructors take."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kv_core.errors import ConfigurationError


def load_object(given: Any, name: str) -> Any:
    """Return *given*, or what it names if it is a dotted path such as `"package.module.thing"`.

    Raises:
        ConfigurationError: There is nothing under that path.
    """
    if not isinstance(given, str):
        return given
    module, _, attribute = given.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{name}: there is no {given!r}; give a dotted path such as 'app.keys.provider'.") from error
