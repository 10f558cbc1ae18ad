"""Notes of calls, and the configurations that served them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make two tables; what is there stays as it is."""
    op.create_table(
        "call_notes",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("call_id", "sequence", name="pk_call_notes"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name="fk_call_notes_calls"),
    )
    op.create_table(
        "configurations",
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("loaded_at", MOMENT, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_configurations"),
    )
    op.create_index("ix_configurations_loaded_at", "configurations", ["loaded_at"])
