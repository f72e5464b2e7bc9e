"""Check the settings when Django starts; nothing is connected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from kv_core.errors import ConfigurationError, Problem
from kv_core.settings import SETTINGS, parse_stacks
from kv_core.stack import StackSpec
from kv_django._options import THIS_CACHE, CacheOptions, read_options
from kv_django._stacks import frozen, read_inline
from kv_django.cache import KeyValueCache

BAD_SETTINGS: Final = "kv_django.E001"
SHARED_COLLECTION: Final = "kv_django.W001"
MEMORY_SESSIONS: Final = "kv_django.W002"
MAX_ENTRIES_IGNORED: Final = "kv_django.W003"
NO_TLS: Final = "kv_django.W004"

ENGINE: Final = "kv_django.sessions"


@checks.register(checks.Tags.caches)
def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """Check `KV_STORES`, the caches on `KeyValueCache`, and the stack of the sessions."""
    try:
        specs = parse_stacks(getattr(settings, SETTINGS, {}))
    except ConfigurationError as error:
        return [_error(problem) for problem in error.problems]
    return [*_check_tls(specs), *_check_caches(), *_check_sessions(specs)]


def _error(problem: Problem) -> checks.CheckMessage:
    return checks.Error(str(problem._replace(hint="")), hint=problem.hint or None, id=BAD_SETTINGS)


def _check_tls(specs: dict[str, StackSpec]) -> Iterator[checks.CheckMessage]:
    for alias, spec in specs.items():
        if spec.plain_hosts:
            text = f"{SETTINGS}[{alias!r}] sends values and passwords to {', '.join(spec.plain_hosts)} without TLS."
            hint = "Use the scheme or the option with TLS, or silence this where the network is yours alone."
            yield checks.Warning(text, hint=hint, id=NO_TLS)


def _check_caches() -> Iterator[checks.CheckMessage]:
    places: dict[object, str] = {}
    for alias, params in settings.CACHES.items():
        if not _is_ours(params.get("BACKEND")):
            continue
        where = f"CACHES[{alias!r}]"
        try:
            options = read_options(params.get("LOCATION", ""), params)
            _check_stack(options)
        except ConfigurationError as error:
            for problem in error.problems:
                yield _error(problem._replace(path=problem.path.replace(THIS_CACHE, where, 1)))
            continue
        if options.ignores_max_entries:
            text = f"{where}: MAX_ENTRIES is ignored, because the store decides itself what it evicts."
            hint = "On a stack of KV_STORES set the store's own option, on a server its memory limit and policy."
            yield checks.Warning(text, hint=hint, id=MAX_ENTRIES_IGNORED)
        place = options.alias or frozen(options.description), options.collection
        if place in places:
            text = f"{where} and CACHES[{places[place]!r}] share one store and collection: clear() empties both."
            yield checks.Warning(
                text, hint="Give one of them a KEY_PREFIX or OPTIONS['COLLECTION'].", id=SHARED_COLLECTION
            )
        places.setdefault(place, alias)


def _check_stack(options: CacheOptions) -> None:
    if options.alias is None:
        read_inline(options.description)
    elif options.alias not in getattr(settings, SETTINGS, {}):
        read_inline({"LOCATION": f"kv:{options.alias}"})  # says what is wrong with the alias


def _check_sessions(specs: dict[str, StackSpec]) -> Iterator[checks.CheckMessage]:
    if settings.SESSION_ENGINE != ENGINE:
        return
    given = getattr(settings, "KV_SESSION_STORE", None)
    alias = given or ("sessions" if "sessions" in specs else "default")
    if alias not in specs:
        setting = "KV_SESSION_STORE" if given else SETTINGS
        text = f"{setting}: there is no stack {alias!r} for the sessions in {SETTINGS}."
        yield checks.Error(text, hint=f"Known: {', '.join(specs) or 'none'}.", id=BAD_SETTINGS)
        return
    spec = specs[alias]
    while isinstance(spec.store, StackSpec):
        spec = spec.store
    if spec.store.name == "memory":
        text = f"Sessions are kept in the memory of each process ({SETTINGS}[{alias!r}])."
        hint = "With several workers a user is logged in on some of them only; use a disk or a server."
        yield checks.Warning(text, hint=hint, id=MEMORY_SESSIONS)


def _is_ours(backend: Any) -> bool:
    try:
        return issubclass(import_string(backend), KeyValueCache)
    except (ImportError, ImproperlyConfigured, TypeError, AttributeError):  # Django says so itself
        return False
