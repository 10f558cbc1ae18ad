"""Workers and their leases, the calls that are up, what tools did, and what operators asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make four tables; calls that are there stay as they are, and nobody holds them."""
    op.add_column("usage", sa.Column("cached_audio_tokens", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_usage_at", "usage", ["at"])
    unfinished = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_calls_unfinished", "calls", ["started_at"], sqlite_where=unfinished, postgresql_where=unfinished
    )
    op.create_table(
        "workers",
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("seen_unix_s", sa.Double, nullable=False),
        sa.Column("expires_unix_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("worker", name="pk_workers"),
    )
    op.create_table(
        "live_calls",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("claimed_at", MOMENT, nullable=False),
        sa.Column("webhook", sa.Text, nullable=False),
        sa.Column("former", sa.Text),
        sa.Column("was_handed_over", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("checkpoint", sa.Text),
        sa.Column("checkpoint_epoch", sa.Integer, nullable=False, server_default="0"),
        sa.Column("checkpoint_sequence", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("call_id", name="pk_live_calls"),
    )
    op.create_index("ix_live_calls_worker", "live_calls", ["worker"])
    op.create_table(
        "effects",
        sa.Column("arrival", BIG, sa.Identity(), nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("begun_at", MOMENT, nullable=False),
        sa.Column("output", sa.Text),
        sa.Column("is_error", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("arrival", name="pk_effects"),
        sa.UniqueConstraint("call_id", "key", name="uq_effects"),
    )
    op.create_table(
        "commands",
        sa.Column("command_id", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("argument", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("answered_at", MOMENT),
        sa.PrimaryKeyConstraint("command_id", name="pk_commands"),
    )
    op.create_index("ix_commands_call_id", "commands", ["call_id"])
