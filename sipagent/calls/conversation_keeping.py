"""Keeps, for another process, how far a conversation has come: who leads it, its cost, how it is ending."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from sipagent.calls.checkpoint import Checkpoint, EndingUnderWay
from sipagent.calls.journal import CallJournal
from sipagent.calls.minder import CallMinder, Resumed
from sipagent.calls.tools.state import ToolState
from sipagent.realtime import RealtimeSession
from sipagent.realtime.session_events import (
    RealtimeResponseEnded,
    RealtimeSessionEvent,
    RealtimeToolEnd,
    RealtimeTranscriptionUsage,
)


class SpendingBrake(Protocol):
    """Says when a call costs too much."""

    @property
    def spent(self) -> float:
        """What the call has cost so far."""

    def observe(self, event: RealtimeSessionEvent) -> str | None:
        """Take in one event of the session that tells of usage; why the call must end, as a sentence, or
        None. Never raises."""


def minded(resumed: Checkpoint, now: datetime) -> Resumed:
    """How far the minding of a call had come that was held by another process until ``resumed``."""
    elapsed_s = 0.0
    if resumed.talking_since is not None:
        elapsed_s = max(0.0, (now - resumed.talking_since).total_seconds())
    return Resumed(elapsed_s=elapsed_s, idle_steps=resumed.idle_steps, wrapped_up=resumed.wrapped_up)


class ConversationKeeping:
    """Keeps one conversation's part of the checkpoint, where there is one."""

    def __init__(
        self,
        journal: CallJournal,
        *,
        session: RealtimeSession,
        minder: CallMinder,
        brake: SpendingBrake | None,
        tools: ToolState,
        utc_now: Callable[[], datetime],
    ) -> None:
        self._journal = journal
        self._session = session
        self._minder = minder
        self._brake = brake
        self._tools = tools
        self._utc_now = utc_now

    def begin(self, resumed: Checkpoint | None) -> None:
        """The conversation begins, or goes on since ``resumed``."""
        began = None if resumed is None else resumed.talking_since
        self._journal.keep(agent=self._session.agent.name, talking_since=began or self._utc_now())

    def observe(self, event: RealtimeSessionEvent) -> None:
        """Keep what of ``event`` another process would need."""
        kept = self._journal.kept
        if kept is None:
            return
        changes: dict[str, Any] = {}
        if (name := self._session.agent.name) != kept.agent:
            changes["agent"] = name
        if (steps := self._minder.idle_steps) != kept.idle_steps:
            changes["idle_steps"] = steps
        match event:
            case RealtimeResponseEnded() | RealtimeTranscriptionUsage() if self._brake is not None:
                changes["spent"] = self._brake.spent
            case RealtimeToolEnd():
                changes["typed"] = dict(self._tools.typed)
                changes["language"] = self._tools.language
            case _:
                pass
        if changes:
            self._journal.keep(**changes)

    def acts(self) -> None:
        """Keep what was decided about the end of the call."""
        closing = self._minder.closing
        self._journal.keep(
            idle_steps=self._minder.idle_steps,
            wrapped_up=self._minder.wrapped_up,
            ending=None if closing is None else EndingUnderWay(reason=closing[0], detail=closing[1]),
        )
