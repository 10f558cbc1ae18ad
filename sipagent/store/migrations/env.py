"""Alembic runs this file for every command; the connection comes from `sipagent.store.migrations`."""

from __future__ import annotations

from alembic import context

from sipagent.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transaction_per_migration=False,
    render_as_batch=True,  # SQLite changes a column only by copying its table
)
with context.begin_transaction():
    context.run_migrations()
