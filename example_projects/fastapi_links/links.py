"""Short links with a hit counter and, if you like, an end.

    uvicorn links:app

The stores come from KV_STORES: links are kept in `default`, what other applications may read in `shared`.
"""

import os
import secrets
import tempfile
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field, HttpUrl
from pydantic_settings import SettingsConfigDict

from kv_core.aio.protocols import AsyncStore
from kv_core.sync.protocols import Store
from kv_starlette import KVSettings, add_error_handlers, get_store, get_sync_store, kv_lifespan, registry_of, store

FOLDER = f"disk://{tempfile.gettempdir()}/kvstack-examples"


class Settings(KVSettings):
    """What the environment says, and stores for a first try."""

    model_config = SettingsConfigDict(env_nested_delimiter="__", env_file=".env", extra="ignore")

    kv_stores: dict[str, Any] = Field(
        default={
            "default": {"LOCATION": FOLDER, "COLLECTION": "app", "WRAPPERS": ["statistics"]},
            "shared": {"LOCATION": FOLDER, "COLLECTION": "shared", "WRAPPERS": ["statistics"]},
        },
        repr=False,
    )


app = FastAPI(title="Links", lifespan=kv_lifespan(Settings()))
add_error_handlers(app)  # a store that cannot be reached is a 503

Links = Annotated[AsyncStore, Depends(get_store)]
LinksInThread = Annotated[Store, Depends(get_sync_store)]  # for endpoints without `async`: the same data
Shared = Annotated[AsyncStore, Depends(store("shared"))]

LINKS, HITS = "links", "link-hits"  # collections


class NewLink(BaseModel):
    """A link as somebody asks for it."""

    url: HttpUrl
    ttl: float | None = Field(default=None, gt=0, description="How long it lasts, in seconds.")


class Link(BaseModel):
    """A link as it stands."""

    slug: str
    url: HttpUrl
    hits: int = 0
    seconds_left: float | None = None


class Announcement(BaseModel):
    """What every application shows."""

    text: str = Field(max_length=500)
    ttl: float | None = Field(default=None, gt=0)


@app.post("/links", status_code=201)
async def create(new: NewLink, links: Links) -> Link:
    """Make a link under a slug that nobody has."""
    while True:
        slug = secrets.token_urlsafe(4)
        if await links.put_if_absent(slug, {"url": str(new.url)}, collection=LINKS, ttl=new.ttl):
            return Link(slug=slug, url=new.url, seconds_left=new.ttl)


@app.get("/links/{slug}")
def show(slug: str, links: LinksInThread) -> Link:
    """Say where a link leads and how often it was followed: an endpoint that runs in a thread."""
    link, seconds_left = links.ttl(slug, collection=LINKS)
    if link is None:
        raise HTTPException(404, "There is no such link.")
    hits = links.get(slug, collection=HITS) or {"value": 0}
    return Link(slug=slug, url=link["url"], hits=hits["value"], seconds_left=seconds_left)


@app.delete("/links/{slug}", status_code=204)
async def delete(slug: str, links: Links) -> Response:
    """End a link."""
    if not await links.delete(slug, collection=LINKS):
        raise HTTPException(404, "There is no such link.")
    await links.delete(slug, collection=HITS)
    return Response(status_code=204)


@app.get("/go/{slug}")
async def follow(slug: str, links: Links) -> RedirectResponse:
    """Go where a link leads, and count it; the count ends with the link."""
    link, seconds_left = await links.ttl(slug, collection=LINKS)
    if link is None:
        raise HTTPException(404, "There is no such link.")
    await links.increment(slug, collection=HITS, initial=0, ttl=seconds_left)
    return RedirectResponse(link["url"])


@app.get("/announcement")
async def announcement(shared: Shared) -> dict[str, Any]:
    """Show what any of the applications announced last."""
    return await shared.get("announcement") or {"text": "", "by": ""}


@app.put("/announcement")
async def announce(new: Announcement, shared: Shared) -> dict[str, Any]:
    """Announce something in all applications."""
    value = {"text": new.text, "by": "links"}
    await shared.put("announcement", value, ttl=new.ttl)
    return value


@app.post("/visits")
async def visit(shared: Shared) -> dict[str, int]:
    """Count a visit, together with the other applications."""
    return {"visits": await shared.increment("visits", initial=0)}


@app.get("/stats")
def stats(request: Request) -> dict[str, Any]:
    """Show what this process asked of its stores."""
    registry = registry_of(request)
    counted = {alias: registry.store(alias) for alias in registry.specs}
    return {
        "application": "links",
        "process": os.getpid(),
        "stores": {alias: _counts(one) for alias, one in counted.items() if hasattr(one, "get_statistics")},
    }


def _counts(counted: Any) -> dict[str, float]:
    numbers = counted.get_statistics()
    return {"operations": numbers.count, "hits": numbers.hits, "misses": numbers.misses, "errors": numbers.errors}
