"""Alembic runs this file for every command; the connection comes from `sipagent.store.migrations`."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
