"""Where on this machine things belong that belong to a database."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sipagent.errors import UserError

SPILL_NAME = "sipagent-spill"


def spill_folder(url: str, base: Path | None = None) -> Path | None:
    """The folder for what waits to be written to the database ``url``; None for one that is in memory only.

    It lies in ``base``, by default in ``sipagent-spill`` beside an SQLite database, or in the folder where
    the process was started. Its name is the database's, with a mark that tells apart databases of one name,
    so that what waits for one is never written to another. Raises `UserError` for what is no URL.
    """
    if url in {"memory:", "memory://"}:
        return None
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UserError("the database URL cannot be read") from error
    database = parsed.database or ""
    if parsed.get_backend_name() == "sqlite":
        file = Path(database).absolute()
        place, name, identity = file.parent, file.name, str(file)
    else:
        place, name = Path(), Path(database).name
        identity = f"{parsed.host or ''}:{parsed.port or ''}/{database}?{sorted(parsed.query.items())}"
    mark = sha256(identity.encode("utf-8", "replace")).hexdigest()[:8]
    return (base or place / SPILL_NAME) / f"{name}-{mark}"
