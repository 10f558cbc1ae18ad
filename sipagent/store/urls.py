"""Which store a URL names."""

from __future__ import annotations

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sipagent.errors import UserError
from sipagent.store.base import CallStore
from sipagent.store.calls import SqlCallStore
from sipagent.store.memory import MemoryCallStore

DEFAULT_URL = "sqlite:///sipagent.db"
"""A file in the folder the process was started in."""

_REMEDY = "write sqlite:///calls.db (a file here), sqlite:////var/lib/calls.db (an absolute path) or memory:"


def open_store(url: str = DEFAULT_URL) -> CallStore:
    """The store that ``url`` names, not yet opened.

    ``sqlite:///path`` is a file (four slashes for an absolute path), ``memory:`` forgets everything at
    the end. Raises `UserError` for anything else.
    """
    if url in {"memory:", "memory://"}:
        return MemoryCallStore()
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UserError(f"the database URL cannot be read; {_REMEDY}") from error
    if parsed.get_backend_name() != "sqlite":
        raise UserError(f"there is no store for {parsed.get_backend_name()!r} databases; {_REMEDY}")
    if parsed.database in {None, "", ":memory:"}:
        raise UserError(f"the database URL names no file; {_REMEDY}")
    return SqlCallStore(parsed.set(drivername="sqlite+aiosqlite"))
