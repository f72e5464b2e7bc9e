"""Notes that one can write, change, delete, and let end by themselves.

    gunicorn 'notes:create_app()'

The stores come from KV_STORES: notes are kept in `default`, what other applications may read in `shared`.
"""

import os
import secrets
import tempfile
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Flask, Response, abort, request

from kv_core.errors import StoreError
from kv_flask import KV, current_kv

FOLDER = f"disk://{tempfile.gettempdir()}/kvstack-examples"
STORES = {
    "default": {"LOCATION": FOLDER, "COLLECTION": "app", "WRAPPERS": ["statistics"]},
    "shared": {"LOCATION": FOLDER, "COLLECTION": "shared", "WRAPPERS": ["statistics"]},
}
NOTES = "notes"  # the collection

kv = KV()
routes = Blueprint("notes", __name__)


def create_app(stores: Any = None) -> Flask:
    """Make the application.

    Args:
        stores: The stores' settings; by default the environment's KV_STORES (JSON), or a folder for a first try.
    """
    app = Flask(__name__)
    app.config["KV_STORES"] = stores or os.environ.get("KV_STORES") or STORES
    app.config.from_prefixed_env()  # FLASK_KV_STORES__default__LOCATION changes one thing
    kv.init_app(app)
    app.register_blueprint(routes)
    app.register_error_handler(StoreError, lambda _: ({"error": "The notes are out of reach. Try again."}, 503))
    return app


def posted() -> tuple[str, float | None]:
    """Return the text and the ttl that a request brings."""
    data = request.get_json()
    text, ttl = (data.get("text"), data.get("ttl")) if isinstance(data, dict) else (None, None)
    if not isinstance(text, str) or not text.strip():
        abort(400, "A note has a text.")
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int | float) or ttl <= 0):
        abort(400, "A ttl is a positive number of seconds.")
    return text, ttl


@routes.get("/notes")
def index() -> list[dict[str, Any]]:
    """List the notes, newest first: one call for the names and one for all texts."""
    ids = kv.store.keys(NOTES, limit=1000)
    found = zip(ids, kv.store.get_many(ids, collection=NOTES), strict=True)
    notes = [{"id": note_id, **note} for note_id, note in found if note]  # one may have ended in between
    return sorted(notes, key=lambda note: note["written"], reverse=True)


@routes.post("/notes")
def create() -> tuple[dict[str, Any], int]:
    """Write a note."""
    text, ttl = posted()
    note_id, note = secrets.token_hex(8), {"text": text, "written": datetime.now(UTC).isoformat()}
    kv.store.put(note_id, note, collection=NOTES, ttl=ttl)
    return {"id": note_id, **note}, 201


@routes.get("/notes/<note_id>")
def show(note_id: str) -> dict[str, Any]:
    """Show a note and the seconds it has left."""
    note, seconds_left = kv.store.ttl(note_id, collection=NOTES)
    if note is None:
        abort(404, "There is no such note, or it has ended.")
    return {"id": note_id, "seconds_left": seconds_left, **note}


@routes.put("/notes/<note_id>")
def change(note_id: str) -> dict[str, Any]:
    """Change a note; it ends when it would have. If somebody else changes it meanwhile, theirs stays."""
    text, _ = posted()
    found = kv.store.get_with_revision(note_id, collection=NOTES)
    if found is None:
        abort(404, "There is no such note, or it has ended.")
    note, revision = found
    note["text"] = text
    if not kv.store.put_if_unchanged(note_id, note, revision, collection=NOTES):
        abort(409, "Somebody else has just changed this note.")
    return {"id": note_id, **note}


@routes.delete("/notes/<note_id>")
def delete(note_id: str) -> Response:
    """Delete a note."""
    if not kv.store.delete(note_id, collection=NOTES):
        abort(404, "There is no such note, or it has ended.")
    return Response(status=204)


@routes.get("/announcement")
def announcement() -> dict[str, Any]:
    """Show what any of the applications announced last."""
    return kv["shared"].get("announcement") or {"text": "", "by": ""}


@routes.put("/announcement")
def announce() -> dict[str, Any]:
    """Announce something in all applications."""
    text, ttl = posted()
    value = {"text": text, "by": "notes"}
    kv["shared"].put("announcement", value, ttl=ttl)
    return value


@routes.post("/visits")
def visit() -> dict[str, int]:
    """Count a visit, together with the other applications."""
    return {"visits": kv["shared"].increment("visits", initial=0)}


@routes.get("/stats")
def stats() -> dict[str, Any]:
    """Show what this process asked of its stores."""
    counted = {alias: current_kv[alias] for alias in current_kv}
    return {
        "application": "notes",
        "process": os.getpid(),
        "stores": {alias: _counts(store) for alias, store in counted.items() if hasattr(store, "get_statistics")},
    }


def _counts(counted: Any) -> dict[str, float]:
    numbers = counted.get_statistics()
    return {"operations": numbers.count, "hits": numbers.hits, "misses": numbers.misses, "errors": numbers.errors}
