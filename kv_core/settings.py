"""Read the settings that describe stacks.

The settings are a mapping of aliases; each describes a stack by a URL, or by a mapping::

    {
        "default": {
            "LOCATION": "redis://cache.example:6379/0",
            "STORE": {"timeout": 0.5},
            "COLLECTION": "app",
            "WRAPPERS": ["statistics", {"wrapper": "retry", "max_retries": 3}],
        },
        "local": "memory://?max_entries_per_collection=10000",
    }
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from kv_core.errors import BaseKeyValueError, ConfigurationError, MissingDependencyError, Problem
from kv_core.kinds import Kind, stores, wrappers
from kv_core.options import coerce, did_you_mean, from_environment, is_list, is_mapping, parameters, takes_store
from kv_core.stack import Part, StackSpec
from kv_core.url import Location, parse, redact

SETTINGS: Final = "KV_STORES"
_KEYS: Final = ("LOCATION", "STORE", "COLLECTION", "WRAPPERS", "EAGER")

_ADDRESS: Final = {"url", "host", "port", "db", "username", "password", "client"}
"""What a URL says by itself: in its query, these are the client's options."""
_EAGER: Final = {"ping": True, "lazy": False}


def stacks_from(stores: Any, url: Any = None, *, setting: str = SETTINGS, where: str = "These settings") -> Any:
    """Return the mapping of aliases to stacks that an application's settings hold.

    Args:
        stores: The mapping, or its JSON, or nothing.
        url: The URL of the default stack, which *stores* may describe instead.
        setting: What *stores* is called where it came from.
        where: What they came from, for the error text.

    Raises:
        ConfigurationError: There is neither, or the text is not JSON.
    """
    if isinstance(stores, str) and stores:
        try:
            stores = json.loads(stores)
        except ValueError as error:
            hint = f" A URL goes into {setting.replace('STORES', 'URL')}." if "://" in stores.partition("{")[0] else ""
            raise ConfigurationError(f"{setting} is not JSON: {error}.{hint}") from None
        if not is_mapping(stores):
            raise ConfigurationError(f"{setting} is a JSON object of aliases to stacks, not {type(stores).__name__}.")
    if not stores and not url:
        one = setting.replace("STORES", "URL")
        raise ConfigurationError(f"{where} describe no stores: set {setting}, or {one} for a single one.")
    return {"default": url, **(stores or {})} if url and (not stores or is_mapping(stores)) else stores


def parse_stacks(settings: Mapping[str, Any], *, setting: str = SETTINGS) -> dict[str, StackSpec]:
    """Read and check every stack that the settings describe; nothing is connected.

    Args:
        settings: The mapping of aliases.
        setting: What the mapping is called where it came from, for error texts.

    Raises:
        ConfigurationError: Something is wrong; `.problems` lists all of it.
    """
    return _Reader(settings, setting).read()


def parse_stack(description: str | Mapping[str, Any], *, alias: str = "default", setting: str = SETTINGS) -> StackSpec:
    """Read and check one stack.

    Raises:
        ConfigurationError: Something is wrong; `.problems` lists all of it.
    """
    return parse_stacks({alias: description}, setting=setting)[alias]


