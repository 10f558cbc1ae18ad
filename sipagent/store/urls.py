"""Which store a URL names."""

from __future__ import annotations

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sipagent.errors import UserError
from sipagent.store.base import Store
from sipagent.store.calls import SqlCallStore
from sipagent.store.memory import MemoryCallStore
from sipagent.store.sqlite import SqliteBackend

DEFAULT_URL = "sqlite:///sipagent.db"
"""A file in the folder the process was started in."""

_REMEDY = (
    "write sqlite:///calls.db (a file here), sqlite:////var/lib/calls.db (an absolute path), "
    "postgresql://user:password@host/database or memory:"
)


def open_store(url: str = DEFAULT_URL) -> Store:
    """The store that ``url`` names, not yet opened.

    ``sqlite:///path`` is a file (four slashes for an absolute path); ``postgresql://user:password@host/db``
    (or ``postgres://``) a database that many workers share, with the parameters that libpq knows after a
    question mark; ``memory:`` forgets everything at the end. Raises `UserError` for anything else, and
    where the driver of PostgreSQL is not installed.
    """
    if url in {"memory:", "memory://"}:
        return MemoryCallStore()
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UserError(f"the database URL cannot be read; {_REMEDY}") from error
    match parsed.drivername:
        case "sqlite" | "sqlite+aiosqlite":
            if parsed.database in {None, "", ":memory:"}:
                raise UserError(f"the database URL names no file; {_REMEDY}")
            return SqlCallStore(SqliteBackend(parsed.set(drivername="sqlite+aiosqlite")))
        case "postgresql" | "postgres" | "postgresql+asyncpg":
            if not parsed.database:
                raise UserError(f"the database URL names no database; {_REMEDY}")
            try:
                from sipagent.store.postgres import PostgresBackend
            except ModuleNotFoundError as error:
                raise UserError("PostgreSQL needs a driver: pip install 'sipagent[postgres]'") from error
            return SqlCallStore(PostgresBackend(parsed))
        case other:
            raise UserError(f"there is no store for {other!r} databases; {_REMEDY}")
