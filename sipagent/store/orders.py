"""Asks something of a call that is up, whichever process holds it, and waits for what comes of it.

The command is written down first, so that it survives whoever is to carry it out, and everybody can read
afterwards who asked what. Whoever asks waits for so long and no longer; a command that nobody has answered by
then is taken back, and is not carried out behind the asker's back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sipagent.errors import StoreError
from sipagent.identifiers import CallId
from sipagent.store.base import Store
from sipagent.store.leases import CallCommand, CommandOutcome

Verb = Literal["hangup", "transfer", "say"]
VERBS: tuple[Verb, ...] = ("hangup", "transfer", "say")

NOW = "now"
"""The argument of ``hangup`` that leaves out the goodbye."""
POLITELY = "politely"
MAXIMUM_ARGUMENT = 2000
"""Characters of an argument: words that take two minutes to say."""

FIRST_LOOK_S = 0.02
LONGEST_LOOK_S = 0.5
TAKING_BACK_S = 5.0


def order_key(command_id: str) -> str:
    """The key under which a command is entered among the effects of its call before it is carried out."""
    return f"{command_id} order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Somebody answered: the worker that holds the call."""

    outcome: CommandOutcome

    @property
    def done(self) -> bool:
        """Whether it was done."""
        return self.outcome.outcome == "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchCall:
    """There is no such call, or it is over."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Nobody answered in time, and the command was taken back."""

    detail: str


Reply = Answered | NoSuchCall | Unanswered


async def order(
    store: Store,
    call_id: CallId,
    verb: Verb,
    argument: str,
    *,
    asked_by: str,
    patience_s: float,
    utc_now: Callable[[], datetime],
) -> Reply:
    """Ask ``verb`` of a call and wait at most ``patience_s`` for what comes of it.

    ``asked_by`` is written down: a user of the operating system or the name of a token, never a secret.
    Raises `StoreError`. Being cancelled takes the command back.
    """
    if (missing := await _not_up(store, call_id)) is not None:
        return missing
    command = CallCommand(
        command_id=f"command_{secrets.token_hex(12)}",
        call_id=call_id,
        verb=verb,
        argument=argument[:MAXIMUM_ARGUMENT],
        asked_by=asked_by,
        asked_at=utc_now(),
    )
    try:
        await store.ask(command)
        try:
            async with asyncio.timeout(patience_s):
                reply = await _outcome(store, command)
        except TimeoutError:
            return await _take_back(store, command)
    except BaseException:
        await _drop(store, command)
        raise
    if isinstance(reply, NoSuchCall):
        await _drop(store, command)
    return reply


async def _not_up(store: Store, call_id: CallId) -> NoSuchCall | None:
    if await store.holder(call_id) is not None:
        return None
    record = await store.call(call_id)
    if record is None:
        return NoSuchCall(detail=f"There is no call {call_id!r}.")
    if record.summary.end_reason is not None:
        return NoSuchCall(detail=f"The call is over: {record.summary.end_reason}.")
    # Its claim may not have been stored yet.
    return None


async def _outcome(store: Store, command: CallCommand) -> Reply:
    look_s = FIRST_LOOK_S
    while True:
        outcome = await store.outcome(command.command_id)
        if outcome is not None:
            return Answered(outcome=outcome)
        missing = await _not_up(store, command.call_id)
        if missing is not None and (outcome := await store.outcome(command.command_id)) is None:
            return missing
        await asyncio.sleep(look_s)
        look_s = min(LONGEST_LOOK_S, look_s * 2)


async def _take_back(store: Store, command: CallCommand) -> Reply:
    if await store.answer(command.command_id, "taken_back", "Nobody answered in time."):
        key = order_key(command.command_id)
        if any(effect.key == key for effect in await store.effects(command.call_id)):
            return Unanswered(
                detail="It was begun and takes its time: the call's record will say what came of it."
            )
        holder = await store.holder(command.call_id)
        where = "no worker holds the call" if holder is None else f"worker {holder.worker} holds the call"
        return Unanswered(detail=f"Nobody answered in time ({where}), and nothing was done.")
    outcome = await store.outcome(command.command_id)
    assert outcome is not None, "it was answered a moment ago"
    return Answered(outcome=outcome)


async def _drop(store: Store, command: CallCommand) -> None:
    """Leave nothing behind that could be carried out later; bounded, also while being cancelled."""
    dropping = asyncio.ensure_future(store.answer(command.command_id, "taken_back", "Nobody waits for it."))
    try:
        async with asyncio.timeout(TAKING_BACK_S):
            await asyncio.shield(dropping)
    except (StoreError, TimeoutError):
        pass  # whoever would carry it out finds that it is too old
    finally:
        dropping.cancel()
        await asyncio.gather(dropping, return_exceptions=True)
