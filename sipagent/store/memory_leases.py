"""Claims, leases, effects and commands in memory: the twin of what a database does for many processes.

Several stores of one event loop may share one `MemoryDatabase`, as several processes share a database.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from sipagent.clock import unix_s
from sipagent.errors import WorkerGoneError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store.leases import (
    NOBODY,
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
    WorkerState,
)
from sipagent.store.memory_calls import MemoryCalls
from sipagent.store.records import CallCheckpointed

MOST_COMMANDS = 10_000
"""Beyond it the one that was asked first is forgotten."""

KEPT_S = 86_400.0
"""For how long workers that are no more are shown."""


@dataclass(slots=True, kw_only=True)
class _Worker:
    name: str
    seen_s: float
    expires_s: float
    state: Literal["up", "left", "gone"] = "up"
    is_live: bool = True
    called: Callable[[SignalKind], None] | None = None


@dataclass(slots=True, kw_only=True)
class _Claim:
    worker: WorkerId
    claimed_s: float
    webhook: str
    epoch: int = 1
    former: WorkerId | None = None
    checkpoint: CallCheckpointed | None = None


@dataclass(slots=True, kw_only=True)
class _Command:
    command: CallCommand
    outcome: CommandOutcome | None = None


@dataclass(kw_only=True)
class MemoryDatabase:
    """What stores share. ``now_s`` is its clock, in seconds since 1970."""

    now_s: Callable[[], float] = unix_s
    calls: MemoryCalls = field(default_factory=MemoryCalls)
    workers: dict[WorkerId, _Worker] = field(default_factory=dict)
    claims: dict[CallId, _Claim] = field(default_factory=dict)
    effects: dict[CallId, dict[str, Effect]] = field(default_factory=dict)
    commands: dict[str, _Command] = field(default_factory=dict)

    def kill(self, worker: WorkerId) -> None:
        """Free the liveness of ``worker``, as the death of its process would; it hears no signal any more."""
        if (known := self.workers.get(worker)) is not None:
            known.is_live = False
            known.called = None

    def checkpoint(self, fact: CallCheckpointed) -> None:
        """Keep the last checkpoint of a call that is claimed."""
        claim = self.claims.get(fact.call_id)
        if claim is None or claim.epoch > fact.epoch:
            return
        last = claim.checkpoint
        if last is None or (last.epoch, last.sequence) <= (fact.epoch, fact.sequence):
            claim.checkpoint = fact

    def end(self, call_id: CallId) -> None:
        """Nobody holds the call any more."""
        self.claims.pop(call_id, None)

    def forget(self, call_id: CallId) -> None:
        """The call is so old that nothing of it is remembered; if it is still up, its claim stays."""
        self.effects.pop(call_id, None)


class MemoryLeases:
    """See `CallLeases`. Nothing waits."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._joined: set[WorkerId] = set()

    async def join(self, worker: WorkerId, *, name: str, lease_s: float) -> None:
        """See `CallLeases.join`."""
        database, now_s = self._database, self._database.now_s()
        known = database.workers.get(worker)
        if known is not None and known.state != "up":
            raise WorkerGoneError(f"worker {worker} has left or is gone, and cannot come back")
        for old in [old for old, row in database.workers.items() if _is_history(row, now_s)]:
            if all(claim.worker != old for claim in database.claims.values()):
                del database.workers[old]
        called = known.called if known is not None else None
        database.workers[worker] = _Worker(name=name, seen_s=now_s, expires_s=now_s + lease_s, called=called)
        self._joined.add(worker)

    async def renew(self, worker: WorkerId, *, lease_s: float) -> bool:
        """See `CallLeases.renew`."""
        known = self._database.workers.get(worker)
        if known is None or known.state != "up":
            return False
        known.seen_s = self._database.now_s()
        known.expires_s = known.seen_s + lease_s
        return True

    async def leave(self, worker: WorkerId) -> None:
        """See `CallLeases.leave`."""
        known = self._database.workers.get(worker)
        if known is None or known.state != "up":
            return
        self._database.kill(worker)
        known.state = "left"
        self._signal("orphans")

    async def workers(self) -> tuple[WorkerSeen, ...]:
        """See `CallLeases.workers`."""
        now_s = self._database.now_s()
        seen = [
            WorkerSeen(
                worker=worker,
                name=row.name,
                state=_state_of(row, now_s),
                seen_s=max(0.0, now_s - row.seen_s),
                calls=sum(claim.worker == worker for claim in self._database.claims.values()),
            )
            for worker, row in self._database.workers.items()
            if not _is_history(row, now_s)
        ]
        return tuple(sorted(seen, key=lambda worker: worker.seen_s))

    async def uptime_s(self) -> float:
        """Memory is there as long as its users are."""
        return math.inf

    async def claim_all(self, worker: WorkerId, webhooks: Mapping[CallId, str]) -> dict[CallId, int]:
        """See `CallLeases.claim_all`."""
        database = self._database
        held: dict[CallId, int] = {}
        for call_id, webhook in webhooks.items():
            if database.calls.has_ended(call_id):
                continue
            claim = database.claims.setdefault(
                call_id, _Claim(worker=worker, claimed_s=database.now_s(), webhook=webhook)
            )
            if claim.worker == worker:
                held[call_id] = claim.epoch
        return held

    async def adopt(
        self, worker: WorkerId, *, limit: int, quiet_s: float, take_back: bool = False
    ) -> tuple[ClaimedCall, ...]:
        """See `CallLeases.adopt`."""
        database, now_s = self._database, self._database.now_s()
        for other, row in database.workers.items():
            is_dead = not row.is_live and row.seen_s <= now_s - quiet_s
            if other != worker and row.state == "up" and (row.expires_s <= now_s or is_dead):
                row.state = "gone"
        free = sorted(
            (claim.claimed_s, call_id)
            for call_id, claim in database.claims.items()
            if self._is_free(claim) and (take_back or not (claim.worker == NOBODY and claim.former == worker))
        )
        taken = []
        for _, call_id in free[:limit]:
            claim = database.claims[call_id]
            unseen_s = self._unseen_s(claim.worker)
            if claim.worker != NOBODY:
                claim.former = claim.worker
            claim.worker = worker
            claim.epoch += 1
            taken.append(_claimed_call(call_id, claim, unseen_s))
        return tuple(taken)

    async def hand_over(self, worker: WorkerId, call_ids: Sequence[CallId]) -> None:
        """See `CallLeases.hand_over`."""
        for call_id in call_ids:
            claim = self._database.claims.get(call_id)
            if claim is not None and claim.worker == worker:
                claim.former, claim.worker = worker, NOBODY
        self._signal("orphans")

    async def claims(self, worker: WorkerId) -> tuple[ClaimedCall, ...]:
        """See `CallLeases.claims`."""
        of_worker = [
            (call_id, claim) for call_id, claim in self._database.claims.items() if claim.worker == worker
        ]
        of_worker.sort(key=lambda held: (held[1].claimed_s, held[0]))
        return tuple(_claimed_call(call_id, claim, self._unseen_s(worker)) for call_id, claim in of_worker)

    async def holder(self, call_id: CallId) -> ClaimedCall | None:
        """See `CallLeases.holder`."""
        claim = self._database.claims.get(call_id)
        return None if claim is None else _claimed_call(call_id, claim, self._unseen_s(claim.worker))

    async def begin_effect(self, call_id: CallId, key: str, worker: WorkerId, epoch: int) -> EffectAnswer:
        """See `CallLeases.begin_effect`."""
        ledger = self._database.effects.setdefault(call_id, {})
        if (known := ledger.get(key)) is not None:
            return EffectKnown(
                output=known.output, is_error=known.is_error, worker=known.worker, epoch=known.epoch
            )
        claim = self._database.claims.get(call_id)
        if claim is not None and (claim.epoch > epoch or (claim.epoch == epoch and claim.worker != worker)):
            return EffectFenced()
        ledger[key] = Effect(
            key=key, worker=worker, epoch=epoch, begun_at=self._now(), output=None, is_error=False
        )
        return EffectBegun()

    async def finish_effect(self, call_id: CallId, key: str, output: str, is_error: bool) -> None:
        """See `CallLeases.finish_effect`."""
        ledger = self._database.effects.setdefault(call_id, {})
        known = ledger.get(key)
        if known is not None and known.output is not None:
            return
        ledger[key] = Effect(
            key=key,
            worker=known.worker if known else WorkerId(""),
            epoch=known.epoch if known else 0,
            begun_at=known.begun_at if known else self._now(),
            output=output,
            is_error=is_error,
        )

    async def effects(self, call_id: CallId) -> tuple[Effect, ...]:
        """See `CallLeases.effects`."""
        return tuple(self._database.effects.get(call_id, {}).values())

    async def ask(self, command: CallCommand) -> None:
        """See `CallLeases.ask`."""
        if command.command_id in self._database.commands:
            return
        self._database.commands[command.command_id] = _Command(command=command)
        while len(self._database.commands) > MOST_COMMANDS:
            del self._database.commands[next(iter(self._database.commands))]
        claim = self._database.claims.get(command.call_id)
        if claim is not None:
            self._signal("command", only=claim.worker)

    async def commands(self, worker: WorkerId) -> tuple[CallCommand, ...]:
        """See `CallLeases.commands`."""
        held = {call_id for call_id, claim in self._database.claims.items() if claim.worker == worker}
        return tuple(
            row.command
            for row in self._in_order_asked()
            if row.outcome is None and row.command.call_id in held
        )

    async def answer(self, command_id: str, outcome: str, detail: str) -> bool:
        """See `CallLeases.answer`."""
        row = self._database.commands.get(command_id)
        if row is None or row.outcome is not None:
            return False
        row.outcome = CommandOutcome(outcome=outcome, detail=detail, answered_at=self._now())
        return True

    async def outcome(self, command_id: str) -> CommandOutcome | None:
        """See `CallLeases.outcome`."""
        row = self._database.commands.get(command_id)
        return None if row is None else row.outcome

    async def audit(self, call_id: CallId) -> tuple[AuditLine, ...]:
        """See `CallLeases.audit`."""
        return tuple(
            AuditLine(command=row.command, outcome=row.outcome)
            for row in self._in_order_asked()
            if row.command.call_id == call_id
        )

    async def listen(self, worker: WorkerId, called: Callable[[SignalKind], None]) -> None:
        """See `CallLeases.listen`."""
        assert worker in self._joined, "a worker joins before it listens"
        self._database.workers[worker].called = called

    def _let_go(self) -> None:
        """Free the liveness of every worker of this store, which is closed."""
        for worker in self._joined:
            self._database.kill(worker)
        self._joined.clear()

    def _signal(self, kind: SignalKind, *, only: WorkerId | None = None) -> None:
        for worker, row in list(self._database.workers.items()):
            if row.called is not None and only in (None, worker):
                row.called(kind)

    def _is_free(self, claim: _Claim) -> bool:
        row = self._database.workers.get(claim.worker)
        return row is None or row.state != "up"

    def _unseen_s(self, worker: WorkerId) -> float:
        if worker == NOBODY:
            return 0.0  # it was given up in good order
        row = self._database.workers.get(worker)
        return math.inf if row is None else max(0.0, self._database.now_s() - row.seen_s)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._database.now_s(), UTC)

    def _in_order_asked(self) -> list[_Command]:
        return sorted(
            self._database.commands.values(), key=lambda row: (row.command.asked_at, row.command.command_id)
        )


def _state_of(row: _Worker, now_s: float) -> WorkerState:
    return "late" if row.state == "up" and row.expires_s <= now_s else row.state


def _is_history(row: _Worker, now_s: float) -> bool:
    return row.state != "up" and row.seen_s <= now_s - KEPT_S


def _claimed_call(call_id: CallId, claim: _Claim, unseen_s: float) -> ClaimedCall:
    return ClaimedCall(
        call_id=call_id,
        worker=claim.worker,
        epoch=claim.epoch,
        claimed_at=datetime.fromtimestamp(claim.claimed_s, UTC),
        webhook=claim.webhook,
        checkpoint=None if claim.checkpoint is None else claim.checkpoint.data,
        former=claim.former,
        unseen_s=unseen_s,
    )
