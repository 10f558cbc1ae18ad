"""What people of the company may do with a conversation that goes on: end it, send its caller on, say words.

Each act keeps the manners of the call: whoever speaks may finish, a transfer has its announcement and its
proof, and the agent is told what became of it. Whether somebody may do so is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from sipagent.calls.asking import ask, ask_for_words, tell_agent
from sipagent.calls.checkpoint import TransferUnderWay
from sipagent.calls.endings import Ending, EndReason
from sipagent.calls.minder import CallMinder
from sipagent.calls.profile import TransferTarget
from sipagent.calls.transferring import LineControls, TransferOutcome
from sipagent.errors import NotOursError
from sipagent.realtime import RealtimeSession

logger = logging.getLogger(__name__)

ANNOUNCE = (
    "Somebody of the company has decided that the caller is connected to {label} now. Tell the caller so in "
    "one short sentence, in the language that you speak with them. Do not say goodbye."
)
BY_ORDER = "The transfer was not your doing: somebody of the company had asked for it. "


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """What came of it."""

    done: bool
    detail: str
    """One sentence for people; never a secret."""


class Steering:
    """Steers one conversation, from outside of its own task."""

    def __init__(
        self,
        session: RealtimeSession,
        *,
        controls: LineControls,
        minder: CallMinder,
        targets: Callable[[], Mapping[str, TransferTarget]],
        wake: Callable[[], None],
    ) -> None:
        """``targets`` gives those that the configuration names; ``wake`` has the conversation ask
        ``minder`` what is due."""
        self._session = session
        self._controls = controls
        self._minder = minder
        self._targets = targets
        self._wake = wake
        self._over = asyncio.Event()
        self._ending: Ending | None = None
        self._resumed: tuple[str, asyncio.Task[Steered]] | None = None

    def ended(self, ending: Ending | None) -> None:
        """The conversation is over; None: it broke off, or goes on elsewhere."""
        self._ending = ending
        self._over.set()

    async def aclose(self) -> None:
        """Wait for the end of what goes on by itself; `ended` was called."""
        if self._resumed is not None:
            await asyncio.wait([self._resumed[1]])

    def resume(self) -> None:
        """Go on with the transfer by order that another process was trying, if any; returns at once."""
        before = self._controls.before
        if before is None or not before.by_order or self._over.is_set() or self._minder.ending:
            return
        if self._resumed is None:
            going_on = asyncio.create_task(self._go_on(before), name=f"transfer to {before.target}")
            going_on.add_done_callback(_report)
            self._resumed = before.target, going_on

    async def resumed_transfer(self, name: str) -> Steered | None:
        """How the transfer to the target called ``name`` went that another process had begun; None when there
        is none that goes on. Raises as `transfer`; cancelling changes nothing."""
        self.resume()  # whoever asks may be earlier than the conversation
        if self._resumed is None or self._resumed[0] != name:
            return None
        return await asyncio.shield(self._resumed[1])

    def note(self, kind: str, **data: object) -> None:
        """Write into the record of the call; see `CallJournal.note`."""
        self._controls.note(kind, **data)

    def hang_up(self, detail: str, *, politely: bool) -> Steered:
        """End the call: after a goodbye that is heard, or at once."""
        reason = EndReason.HUNG_UP_BY_OPERATOR
        if self._over.is_set():
            return _NO_MORE
        if not politely:
            self._minder.abort(reason, detail)
            self._wake()
            return Steered(done=True, detail="The call is hung up.")
        if self._minder.ending:
            return Steered(done=True, detail="The call was being ended already.")
        self._minder.stop(reason, detail, now=asyncio.get_running_loop().time())
        self._wake()
        return Steered(done=True, detail="The agent says goodbye, and then the call is hung up.")

    async def say(self, words: str) -> Steered:
        """Have the agent say exactly ``words`` as soon as it may speak; returns when that is asked for.
        Cancel-safe as `RealtimeSession.say`."""
        if self._over.is_set() or self._minder.ending:
            return _NO_MORE
        if await ask(self._session.say(words)):
            return Steered(done=True, detail="The agent was given the words to say.")
        return Steered(done=False, detail="The agent could not be asked to speak.")

    async def transfer(self, name: str) -> Steered:
        """Send the caller to the target called ``name``; returns when they have left, or are still there.

        Raises `NotOursError` when the call goes on elsewhere, or broke off. Cancelling gives up as
        `CallControls.transfer` does.
        """
        targets = self._targets()
        target = targets.get(name)
        if target is None:
            known = ", ".join(targets) or "none"
            return Steered(
                done=False, detail=f"The configuration of this call has no target {name!r}: {known}."
            )
        if self._over.is_set() or self._minder.ending:
            return _NO_MORE
        if not self._controls.may_transfer:
            return Steered(done=False, detail="Another transfer of this call is being tried.")
        if self._controls.instead.closed(target) is not None:
            return Steered(done=False, detail=f"Nobody was called: {target.name} is closed now.")
        return await self._until_left(self._send(target))

    async def _go_on(self, before: TransferUnderWay) -> Steered:
        """Go on with what another process has begun. The caller was told of it then, or perhaps not."""
        target = self._targets().get(before.target)
        if target is None:
            self._controls.intend_no_more()
            return Steered(done=False, detail=f"The target {before.target!r} is not to be had any more.")
        is_announced = before.line > 0 or before.asked_at is not None
        return await self._until_left(self._send(target, is_announced=is_announced))

    async def _until_left(self, work: Coroutine[Any, Any, TransferOutcome | None]) -> Steered:
        sending = asyncio.ensure_future(work)
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({sending, over}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and self._session.end is not None:
                await over  # it failed because the session is over; the conversation knows why that is
            if self._over.is_set():
                return self._left()
            outcome = sending.result()
        finally:
            for task in (sending, over):
                task.cancel()
            await asyncio.gather(sending, over, return_exceptions=True)
        if outcome is None:
            return Steered(done=False, detail="Another transfer of this call is being tried.")
        why = outcome.value.replace("_", " ")
        return Steered(done=False, detail=f"The caller is still there: the transfer was {why}.")

    async def _send(self, target: TransferTarget, *, is_announced: bool = False) -> TransferOutcome | None:
        if not is_announced:
            self._controls.intend(target)
            await ask_for_words(self._session, ANNOUNCE.format(label=target.spoken_name))
        if not self._controls.may_transfer:  # the agent began one meanwhile
            return None
        outcome = await self._controls.send(target, by_order=True)
        text = await self._controls.instead.failed(target, outcome)
        await tell_agent(self._session, BY_ORDER + text, respond=True)
        return outcome

    def _left(self) -> Steered:
        if self._ending is None:
            raise NotOursError("The conversation goes on elsewhere, or broke off.")
        transferred = self._ending.reason is EndReason.TRANSFERRED
        return Steered(done=transferred, detail=self._ending.detail or self._ending.reason.value)


def _report(going_on: asyncio.Task[Steered]) -> None:
    """Nobody may have asked how it went."""
    if going_on.cancelled() or (error := going_on.exception()) is None:
        return
    if not isinstance(error, NotOursError):
        logger.error("A transfer could not be gone on with by a defect of ours", exc_info=error)


_NO_MORE = Steered(done=False, detail="The call is being ended, or is over.")
