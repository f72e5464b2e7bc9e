"""Open the stores when the application starts, and close them when it ends."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeAlias, TypedDict

from starlette.applications import Starlette

from kv_core.errors import BaseKeyValueError, ConfigurationError
from kv_core.registry import Registry
from kv_core.settings import parse_stacks
from kv_starlette.sources import Settings, stacks_of

STATE: Final = "kv"
CLOSE_TIMEOUT: Final = 5.0

logger = logging.getLogger("kv_starlette")


class KVState(TypedDict):
    """What the lifespan adds to `request.state`.

    Attributes:
        kv: The application's stores: `request.state.kv.astore("alias")`, `.store("alias")` for threads.
    """

    kv: Registry


Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
StatefulLifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]
KVLifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[KVState]]


def kv_lifespan(settings: Settings | Registry, *, close_timeout: float = CLOSE_TIMEOUT) -> KVLifespan:
    """Return a lifespan for `Starlette(lifespan=…)` or `FastAPI(lifespan=…)`.

    Settings are checked at once. Stores open when they are first used, except those with `EAGER = "ping"`, which have
    to answer before the application starts. They close when it ends, last opened first; clients that settings passed
    in stay open, and so do the stores of a registry that was passed in.

    Args:
        settings: A mapping of aliases to stacks, `KVSettings`, a Starlette `Config`, or a registry of your own.
        close_timeout: How long each store may take to close, in seconds.

    Raises:
        ConfigurationError: Something is wrong in the settings; `.problems` lists all of it.
    """
    if isinstance(settings, Registry):
        given, stacks = settings, None
    else:
        given, stacks = None, stacks_of(settings)
        parse_stacks(stacks)

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncGenerator[KVState, None]:
        registry = Registry(stacks or {}) if given is None else given  # a new one at each start: a closed one stays so
        if hosts := ", ".join(registry.plain_hosts):
            logger.warning("Values and passwords go to %s without TLS", hosts)
        try:
            await _ping_eager(registry)
            yield {"kv": registry}
        finally:
            if given is None:
                await _close(registry, close_timeout)

    return lifespan


def compose(*lifespans: Lifespan) -> StatefulLifespan:
    """Return one lifespan that enters several in order, leaves them in reverse, and joins their states.

    Raises:
        ConfigurationError: At start, when two lifespans give the same key of the state.
    """

    @asynccontextmanager
    async def composed(app: Any) -> AsyncGenerator[Mapping[str, Any], None]:
        async with AsyncExitStack() as stack:
            state: dict[str, Any] = {}
            for lifespan in lifespans:
                given = await stack.enter_async_context(lifespan(app))
                if twice := state.keys() & (given or {}).keys():
                    names = ", ".join(map(repr, sorted(twice)))
                    raise ConfigurationError(f"Two lifespans give the state key {names}; rename one, or leave one out.")
                state |= given or {}
            yield state

    return composed


def install_kv(app: Starlette, settings: Settings | Registry, *, close_timeout: float = CLOSE_TIMEOUT) -> None:
    """Give stores to an application that somebody else constructs, before it starts.

    Args:
        app: The application, of Starlette or FastAPI. Its own lifespan runs inside the stores'.
        settings: As `kv_lifespan` takes them.
        close_timeout: How long each store may take to close, in seconds.

    Raises:
        ConfigurationError: Something is wrong in the settings; `.problems` lists all of it.
    """
    app.router.lifespan_context = compose(
        kv_lifespan(settings, close_timeout=close_timeout), app.router.lifespan_context
    )


async def _ping_eager(registry: Registry) -> None:
    for alias, spec in registry.specs.items():
        if spec.eager:
            try:
                await registry.astore(alias).ping()
            except BaseKeyValueError as error:
                error.add_note(f"The store {alias!r} has EAGER set, so the application does not start without it.")
                raise


async def _close(registry: Registry, seconds: float) -> None:
    try:
        await registry.aclose(timeout=seconds)
    except BaseKeyValueError as error:
        logger.warning("A store did not close: %s", error)
