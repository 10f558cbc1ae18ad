"""Brings a database of any earlier version to the present tables, with Alembic, inside the package.

A revision that was released is never edited. A change of `tables` comes with a new file in ``versions``
whose ``down_revision`` is the one before, and there is no way back: an older version never opens a newer
database.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from sipagent.errors import StoreError


def migrate(connection: Connection, to: str = "head") -> None:
    """Run the missing revisions up to ``to`` on ``connection``, in the transaction the caller has begun.

    Raises `StoreError` when the database was written by a later version of this package.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_revision()
    if present == script.get_current_head():
        return
    if present is not None and present not in {revision.revision for revision in script.walk_revisions()}:
        raise StoreError(
            f"the database is at revision {present}, which this version does not know: "
            "it was written by a later version; run that one, or use another database"
        )
    command.upgrade(config, to)
