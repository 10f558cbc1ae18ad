"""Questions about carriers' legs and about recordings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sipagent.identifiers import CallId
from sipagent.store.carrier_records import RecordingFile
from sipagent.store.tables import PlainText, UtcDateTime, calls, carrier_reports, recordings

MOST_PATHS = 500
"""In one statement; the oldest SQLite that we meet takes 999 values."""


def reports_of_call(call_id: CallId) -> sa.Select[Any]:
    """What names the call, its leg, or its leg as a parent; in the order in which it came."""
    # One lookup for each way, by its own index: an OR over two tables would have every report read.
    arrival = sa.select(carrier_reports.c.arrival)
    ways = [arrival.where(carrier_reports.c.call_id == call_id)]
    for leg in (carrier_reports.c.carrier_call_id, carrier_reports.c.parent_call_id):
        same = sa.and_(calls.c.carrier_call_id == leg, calls.c.carrier == carrier_reports.c.carrier)
        ways.append(arrival.join(calls, same).where(calls.c.call_id == call_id))
    return _reports(sa.union_all(*ways))


def reports_of_leg(carrier_call_id: str, carrier: str | None) -> sa.Select[Any]:
    """What names the leg, as its own or as a parent; in the order in which it came."""
    ways = [
        sa.select(carrier_reports.c.arrival).where(leg == carrier_call_id)
        for leg in (carrier_reports.c.carrier_call_id, carrier_reports.c.parent_call_id)
    ]
    query = _reports(sa.union_all(*ways))
    return query if carrier is None else query.where(carrier_reports.c.carrier == carrier)


def legs_calls(carrier_call_id: str) -> sa.Select[Any]:
    """The calls of a leg."""
    return (
        sa.select(calls)
        .where(calls.c.carrier_call_id == carrier_call_id)
        .order_by(calls.c.started_at.desc(), calls.c.call_id.desc())
    )


def due_after(now: datetime, limit: int, after: RecordingFile | None) -> sa.Select[Any]:
    """The recordings whose time is over."""
    order = (recordings.c.keep_until, recordings.c.call_id, recordings.c.path)
    query = (
        sa.select(recordings)
        .where(recordings.c.deleted_at.is_(None), recordings.c.keep_until <= now)
        .order_by(*order)
        .limit(limit)
    )
    if after is None:
        return query
    last = sa.tuple_(
        sa.literal(after.keep_until, UtcDateTime),
        sa.literal(after.call_id, PlainText),
        sa.literal(after.path, PlainText),
    )
    return query.where(sa.tuple_(*order) > last)


def files_at(paths: Sequence[str]) -> sa.Select[Any]:
    """The recordings at ``paths``, at most `MOST_PATHS`."""
    order = (recordings.c.path, recordings.c.call_id)
    return sa.select(recordings).where(recordings.c.path.in_(paths)).order_by(*order)


def batched(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    """``paths`` in parts that a statement can name."""
    for begin in range(0, len(paths), MOST_PATHS):
        yield paths[begin : begin + MOST_PATHS]


def _reports(arrivals: sa.CompoundSelect[Any]) -> sa.Select[Any]:
    arrival = carrier_reports.c.arrival
    return sa.select(carrier_reports).where(arrival.in_(arrivals)).order_by(arrival)
