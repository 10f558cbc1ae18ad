"""The carrier's side of calls: which leg it is, what the carrier reported, and the files of recordings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make two tables; calls that are there came by SIP, and no carrier had told of them."""
    op.add_column("calls", sa.Column("line", sa.Text, nullable=False, server_default="sip"))
    op.add_column("calls", sa.Column("carrier", sa.Text))
    op.add_column("calls", sa.Column("carrier_call_id", sa.Text))
    op.create_index("ix_calls_carrier_call_id", "calls", ["carrier_call_id"])
    op.create_table(
        "carrier_reports",
        sa.Column("arrival", BIG, sa.Identity(), nullable=False),
        sa.Column("carrier", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("carrier_call_id", sa.Text, nullable=False),
        sa.Column("parent_call_id", sa.Text),
        sa.Column("call_id", sa.Text),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("arrival", name="pk_carrier_reports"),
        sa.UniqueConstraint("carrier", "event_id", name="uq_carrier_reports"),
    )
    for column in ("carrier_call_id", "parent_call_id", "call_id"):
        op.create_index(f"ix_carrier_reports_{column}", "carrier_reports", [column])
    op.create_table(
        "recordings",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("seconds", sa.Double),
        sa.Column("consent", sa.Text, nullable=False),
        sa.Column("keep_until", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT),
        sa.Column("deleted_because", sa.Text),
        sa.PrimaryKeyConstraint("call_id", "path", name="pk_recordings"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name="fk_recordings_calls"),
    )
    op.create_index("ix_recordings_path", "recordings", ["path"])
    kept = sa.text("deleted_at IS NULL")
    op.create_index(
        "ix_recordings_kept", "recordings", ["keep_until"], sqlite_where=kept, postgresql_where=kept
    )