class _Reader:
    """Read settings once, and collect all that is wrong with them."""

    def __init__(self, settings: Mapping[str, Any], setting: str) -> None:
        self._setting = setting
        self._settings = settings
        self._problems: list[Problem] = []
        self._specs: dict[str, StackSpec | None] = {}
        self._reading: list[str] = []

    def read(self) -> dict[str, StackSpec]:
        if not is_mapping(self._settings):
            message = f"{self._setting} is a mapping of aliases to stacks, not {type(self._settings).__name__}."
            raise ConfigurationError(message)
        aliases: list[Any] = list(self._settings)
        for alias in aliases:
            if isinstance(alias, str):
                self._alias(alias, self._setting)
            else:
                self._problem(self._setting, f"an alias is text, not {type(alias).__name__}.")
        if self._problems:
            raise ConfigurationError(problems=self._problems)
        return {alias: spec for alias, spec in self._specs.items() if spec is not None}

    def _problem(self, path: str, message: str, hint: str = "") -> None:
        problem = Problem(path, message, hint)
        if problem not in self._problems:
            self._problems.append(problem)

    def _alias(self, alias: str, path: str) -> StackSpec | None:
        if alias in self._reading:
            self._problem(path, f"the stacks {' → '.join([*self._reading, alias])} refer to each other in a circle.")
            return None
        if alias not in self._settings:
            known: list[Any] = list(self._settings)
            others = [other for other in known if isinstance(other, str) and other not in self._reading]
            self._problem(path, f"there is no stack {alias!r}.", did_you_mean(alias, others))
            return None
        if alias not in self._specs:
            self._reading.append(alias)
            self._specs[alias] = self._stack(alias, self._settings[alias], f"{self._setting}[{alias!r}]")
            self._reading.pop()
        return self._specs[alias]

    def _stack(self, alias: str, given: Any, path: str) -> StackSpec | None:
        if isinstance(given, str):
            given = dict[str, Any](LOCATION=given)
        if not is_mapping(given):
            self._problem(path, f"a stack is a URL or a mapping, not {type(given).__name__}.")
            return None
        described = {str(key).upper(): item for key, item in given.items()}
        if len(described) < len(given):
            self._problem(path, "a key is there twice, in capital and in small letters.")
        for key in described.keys() - set(_KEYS):
            self._problem(f"{path}[{key!r}]", "this key is not known.", did_you_mean(key, _KEYS))
        before = len(self._problems)
        location = self._resolved(described.get("LOCATION"), f"{path}['LOCATION']")
        store = self._store(location, described, path)
        eager = self._eager(described.get("EAGER", False), f"{path}['EAGER']")
        parts = self._wrappers(described.get("WRAPPERS", ()), f"{path}['WRAPPERS']")
        self._try_out(store, parts, path)
        if store is None or len(self._problems) > before:
            return None
        return StackSpec(alias, redact(location), store, tuple(parts.values()), eager)

    def _eager(self, given: Any, path: str) -> bool:
        try:
            eager = _EAGER[given] if given in _EAGER else coerce(given, bool)
        except (ValueError, TypeError):
            eager = None
        if not isinstance(eager, bool):
            self._problem(path, f"EAGER is 'ping' (ask the store when the application starts) or False, not {given!r}.")
        return eager is True

    def _resolved(self, given: Any, path: str) -> Any:
        try:
            return from_environment(given)
        except LookupError as error:
            for name in error.args:
                self._problem(path, f"the environment variable {name} is not set.", f"Set it, or change {path}.")
            return None

    def _store(self, location: Any, described: dict[str, Any], path: str) -> Part | StackSpec | None:
        if not isinstance(location, str):
            if location is None and "LOCATION" not in described:
                self._problem(path, "LOCATION is missing.", "Give a URL such as 'redis://localhost:6379/0'.")
            elif location is not None:
                self._problem(f"{path}['LOCATION']", f"a location is a URL, not {type(location).__name__}.")
            return None
        if location.startswith("kv:"):
            if described.get("STORE") or described.get("COLLECTION"):
                self._problem(path, "STORE and COLLECTION belong to the stack that LOCATION refers to.")
            return self._alias(location.removeprefix("kv:"), f"{path}['LOCATION']")
        try:
            where = parse(location)
        except ConfigurationError as error:
            self._problem(f"{path}['LOCATION']", error.message)
            return None
        kind = stores().get(where.scheme)
        if kind is None:
            hint = did_you_mean(where.scheme, stores())
            self._problem(f"{path}['LOCATION']", f"no store has the scheme {where.scheme!r}.", hint)
            return None
        return self._store_part(where, kind, described, path)

    def _store_part(self, where: Location, kind: Kind, described: dict[str, Any], path: str) -> Part | None:
        known = self._parameters(kind, f"{path}['LOCATION']")
        if known is None:
            return None
        before = len(self._problems)
        options: dict[str, Any] = {}
        given: Any = described.get("STORE") or dict[str, Any]()
        if not is_mapping(given):
            self._problem(f"{path}['STORE']", f"STORE is a mapping of options, not {type(given).__name__}.")
            return None
        ours = known.keys() - (_ADDRESS if kind.options is None else set())
        query = {name: text for name, text in where.options.items() if name in ours}
        rest = {name: text for name, text in where.options.items() if name not in ours}
        if kind.options is None:
            options["url"] = where.url(rest)
        else:
            try:
                options |= kind.options(where)
            except ConfigurationError as error:
                self._problem(f"{path}['LOCATION']", error.message)
            for name in rest:
                self._problem(f"{path}['LOCATION']", f"the option {name!r} is not known.", did_you_mean(name, known))
        options |= self._options(query, known, f"{path}['LOCATION']")
        options |= self._options(given, known, f"{path}['STORE']")
        if "COLLECTION" in described:
            options["default_collection"] = self._resolved(described["COLLECTION"], f"{path}['COLLECTION']")
        return Part(where.scheme, kind, options) if len(self._problems) == before else None

    def _wrappers(self, given: Any, path: str) -> dict[str, Part]:
        """Return those of a stack's wrappers in whose description nothing is wrong, by their paths."""
        if not is_list(given):
            self._problem(path, "WRAPPERS is a list, outermost first; each is a name or {'wrapper': name, …}.")
            return {}
        parts = {f"{path}[{number}]": self._wrapper(item, f"{path}[{number}]") for number, item in enumerate(given)}
        return {where: part for where, part in parts.items() if part is not None}

    def _wrapper(self, given: Any, path: str) -> Part | None:
        options: dict[str, Any] = {"wrapper": given} if isinstance(given, str) else {}
        if is_mapping(given):
            options = {str(name): option for name, option in given.items()}
        name = options.pop("wrapper", None)
        if not isinstance(name, str):
            self._problem(path, "a wrapper is a name or {'wrapper': name, option: …}.")
            return None
        kind = wrappers().get(name.lower())
        if kind is None:
            self._problem(path, f"there is no wrapper {name!r}.", did_you_mean(name, wrappers()))
            return None
        known = self._parameters(kind, path, wraps=True)
        if known is None:
            return None
        before = len(self._problems)
        part = Part(name.lower(), kind, self._options(options, known, path))
        return part if len(self._problems) == before else None

    def _parameters(self, kind: Kind, path: str, *, wraps: bool = False) -> dict[str, Any] | None:
        """Return the annotations of a constructor's options; of a wrapper, but for the store that it is put around."""
        try:
            found = kind.load_sync()
        except (MissingDependencyError, ConfigurationError) as error:
            self._problem(path, error.message)
            return None
        known = {name: parameter.annotation for name, parameter in parameters(found).items()}
        if wraps:
            known.pop(next(iter(known), ""), None)
        others: dict[str, str] = getattr(found.__init__, "spellings", {})
        return known | {other: known[ours] for other, ours in others.items() if ours in known}

    def _options(self, given: Mapping[str, Any], known: dict[str, Any], path: str) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for name, item in given.items():
            where = f"{path}[{name!r}]"
            if name not in known:
                self._problem(where, f"the option {name!r} is not known.", did_you_mean(name, known))
                continue
            if takes_store(known[name]):
                options[name] = self._reference(item, where)
                continue
            before = len(self._problems)
            resolved = self._resolved(item, where)
            try:
                options[name] = coerce(resolved, known[name]) if len(self._problems) == before else None
            except ValueError as error:
                self._problem(where, f"{name} {error}.")
        return options

    def _reference(self, given: Any, path: str) -> Any:
        if isinstance(given, str) and given.startswith("kv:"):
            return self._alias(given.removeprefix("kv:"), path)
        if isinstance(given, str) or is_mapping(given):
            return self._stack(path, given, path)
        if given is not None and not hasattr(given, "get_many"):
            self._problem(path, f"a stack is a URL, a mapping or 'kv:alias', not {type(given).__name__}.")
        return given

    def _try_out(self, store: Part | StackSpec | None, parts: dict[str, Part], path: str) -> None:
        """Construct each part of a stack: constructors check their options, and do nothing else."""
        inside: tuple[Any] = (stores()["null"].load_sync()(),)  # stands for what cannot be constructed
        tried: list[tuple[str, Part | StackSpec | None]] = [(path, store), *reversed(parts.items())]
        for where, part in tried:
            try:
                if isinstance(part, StackSpec):
                    inside = (part.build_sync(),)
                elif part is not None:
                    around = () if part is store else inside
                    inside = (part.build("sync", *around, named=StackSpec.build_sync),)
            except ConfigurationError as error:
                for problem in error.problems:
                    self._problem(where, redact(str(problem)))
            except BaseKeyValueError as error:
                self._problem(where, redact(error.message))
            except TypeError as error:
                self._problem(where, f"it cannot be built: {redact(str(error)).rstrip('.')}.")
