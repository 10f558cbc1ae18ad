"""The statements behind `CallLeases`. Pure.

Each decides by itself and is committed by itself, so that no worker ever holds a lock of the database while
it thinks, or while it is frozen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from sipagent.identifiers import CallId, WorkerId
from sipagent.store.leases import NOBODY
from sipagent.store.tables import (
    PlainText,
    calls,
    commands,
    effects,
    live_calls,
    now_moment,
    now_unix_s,
    plain_text,
    workers,
)

KEPT_S = 86_400.0
"""For how long workers that are no more are shown."""


def _text(name: str) -> sa.BindParameter[str]:
    return sa.bindparam(name, type_=PlainText)


def _number(name: str) -> sa.BindParameter[float]:
    return sa.bindparam(name, type_=sa.Double())


_IS_THIS_WORKER = workers.c.worker == _text("this_worker")
_IS_UP = workers.c.state == "up"
_OWNED = sa.select(workers.c.worker).where(_IS_UP)
_IS_HISTORY = sa.and_(workers.c.state != "up", workers.c.seen_unix_s < now_unix_s() - KEPT_S)

# Workers ---------------------------------------------------------------------------------------------


def join(insert: Callable[[sa.Table], Any]) -> Any:
    """Returns a row unless the worker has been up before and is no more."""
    statement = insert(workers).from_select(
        ["worker", "name", "state", "seen_unix_s", "expires_unix_s"],
        sa.select(
            _text("this_worker"),
            _text("name"),
            sa.literal("up", PlainText),
            now_unix_s(),
            now_unix_s() + _number("lease_s"),
        ).where(sa.true()),
    )
    renewed = {name: statement.excluded[name] for name in ("name", "seen_unix_s", "expires_unix_s")}
    return statement.on_conflict_do_update(index_elements=["worker"], set_=renewed, where=_IS_UP).returning(
        workers.c.worker
    )


FORGET_WORKERS = workers.delete().where(
    _IS_HISTORY, ~sa.exists().where(live_calls.c.worker == workers.c.worker)
)
RENEW = (
    workers.update()
    .where(_IS_THIS_WORKER, _IS_UP)
    .values(seen_unix_s=now_unix_s(), expires_unix_s=now_unix_s() + _number("lease_s"))
    .returning(workers.c.worker)
)
LEAVE = workers.update().where(_IS_THIS_WORKER, _IS_UP).values(state="left").returning(workers.c.worker)
SEEN_WORKERS = (
    sa.select(
        workers.c.worker,
        workers.c.name,
        sa.case(
            (sa.and_(_IS_UP, workers.c.expires_unix_s <= now_unix_s()), sa.literal("late", PlainText)),
            else_=workers.c.state,
        ).label("state"),
        (now_unix_s() - workers.c.seen_unix_s).label("seen_s"),
        sa.select(sa.func.count())
        .where(live_calls.c.worker == workers.c.worker)
        .scalar_subquery()
        .label("calls"),
    )
    .where(~_IS_HISTORY)
    .order_by(workers.c.seen_unix_s.desc(), workers.c.worker)
)
_IS_QUIET = workers.c.seen_unix_s <= now_unix_s() - _number("quiet_s")
QUIET_WORKERS = sa.select(workers.c.worker).where(~_IS_THIS_WORKER, _IS_UP, _IS_QUIET)
"""Those whose liveness is worth a look."""
_IS_LATE = workers.c.expires_unix_s <= now_unix_s()


def fence(dead: Sequence[WorkerId]) -> Any:
    """Let others to the calls of workers that are late, and of the ``dead`` that are quiet still."""
    is_dead = sa.and_(workers.c.worker.in_(dead), _IS_QUIET) if dead else sa.false()
    return (
        workers.update()
        .where(~_IS_THIS_WORKER, _IS_UP, sa.or_(_IS_LATE, is_dead))
        .values(state="gone")
        .returning(workers.c.worker)
    )


# Claims ----------------------------------------------------------------------------------------------


def pairs_of(texts: Mapping[Any, str]) -> str:
    """``texts`` as `Backend.pairs` reads them. In one order whoever claims them, so that of processes that
    claim the same calls at the same time none waits for one that waits for it."""
    return json.dumps(
        [[plain_text(key), plain_text(texts[key])] for key in sorted(texts)], ensure_ascii=False
    )


def claim(insert: Callable[[sa.Table], Any], pairs: sa.FromClause) -> Any:
    """Returns the calls among ``pairs`` that belong to the worker now."""
    has_ended = sa.exists().where(calls.c.call_id == pairs.c.first, calls.c.ended_at.is_not(None))
    statement = insert(live_calls).from_select(
        ["call_id", "worker", "epoch", "claimed_at", "webhook"],
        sa.select(
            pairs.c.first,
            _text("this_worker"),
            sa.literal_column("1", sa.Integer),
            now_moment(),
            pairs.c.second,
        ).where(~has_ended),
    )
    # An update that changes nothing tells the worker that has the call already from all others.
    return statement.on_conflict_do_update(
        index_elements=["call_id"],
        set_={"worker": statement.excluded["worker"]},
        where=live_calls.c.worker == statement.excluded["worker"],
    ).returning(live_calls.c.call_id, live_calls.c.epoch)


_IS_NOBODYS = live_calls.c.worker == NOBODY
_PICKED = (
    sa.select(live_calls.c.call_id)
    .where(
        live_calls.c.worker.not_in(_OWNED),
        sa.or_(
            sa.bindparam("take_back", type_=sa.Boolean),
            ~sa.and_(_IS_NOBODYS, live_calls.c.former == _text("this_worker")),
        ),
    )
    .order_by(live_calls.c.claimed_at, live_calls.c.call_id)
    .limit(sa.bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
    .cte("picked")
)
TAKE = (
    live_calls.update()
    .where(live_calls.c.call_id.in_(sa.select(_PICKED.c.call_id)))
    .values(
        former=sa.case((_IS_NOBODYS, live_calls.c.former), else_=live_calls.c.worker),
        was_handed_over=_IS_NOBODYS,
        worker=_text("this_worker"),
        epoch=live_calls.c.epoch + 1,
    )
    .returning(live_calls.c.call_id)
)


def hand_over(call_ids: Sequence[CallId]) -> Any:
    """Gives calls of the worker to nobody."""
    return (
        live_calls.update()
        .where(live_calls.c.worker == _text("this_worker"), live_calls.c.call_id.in_(call_ids))
        .values(former=live_calls.c.worker, worker=NOBODY)
    )


def held(condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """The calls for which ``condition`` holds, each with how long its worker has not been seen."""
    return _claimed(condition, unseen=live_calls.c.worker, is_seen=_IS_NOBODYS)


def _claimed(
    condition: sa.ColumnElement[bool], *, unseen: sa.Column[Any], is_seen: sa.ColumnElement[bool]
) -> sa.Select[Any]:
    # A call that was given up in good order has been unseen for no time at all.
    unseen_s = sa.case((is_seen, 0.0), else_=now_unix_s() - workers.c.seen_unix_s).label("unseen_s")
    return (
        sa.select(live_calls, unseen_s)
        .select_from(live_calls.outerjoin(workers, workers.c.worker == unseen))
        .where(condition)
        .order_by(live_calls.c.claimed_at, live_calls.c.call_id)
    )


def taken(call_ids: Sequence[CallId]) -> sa.Select[Any]:
    """Calls that were adopted just now, each with how long its former worker had not been seen."""
    return _claimed(
        live_calls.c.call_id.in_(call_ids),
        unseen=live_calls.c.former,
        is_seen=live_calls.c.was_handed_over,
    )


# Effects ---------------------------------------------------------------------------------------------

_IS_THIS_EFFECT = sa.and_(effects.c.call_id == _text("this_call"), effects.c.key == _text("this_key"))
KNOWN_EFFECT = sa.select(effects).where(_IS_THIS_EFFECT)


def begin_effect(insert: Callable[[sa.Table], Any]) -> Any:
    """Returns a row when the effect is begun by this statement."""
    this_epoch = sa.bindparam("this_epoch", type_=sa.Integer)
    is_anothers = sa.exists().where(
        live_calls.c.call_id == _text("this_call"),
        sa.or_(
            live_calls.c.epoch > this_epoch,
            sa.and_(live_calls.c.epoch == this_epoch, live_calls.c.worker != _text("this_worker")),
        ),
    )
    statement = insert(effects).from_select(
        ["call_id", "key", "worker", "epoch", "begun_at", "is_error"],
        sa.select(
            _text("this_call"),
            _text("this_key"),
            _text("this_worker"),
            this_epoch,
            now_moment(),
            sa.literal(False, sa.Boolean),
        ).where(~is_anothers),
    )
    return statement.on_conflict_do_nothing(index_elements=["call_id", "key"]).returning(effects.c.key)


def finish_effect(insert: Callable[[sa.Table], Any]) -> Any:
    """Enters the end of an effect, and the effect where it is missing."""
    statement = insert(effects).from_select(
        ["call_id", "key", "worker", "epoch", "begun_at", "output", "is_error"],
        sa.select(
            _text("this_call"),
            _text("this_key"),
            sa.literal("", PlainText),
            sa.literal(0, sa.Integer),
            now_moment(),
            _text("output"),
            sa.bindparam("is_error", type_=sa.Boolean),
        ).where(sa.true()),
    )
    return statement.on_conflict_do_update(
        index_elements=["call_id", "key"],
        set_={name: statement.excluded[name] for name in ("output", "is_error")},
        where=effects.c.output.is_(None),
    )


# Commands --------------------------------------------------------------------------------------------


def ask(insert: Callable[[sa.Table], Any]) -> Any:
    """Writes a command down."""
    return insert(commands).on_conflict_do_nothing(index_elements=["command_id"])


ASKED_OF_WORKER = (
    sa.select(commands)
    .join_from(commands, live_calls, commands.c.call_id == live_calls.c.call_id)
    .where(live_calls.c.worker == _text("this_worker"), commands.c.outcome.is_(None))
    .order_by(commands.c.asked_at, commands.c.command_id)
)
ANSWER = (
    commands.update()
    .where(commands.c.command_id == _text("this_command"), commands.c.outcome.is_(None))
    .values(outcome=_text("new_outcome"), detail=_text("new_detail"), answered_at=now_moment())
    .returning(commands.c.command_id)
)
