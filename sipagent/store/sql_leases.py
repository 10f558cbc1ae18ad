"""Claims, leases, effects and commands in a database."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from sipagent.errors import WorkerGoneError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import lease_statements as statements
from sipagent.store.backend import Backend
from sipagent.store.database import Database
from sipagent.store.leases import (
    AuditLine,
    CallCommand,
    ClaimedCall,
    CommandOutcome,
    Effect,
    EffectAnswer,
    EffectBegun,
    EffectFenced,
    EffectKnown,
    SignalKind,
    WorkerSeen,
)
from sipagent.store.tables import commands, effects, live_calls


class SqlLeases:
    """See `CallLeases`."""

    def __init__(self, database: Database, backend: Backend) -> None:
        self._database = database
        self._presence = backend.presence(database.run)
        self._uptime = backend.uptime
        self._join = statements.join(backend.insert)
        self._claim = statements.claim(backend.insert, backend.pairs("webhooks"))
        self._begin_effect = statements.begin_effect(backend.insert)
        self._finish_effect = statements.finish_effect(backend.insert)
        self._ask = statements.ask(backend.insert)

    # Workers ----------------------------------------------------------------------------------------

    async def join(self, worker: WorkerId, *, name: str, lease_s: float) -> None:
        """See `CallLeases.join`."""
        async with self._database.translated("join"):
            await self._presence.join(worker)
        values = {"this_worker": worker, "name": name, "lease_s": lease_s}
        try:
            if not await self._database.run("join", self._join, values):
                raise WorkerGoneError(f"worker {worker} has left or is gone, and cannot come back")
            await self._database.run("tidy up", statements.FORGET_WORKERS, {})
        except BaseException:
            await self._presence.leave(worker)
            raise

    async def renew(self, worker: WorkerId, *, lease_s: float) -> bool:
        """See `CallLeases.renew`."""
        values = {"this_worker": worker, "lease_s": lease_s}
        return bool(await self._database.run("renew a lease in", statements.RENEW, values))

    async def leave(self, worker: WorkerId) -> None:
        """See `CallLeases.leave`. The liveness is freed even when the database is away."""
        try:
            left = await self._database.run("leave", statements.LEAVE, {"this_worker": worker})
        finally:
            await self._presence.leave(worker)
        if left:
            await self._presence.signal("orphans", None)

    async def workers(self) -> tuple[WorkerSeen, ...]:
        """See `CallLeases.workers`."""
        (rows,) = await self._database.read(statements.SEEN_WORKERS)
        return tuple(
            WorkerSeen(
                worker=WorkerId(row.worker),
                name=row.name,
                state=row.state,
                seen_s=max(0.0, row.seen_s),
                calls=row.calls,
            )
            for row in rows
        )

    async def uptime_s(self) -> float:
        """See `CallLeases.uptime_s`."""
        if self._uptime is None:
            return math.inf
        (row,) = await self._database.run("reach", self._uptime, {})
        return float(row[0])

    # Claims -----------------------------------------------------------------------------------------

    async def claim_all(self, worker: WorkerId, webhooks: Mapping[CallId, str]) -> dict[CallId, int]:
        """See `CallLeases.claim_all`."""
        values = {"this_worker": worker, "webhooks": statements.pairs_of(webhooks)}
        rows = await self._database.run_at_once("claim calls in", self._claim, values)
        return {CallId(call_id): epoch for call_id, epoch in rows}

    async def adopt(
        self, worker: WorkerId, *, limit: int, quiet_s: float, take_back: bool = False
    ) -> tuple[ClaimedCall, ...]:
        """See `CallLeases.adopt`. Three round trips when there is nothing to adopt.

        Whoever is gone is marked first, and that is committed: from then on its calls may be taken by
        anybody, and its renewal is refused. A renewal that comes at the same time is either seen by the
        mark, or sees it.
        """
        values = {"this_worker": worker, "quiet_s": quiet_s}
        quiet = await self._database.run("look for orphans in", statements.QUIET_WORKERS, values)
        dead = await self._presence.free([WorkerId(row.worker) for row in quiet]) if quiet else frozenset()
        if not dead:
            del values["quiet_s"]
        for gone in await self._database.run("adopt from", statements.fence(sorted(dead)), values):
            self._presence.bury(WorkerId(gone.worker))
        values = {"this_worker": worker, "most": limit, "take_back": take_back}
        # Once: of calls that the first attempt took, and whose answer was lost, a second one says nothing.
        rows = await self._database.run("adopt from", statements.TAKE, values, once=True)
        if not rows:
            return ()
        query = statements.taken([CallId(row.call_id) for row in rows])
        return tuple(_claimed_call(row) for row in await self._database.run("adopt from", query, {}))

    async def hand_over(self, worker: WorkerId, call_ids: Sequence[CallId]) -> None:
        """See `CallLeases.hand_over`. One statement, whatever the number of calls."""
        values = {"this_worker": worker}
        await self._database.run("hand over in", statements.hand_over(call_ids), values)
        await self._presence.signal("orphans", None)

    async def claims(self, worker: WorkerId) -> tuple[ClaimedCall, ...]:
        """See `CallLeases.claims`."""
        query = statements.held(live_calls.c.worker == worker)
        return tuple(_claimed_call(row) for row in await self._database.run("read", query, {}))

    async def holder(self, call_id: CallId) -> ClaimedCall | None:
        """See `CallLeases.holder`."""
        query = statements.held(live_calls.c.call_id == call_id)
        rows = await self._database.run("read", query, {})
        return _claimed_call(rows[0]) if rows else None

    # Effects ----------------------------------------------------------------------------------------

    async def begin_effect(self, call_id: CallId, key: str, worker: WorkerId, epoch: int) -> EffectAnswer:
        """See `CallLeases.begin_effect`. One round trip for an effect that is new."""
        this = {"this_call": call_id, "this_key": key}
        values = {**this, "this_worker": worker, "this_epoch": epoch}
        if await self._database.run("begin an effect in", self._begin_effect, values):
            return EffectBegun()
        rows = await self._database.run("begin an effect in", statements.KNOWN_EFFECT, this)
        if not rows:
            return EffectFenced()
        (row,) = rows
        return EffectKnown(
            output=row.output, is_error=row.is_error, worker=WorkerId(row.worker), epoch=row.epoch
        )

    async def finish_effect(self, call_id: CallId, key: str, output: str, is_error: bool) -> None:
        """See `CallLeases.finish_effect`."""
        values = {"this_call": call_id, "this_key": key, "output": output, "is_error": is_error}
        await self._database.run("finish an effect in", self._finish_effect, values)

    async def effects(self, call_id: CallId) -> tuple[Effect, ...]:
        """See `CallLeases.effects`."""
        query = sa.select(effects).where(effects.c.call_id == call_id).order_by(effects.c.arrival)
        return tuple(
            Effect(
                key=row.key,
                worker=WorkerId(row.worker),
                epoch=row.epoch,
                begun_at=row.begun_at,
                output=row.output,
                is_error=row.is_error,
            )
            for row in await self._database.run("read", query, {})
        )

    # Commands ---------------------------------------------------------------------------------------

    async def ask(self, command: CallCommand) -> None:
        """See `CallLeases.ask`."""
        await self._database.run("ask through", self._ask, asdict(command))
        holder = await self.holder(command.call_id)
        if holder is not None:
            await self._presence.signal("command", holder.worker)

    async def commands(self, worker: WorkerId) -> tuple[CallCommand, ...]:
        """See `CallLeases.commands`."""
        values = {"this_worker": worker}
        rows = await self._database.run("read", statements.ASKED_OF_WORKER, values)
        return tuple(_command(row) for row in rows)

    async def answer(self, command_id: str, outcome: str, detail: str) -> bool:
        """See `CallLeases.answer`."""
        values = {"this_command": command_id, "new_outcome": outcome, "new_detail": detail}
        return bool(await self._database.run("answer through", statements.ANSWER, values))

    async def outcome(self, command_id: str) -> CommandOutcome | None:
        """See `CallLeases.outcome`."""
        query = sa.select(commands).where(commands.c.command_id == command_id)
        rows = await self._database.run("read", query, {})
        return _outcome(rows[0]) if rows else None

    async def audit(self, call_id: CallId) -> tuple[AuditLine, ...]:
        """See `CallLeases.audit`."""
        in_order = (commands.c.asked_at, commands.c.command_id)
        query = sa.select(commands).where(commands.c.call_id == call_id).order_by(*in_order)
        rows = await self._database.run("read", query, {})
        return tuple(AuditLine(command=_command(row), outcome=_outcome(row)) for row in rows)

    # Signals ----------------------------------------------------------------------------------------

    async def listen(self, worker: WorkerId, called: Callable[[SignalKind], None]) -> None:
        """See `CallLeases.listen`."""
        self._presence.listen(worker, called)


def _claimed_call(row: sa.Row[Any]) -> ClaimedCall:
    return ClaimedCall(
        call_id=CallId(row.call_id),
        worker=WorkerId(row.worker),
        epoch=row.epoch,
        claimed_at=row.claimed_at,
        webhook=row.webhook,
        checkpoint=row.checkpoint,
        former=None if row.former is None else WorkerId(row.former),
        unseen_s=math.inf if row.unseen_s is None else max(0.0, row.unseen_s),
    )


def _command(row: sa.Row[Any]) -> CallCommand:
    return CallCommand(
        command_id=row.command_id,
        call_id=CallId(row.call_id),
        verb=row.verb,
        argument=row.argument,
        asked_by=row.asked_by,
        asked_at=row.asked_at,
    )


def _outcome(row: sa.Row[Any]) -> CommandOutcome | None:
    if row.outcome is None:
        return None
    return CommandOutcome(outcome=row.outcome, detail=row.detail, answered_at=row.answered_at)
