"""The tables as the newest migration leaves them. One test compares the two.

Tool runs, usage and latencies carry an ``arrival`` number, because their own columns do not say in
which order they happened; an update keeps the number of the first arrival.

The tables of leases are written by the clock of the database: `now_unix_s` and `now_moment`. They name calls
by foreign keys to nothing, since a call is claimed before anything of it is written down.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
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


def plain_text(value: str) -> str:
    """``value`` as `PlainText` writes it."""
    if value.isascii() and "\0" not in value:
        return value
    whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "\ufffd")


class PlainText(TypeDecorator[str]):
    """Text in which what no database takes (lone surrogates, NUL) is replaced by U+FFFD.

    JSON may carry both, and what strangers say must never keep a call from being written down.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """To text that can be written."""
        return None if value is None else plain_text(value)


class now_unix_s(FunctionElement[float]):  # noqa: N801 - written like the function it is
    """Seconds since 1970 on the clock of the database, the same within one row."""

    type = sa.Double()
    inherit_cache = True


class now_moment(FunctionElement[datetime]):  # noqa: N801
    """The present moment on the clock of the database, as `UtcDateTime`."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(now_unix_s, "sqlite")
def _(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now_unix_s, "postgresql")
def _(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(now_moment, "sqlite")
def _(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


@compiles(now_moment, "postgresql")
def _(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "clock_timestamp()"


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
    sa.Column("line", PlainText, nullable=False, server_default="sip"),
    sa.Column("carrier", PlainText),
    sa.Column("carrier_call_id", PlainText, index=True),
)
sa.Index(
    "ix_calls_unfinished",
    calls.c.started_at,
    sqlite_where=calls.c.ended_at.is_(None),
    postgresql_where=calls.c.ended_at.is_(None),
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
    sa.Column("at", UtcDateTime, nullable=False, index=True),
    sa.Column("input_tokens", sa.Integer, nullable=False),
    sa.Column("cached_tokens", sa.Integer, nullable=False),
    sa.Column("output_tokens", sa.Integer, nullable=False),
    sa.Column("input_audio_tokens", sa.Integer, nullable=False),
    sa.Column("output_audio_tokens", sa.Integer, nullable=False),
    sa.Column("duration_s", sa.Double, nullable=False),
    sa.Column("cached_audio_tokens", sa.Integer, nullable=False, server_default="0"),
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

carrier_reports = sa.Table(
    "carrier_reports",
    METADATA,
    # No foreign key leads to calls: a leg may be reported before its call is opened, or never reach us.
    sa.Column("arrival", _BIG, sa.Identity(), primary_key=True),
    sa.Column("carrier", PlainText, nullable=False),
    sa.Column("event_id", PlainText, nullable=False),
    sa.Column("carrier_call_id", PlainText, nullable=False, index=True),
    sa.Column("parent_call_id", PlainText, index=True),
    sa.Column("call_id", PlainText, index=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("kind", PlainText, nullable=False),
    sa.Column("data", PlainText, nullable=False),
    sa.UniqueConstraint("carrier", "event_id"),
)

recordings = sa.Table(
    "recordings",
    METADATA,
    _call_id(in_key=True),
    sa.Column("path", PlainText, primary_key=True, index=True),
    sa.Column("host", PlainText, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("seconds", sa.Double),
    sa.Column("consent", PlainText, nullable=False),
    sa.Column("keep_until", UtcDateTime, nullable=False),
    sa.Column("deleted_at", UtcDateTime),
    sa.Column("deleted_because", PlainText),
)
sa.Index(
    "ix_recordings_kept",
    recordings.c.keep_until,
    sqlite_where=recordings.c.deleted_at.is_(None),
    postgresql_where=recordings.c.deleted_at.is_(None),
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

workers = sa.Table(
    "workers",
    METADATA,
    sa.Column("worker", PlainText, primary_key=True),
    sa.Column("name", PlainText, nullable=False),
    sa.Column("state", PlainText, nullable=False),  # up, left or gone
    sa.Column("seen_unix_s", sa.Double, nullable=False),
    sa.Column("expires_unix_s", sa.Double, nullable=False),
)

live_calls = sa.Table(
    "live_calls",
    METADATA,
    sa.Column("call_id", PlainText, primary_key=True),
    sa.Column("worker", PlainText, nullable=False, index=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("claimed_at", UtcDateTime, nullable=False),
    sa.Column("webhook", PlainText, nullable=False),
    sa.Column("former", PlainText),
    sa.Column("was_handed_over", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("checkpoint", PlainText),
    sa.Column("checkpoint_epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("checkpoint_sequence", sa.Integer, nullable=False, server_default="0"),
)

effects = sa.Table(
    "effects",
    METADATA,
    sa.Column("arrival", _BIG, sa.Identity(), primary_key=True),
    sa.Column("call_id", PlainText, nullable=False),
    sa.Column("key", PlainText, nullable=False),
    sa.Column("worker", PlainText, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("begun_at", UtcDateTime, nullable=False),
    sa.Column("output", PlainText),
    sa.Column("is_error", sa.Boolean, nullable=False),
    sa.UniqueConstraint("call_id", "key"),
)

commands = sa.Table(
    "commands",
    METADATA,
    sa.Column("command_id", PlainText, primary_key=True),
    sa.Column("call_id", PlainText, nullable=False, index=True),
    sa.Column("verb", PlainText, nullable=False),
    sa.Column("argument", PlainText, nullable=False),
    sa.Column("asked_by", PlainText, nullable=False),
    sa.Column("asked_at", UtcDateTime, nullable=False),
    sa.Column("outcome", PlainText),
    sa.Column("detail", PlainText),
    sa.Column("answered_at", UtcDateTime),
)
