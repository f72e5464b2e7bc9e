"""Make and check the ids under which sessions are kept."""

from __future__ import annotations

import re
import secrets
from typing import Final

SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{32,128}", re.ASCII)
"""What an id looks like; anything else is not looked up."""


def new_session_id() -> str:
    """Return a fresh id of 43 characters with 256 bits from `secrets`."""
    return secrets.token_urlsafe(32)


def is_session_id(given: object, pattern: re.Pattern[str] = SESSION_ID) -> bool:
    """Say whether *given* can be a session's id."""
    return type(given) is str and pattern.fullmatch(given) is not None
