"""Side effects of one call, told to the store before they happen.

The ledger of a call keeps one process from doing a thing twice. This keeps two: each piece of work is
entered into the database first, under the id of its tool call, and whoever finds it entered does not begin
it. An entry without an end is work that a process died in: whether it happened is unknown, and nobody tries
it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, assert_never

from sipagent.calls.lease import Holding
from sipagent.calls.outages import EffectUnderWay
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

    def doubt(self, doubted: Callable[[str], bool]) -> None:
        """Of tool calls that are ``doubted``, nobody knows whether another process has begun them (see
        `sipagent.calls.outages`). They are not begun here."""
        self._doubted = doubted

    async def begin(self, tool_call_id: str, key: str) -> None:
        """See `Effects.begin` of the context. A database that is away for everybody holds nothing up for
        longer than `sipagent.calls.outages` says."""
        holding = self._holding
        await holding.lease.wait()
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
        tool_call_id, _, key = effect.key.partition(" ")
        if effect.output is None:
            ledger.remember(key, tool_call_id, state="unclear", outcome=UNKNOWN)
            continue
        state, outcome = _read(effect.output)
        ledger.remember(key, tool_call_id, state=state, outcome=outcome)


def _read(written: str) -> tuple[State, str]:
    try:
        found = json.loads(written)
        state = found["state"]
        if state == "done" or state == "failed":
            return state, str(found["outcome"])
    except (ValueError, LookupError, TypeError):
        pass
    return "unclear", UNKNOWN


def _name(tool_call_id: str, key: str) -> str:
    return f"{tool_call_id} {key}"
