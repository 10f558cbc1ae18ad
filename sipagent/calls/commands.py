"""Carries out what people ask of the calls that this process holds, and writes down what came of it.

A command is carried out at most once, whatever dies meanwhile: it is begun in the ledger of the call's
effects first. One that is begun there and not answered was begun by a process that is gone: a transfer goes
on, and is answered when it ends; of all else nobody knows what came. A command for a call that still rings
waits until it is answered, or its asker has lost patience.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal, assert_never

from sipagent.calls.steering import Steered, Steering
from sipagent.errors import NotOursError, StoreError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import CallCommand, CallLeases, EffectBegun, EffectFenced, EffectKnown
from sipagent.store.orders import MAXIMUM_ARGUMENT, NOW, VERBS, Verb, order_key
from sipagent.telemetry import bind_call

logger = logging.getLogger(__name__)

OLDEST_S = 90.0
"""Nobody waits for what was asked so long ago; the clocks of two machines may differ a little."""
MOST_AT_ONCE = 32
MOST_UNTOLD = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    word: str
    detail: str


class CommandDesk:
    """Serves the commands of one process. `look` when there may be some, and `aclose` at the end."""

    def __init__(
        self,
        leases: CallLeases,
        find: Callable[[CallId], Steering | None],
        *,
        utc_now: Callable[[], datetime],
    ) -> None:
        """``find`` gives the steering of a call that is up here and talks."""
        self._leases = leases
        self._find = find
        self._utc_now = utc_now
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._untold: dict[str, _Outcome] = {}
        """What came of commands whose answers the database has not taken."""

    async def look(self, worker: WorkerId) -> None:
        """Begin to serve every command for the calls of ``worker`` that is not served yet, and return.

        Raises `StoreError`. Cancelling is safe: what was begun goes on.
        """
        for command in await self._leases.commands(worker):
            if command.command_id in self._serving or len(self._serving) >= MOST_AT_ONCE:
                continue
            task = asyncio.create_task(
                self._serve(command, worker), name=f"call {command.call_id}: {command.verb}"
            )
            self._serving[command.command_id] = task
            task.add_done_callback(partial(self._served, command.command_id))

    async def aclose(self) -> None:
        """Stop serving. Idempotent; what was begun and not answered stays so."""
        serving = list(self._serving.values())
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def _served(self, command_id: str, task: asyncio.Task[None]) -> None:
        del self._serving[command_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A command could not be served by a defect of ours", exc_info=error)

    async def _serve(self, command: CallCommand, worker: WorkerId) -> None:
        with bind_call(command.call_id):
            try:
                outcome = self._untold.get(command.command_id) or await self._outcome(command, worker)
            except NotOursError as error:
                logger.info("A command is left to whoever holds the call now: %s", error)
                return
            except StoreError as error:
                logger.warning("A command is looked at again later: %s", error)
                return
            if outcome is not None:
                await self._answer(command, outcome)

    async def _outcome(self, command: CallCommand, worker: WorkerId) -> _Outcome | None:
        """What came of the command; None: it is too early, or it is another's."""
        if (self._utc_now() - command.asked_at).total_seconds() > OLDEST_S:
            return _Outcome(word="expired", detail="It was not carried out: it was too old when it was seen.")
        verb = next((verb for verb in VERBS if verb == command.verb), None)
        if verb is None or len(command.argument) > MAXIMUM_ARGUMENT:
            return _Outcome(
                word="refused", detail="The worker that holds the call does not know this command."
            )
        steering = self._find(command.call_id)
        if steering is None:
            return None
        steered: Steered | None = None
        match await self._begin(command, worker):
            case "begun":
                steered = await _carry_out(steering, verb, command)
            case "unknown":
                if verb == "transfer":
                    steered = await steering.resumed_transfer(command.argument)
                if steered is None:
                    detail = "A worker that is gone had begun it; nobody knows whether it was done."
                    return _Outcome(word="unknown", detail=detail)
            case "not ours" | "taken back":
                return None
        outcome = _Outcome(word="done" if steered.done else "failed", detail=steered.detail)
        about = {"verb": verb, "argument": command.argument, "asked_by": command.asked_by}
        steering.note("command", **about, outcome=outcome.word, detail=outcome.detail)
        # What is to be said, and where to, stands in the record: a log is read by more people.
        fields = {"verb": verb, "asked_by": command.asked_by, "outcome": outcome.word}
        logger.info("A command was carried out: %s", outcome.detail, extra={"fields": fields})
        return outcome

    async def _begin(
        self, command: CallCommand, worker: WorkerId
    ) -> Literal["begun", "unknown", "not ours", "taken back"]:
        holder = await self._leases.holder(command.call_id)
        if holder is None or holder.worker != worker:
            return "not ours"
        key = order_key(command.command_id)
        begun = await self._leases.begin_effect(command.call_id, key, worker, holder.epoch)
        match begun:
            case EffectBegun():
                pass
            case EffectKnown(worker=other, epoch=epoch) if (other, epoch) != (worker, holder.epoch):
                return "unknown"
            case EffectKnown():
                pass  # our own, whose answer was lost
            case EffectFenced():
                return "not ours"
            case never:
                assert_never(never)
        # Whoever asked may have lost patience meanwhile; they look for the effect after they took it back.
        return "begun" if await self._leases.outcome(command.command_id) is None else "taken back"

    async def _answer(self, command: CallCommand, outcome: _Outcome) -> None:
        try:
            await self._leases.answer(command.command_id, outcome.word, outcome.detail)
        except StoreError as error:
            logger.warning("What came of a command is told later: %s", error)
            self._untold[command.command_id] = outcome
            while len(self._untold) > MOST_UNTOLD:
                del self._untold[next(iter(self._untold))]
        else:
            self._untold.pop(command.command_id, None)


async def _carry_out(steering: Steering, verb: Verb, command: CallCommand) -> Steered:
    match verb:
        case "hangup":
            detail = f"{command.asked_by} had the call ended."
            return steering.hang_up(detail, politely=command.argument != NOW)
        case "say":
            return await steering.say(command.argument)
        case "transfer":
            return await steering.transfer(command.argument)
        case never:
            assert_never(never)
