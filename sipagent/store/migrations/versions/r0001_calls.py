"""Calls with their states, transcript, tool runs, usage and latencies.

The revision says everything by itself and imports no table of the package, which will have moved on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "calls",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("webhook_id", sa.Text),
        sa.Column("caller", sa.Text),
        sa.Column("dialled", sa.Text),
        sa.Column("agent", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("sip_call_id", sa.Text),
        sa.Column("configuration", sa.Text),
        sa.Column("state", sa.Text, nullable=False, server_default="ringing"),
        sa.Column("state_sequence", sa.Integer, nullable=False, server_default="0"),
        sa.Column("ended_at", MOMENT),
        sa.Column("end_reason", sa.Text),
        sa.Column("fault_owner", sa.Text),
        sa.Column("end_detail", sa.Text),
        sa.PrimaryKeyConstraint("call_id", name="pk_calls"),
    )
    op.create_index("ix_calls_started_at", "calls", ["started_at"])
    op.create_index("ix_calls_sip_call_id", "calls", ["sip_call_id"])
    op.create_table(
        "call_states",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("call_id", "sequence", name="pk_call_states"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name="fk_call_states_calls"),
    )
    op.create_table(
        "transcript_lines",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("item_id", sa.Text, nullable=False),
        sa.Column("position", sa.Double, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("interrupted", sa.Boolean, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("call_id", "item_id", name="pk_transcript_lines"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name="fk_transcript_lines_calls"),
    )
    op.create_table(
        "tool_runs",
        sa.Column("arrival", BIG, sa.Identity(), nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("tool_call_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("output", sa.Text),
        sa.Column("is_error", sa.Boolean, nullable=False),
        sa.Column("duration_ms", sa.Double),
        sa.PrimaryKeyConstraint("arrival", name="pk_tool_runs"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name="fk_tool_runs_calls"),
        sa.UniqueConstraint("call_id", "tool_call_id", name="uq_tool_runs"),
    )
    op.create_table(
        "usage",
        sa.Column("arrival", BIG, sa.Identity(), nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("input_tokens", sa.Integer, nullable=False),
        sa.Column("cached_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("input_audio_tokens", sa.Integer, nullable=False),
        sa.Column("output_audio_tokens", sa.Integer, nullable=False),
        sa.Column("duration_s", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("arrival", name="pk_usage"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name="fk_usage_calls"),
        sa.UniqueConstraint("call_id", "kind", "source_id", name="uq_usage"),
    )
    op.create_table(
        "latencies",
        sa.Column("arrival", BIG, sa.Identity(), nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("milliseconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("arrival", name="pk_latencies"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.call_id"], name="fk_latencies_calls"),
        sa.UniqueConstraint("call_id", "name", "sequence", name="uq_latencies"),
    )
