"""The tables as the newest migration leaves them. One test compares the two.

Tool runs, usage and latencies carry an ``arrival`` number, because their own columns do not say in
which order they happened; an update keeps the number of the first arrival.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from sipagent.store.records import FIRST_STATE


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC with microseconds; as sortable text where the database has no zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC. A naive datetime is our mistake."""
        if value is None:
            return None
        assert value.tzinfo is not None, f"{value!r} does not say in which zone it is"
        return value if value.tzinfo is UTC else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """Text in which what no database takes (lone surrogates, NUL) is replaced by U+FFFD.

    JSON may carry both, and what strangers say must never keep a call from being written down.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """To text that can be written."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\0", "\ufffd")


_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows by itself for INTEGER only

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _call_id(*, in_key: bool) -> sa.Column[str]:
    return sa.Column("call_id", PlainText, sa.ForeignKey("calls.call_id"), primary_key=in_key, nullable=False)


calls = sa.Table(
    "calls",
    METADATA,
    sa.Column("call_id", PlainText, primary_key=True),
    sa.Column("started_at", UtcDateTime, nullable=False, index=True),
    sa.Column("webhook_id", PlainText),  # NULL until the call is opened
    sa.Column("caller", PlainText),
    sa.Column("dialled", PlainText),
    sa.Column("agent", PlainText),
    sa.Column("model", PlainText),
    sa.Column("sip_call_id", PlainText, index=True),
    sa.Column("configuration", PlainText),
    sa.Column("state", PlainText, nullable=False, server_default=FIRST_STATE),
    sa.Column("state_sequence", sa.Integer, nullable=False, server_default="0"),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("end_reason", PlainText),
    sa.Column("fault_owner", PlainText),
    sa.Column("end_detail", PlainText),
)

call_states = sa.Table(
    "call_states",
    METADATA,
    _call_id(in_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("state", PlainText, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)

transcript_lines = sa.Table(
    "transcript_lines",
    METADATA,
    _call_id(in_key=True),
    sa.Column("item_id", PlainText, primary_key=True),
    sa.Column("position", sa.Double, nullable=False),
    sa.Column("role", PlainText, nullable=False),
    sa.Column("text", PlainText, nullable=False),
    sa.Column("interrupted", sa.Boolean, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)

tool_runs = sa.Table(
    "tool_runs",
    METADATA,
    sa.Column("arrival", _BIG, sa.Identity(), primary_key=True),
    _call_id(in_key=False),
    sa.Column("tool_call_id", PlainText, nullable=False),
    sa.Column("name", PlainText, nullable=False),
    sa.Column("arguments", PlainText, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("output", PlainText),
    sa.Column("is_error", sa.Boolean, nullable=False),
    sa.Column("duration_ms", sa.Double),
    sa.UniqueConstraint("call_id", "tool_call_id"),
)

usage = sa.Table(
    "usage",
    METADATA,
    sa.Column("arrival", _BIG, sa.Identity(), primary_key=True),
    _call_id(in_key=False),
    sa.Column("kind", PlainText, nullable=False),
    sa.Column("source_id", PlainText, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("input_tokens", sa.Integer, nullable=False),
    sa.Column("cached_tokens", sa.Integer, nullable=False),
    sa.Column("output_tokens", sa.Integer, nullable=False),
    sa.Column("input_audio_tokens", sa.Integer, nullable=False),
    sa.Column("output_audio_tokens", sa.Integer, nullable=False),
    sa.Column("duration_s", sa.Double, nullable=False),
    sa.UniqueConstraint("call_id", "kind", "source_id"),
)

latencies = sa.Table(
    "latencies",
    METADATA,
    sa.Column("arrival", _BIG, sa.Identity(), primary_key=True),
    _call_id(in_key=False),
    sa.Column("name", PlainText, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("milliseconds", sa.Double, nullable=False),
    sa.UniqueConstraint("call_id", "name", "sequence"),
)

call_notes = sa.Table(
    "call_notes",
    METADATA,
    _call_id(in_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("kind", PlainText, nullable=False),
    sa.Column("data", PlainText, nullable=False),
)

configurations = sa.Table(
    "configurations",
    METADATA,
    # No foreign key leads here: a call may have been opened under a configuration whose fact was lost.
    sa.Column("fingerprint", PlainText, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("loaded_at", UtcDateTime, nullable=False, index=True),
    sa.Column("text", PlainText, nullable=False),
    sa.Column("summary", PlainText, nullable=False),
)
