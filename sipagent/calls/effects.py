"""Side effects of one call, told to the store before they happen.

The ledger of a call keeps one process from doing a thing twice. This keeps two: each piece of work is
entered into the database first, under the id of its tool call, and whoever finds it entered does not begin
it. An entry without an end is work that a process died in: whether it happened is unknown, and nobody tries
it again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any, assert_never

from sipagent.calls.lease import Holding
from sipagent.calls.outages import ASK_S, EffectUnderWay
from sipagent.calls.tools.failures import ToolFailureError
from sipagent.calls.tools.ledger import Ledger, State
from sipagent.errors import StoreError
from sipagent.identifiers import CallId
from sipagent.realtime.tools import output_text
from sipagent.store import CallLeases, Effect, EffectBegun, EffectFenced, EffectKnown

NOT_NOW = (
    "Nothing was done: this cannot be done safely just now. Tell the caller the truth, and offer to try "
    "again in a minute."
)
UNKNOWN = "Nobody knows whether this was done: the process that began it is gone. It is not tried again."


class StoredEffects:
    """The effects of one call, in a store that several processes share."""

    def __init__(self, call_id: CallId, *, memory: CallLeases, holding: Holding) -> None:
        self._call_id = call_id
        self._memory = memory
        self._holding = holding
        self._doubted: Callable[[str], bool] = lambda _: False
        self._unread: Ledger | None = None
        """Where what others did is to be put, as long as the database has not told it."""

    async def recall(self, ledger: Ledger) -> None:
        """Put what other processes did in the call into ``ledger``. Raises `StoreError`; then, and when it is
        cancelled, it is made up for before anything is begun."""
        self._unread = ledger
        restore(ledger, await self._of_others())
        self._unread = None

    def doubt(self, doubted: Callable[[str], bool]) -> None:
        """Of tool calls that are ``doubted``, nobody knows whether another process has begun them (see
        `sipagent.calls.outages`). They are not begun here."""
        self._doubted = doubted

    async def begin(self, tool_call_id: str, key: str) -> None:
        """See `Effects.begin` of the context. A database that is away for everybody holds nothing up for
        longer than `sipagent.calls.outages` says."""
        holding = self._holding
        await holding.lease.wait()
        await self._recall_late(key)
        try:
            found = await holding.outages.begin(
                self._memory,
                self._call_id,
                _name(tool_call_id, key),
                worker=holding.worker,
                epoch=holding.epoch,
            )
        except (StoreError, TimeoutError) as error:
            raise ToolFailureError(NOT_NOW, effect="none") from error
        # It may have been frozen since it asked.
        await holding.lease.wait()
        match found:
            case EffectBegun() | None if not self._doubted(tool_call_id):
                return
            case EffectBegun() | None:
                raise ToolFailureError(UNKNOWN, effect="unknown")
            case EffectKnown(worker=holding.worker, epoch=holding.epoch, output=None):
                return  # an earlier request of ours, whose answer was lost
            case EffectKnown():
                raise ToolFailureError(UNKNOWN, effect="unknown")
            case EffectFenced():
                raise ToolFailureError(UNKNOWN, effect="unknown")
            case never:
                assert_never(never)

    async def _recall_late(self, key: str) -> None:
        """As `recall`, for work under ``key`` that the ledger lets begin, because it does not know better."""
        if self._unread is None:
            return
        try:
            async with asyncio.timeout(ASK_S):
                found = await self._of_others()
        except (StoreError, TimeoutError) as error:
            raise ToolFailureError(NOT_NOW, effect="none") from error
        if (ledger := self._unread) is not None:  # else somebody else has just made up for it
            restore(ledger, [effect for effect in found if _key_of(effect) != key])
            self._unread = None
        for effect in found:
            if _key_of(effect) == key:
                state, outcome = _read(effect.output)
                if state == "done":
                    outcome = f"This was done before in this call, and was not done again: {outcome}"
                if state != "failed":
                    raise ToolFailureError(outcome, effect="unknown")

    async def _of_others(self) -> list[Effect]:
        """What others began: of what this process does, its ledger knows more."""
        ours = (self._holding.worker, self._holding.epoch)
        found = await self._memory.effects(self._call_id)
        return [effect for effect in found if (effect.worker, effect.epoch) != ours]

    async def end(self, tool_call_id: str, key: str, *, state: str, outcome: Any) -> None:
        """See `Effects.end`."""
        holding = self._holding
        ended = EffectUnderWay(
            worker=holding.worker,
            epoch=holding.epoch,
            output=json.dumps({"state": state, "outcome": output_text(outcome)}, ensure_ascii=False),
            is_error=state != "done",
        )
        await holding.outages.end(self._memory, self._call_id, _name(tool_call_id, key), ended)


def restore(ledger: Ledger, effects: Iterable[Effect]) -> None:
    """Put what was done before, by whichever process, into ``ledger``."""
    for effect in effects:
        state, outcome = _read(effect.output)
        ledger.remember(_key_of(effect), effect.key.partition(" ")[0], state=state, outcome=outcome)


def _read(written: str | None) -> tuple[State, str]:
    if written is None:
        return "unclear", UNKNOWN
    try:
        found = json.loads(written)
        state = found["state"]
        if state == "done" or state == "failed":
            return state, str(found["outcome"])
    except (ValueError, LookupError, TypeError):
        pass
    return "unclear", UNKNOWN


def _key_of(effect: Effect) -> str:
    return effect.key.partition(" ")[2]


def _name(tool_call_id: str, key: str) -> str:
    return f"{tool_call_id} {key}"
