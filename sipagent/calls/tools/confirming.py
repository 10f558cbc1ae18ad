"""Whether the caller was asked, and has answered, before a tool does something. Pure.

A question goes through five states, each by one thing that happens after the one before::

    asked ─ a response begins ─► heard by the model ─ the agent speaks ─► put
          ─ the caller begins to speak ─► being answered ─ the caller stops ─► answered

A key that is pressed, or a message in writing, is begun and ended at once. So no model can confirm for the
caller: between two calls of its own, the question must have been heard, and something said in reply. What
the reply was, only the model knows; a call with other arguments is another question.
"""

from __future__ import annotations

from typing import Literal

from sipagent.identifiers import ResponseId
from sipagent.realtime import UserMessageItem
from sipagent.realtime.items import text_of
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechStarted,
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeDtmfReceived,
    RealtimeHistoryAdded,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeTranscriptDelta,
)


class Question:
    """One question to the caller, asked for by a call of the model."""

    def __init__(self, key: str, tool_call_id: str) -> None:
        self.key = key
        self.asked_by = {tool_call_id}
        """Calls that were told to ask: none of them can be the one that confirms."""
        self.answered = False
        self._responses: set[ResponseId] = set()
        """Those that have read the question."""
        self._written = False
        self._spoken = False
        self._being_answered = False

    def observe(self, event: RealtimeSessionEvent) -> None:
        """Something happened."""
        match event:
            case RealtimeResponseStarted(response_id=response_id):
                self._responses.add(response_id)
            case RealtimeTranscriptDelta(role="agent") if self._responses:
                self._written = True
            case RealtimeAgentSpeechStarted(response_id=response_id) if response_id in self._responses:
                # On the line nothing counts as asked before it can be heard.
                self._spoken = True
            case RealtimeCallerSpeechStarted() if self._spoken:
                self._being_answered = True
            case RealtimeCallerSpeechStopped() if self._being_answered:
                self.answered = True
            case RealtimeDtmfReceived() if self._spoken:
                self.answered = True
            case RealtimeHistoryAdded(item=UserMessageItem() as item) if self._written and _in_writing(item):
                self.answered = True
            case _:
                pass


Verdict = Literal["confirmed", "ask", "wait"]


class Questions:
    """The questions of one call that are open: one for each tool."""

    def __init__(self) -> None:
        self._open: dict[str, Question] = {}

    def consider(self, tool_name: str, key: str, tool_call_id: str) -> Verdict:
        """A call wants to do what ``key`` names: it may (and the question is closed), or the caller must be
        asked first, or has been asked and has not answered yet."""
        question = self._open.get(tool_name)
        if question is None or question.key != key:
            self._open[tool_name] = Question(key, tool_call_id)
            return "ask"
        if not question.answered or tool_call_id in question.asked_by:
            question.asked_by.add(tool_call_id)
            return "wait"
        del self._open[tool_name]
        return "confirmed"

    def observe(self, event: RealtimeSessionEvent) -> None:
        """Something happened."""
        for question in self._open.values():
            question.observe(event)


def _in_writing(item: UserMessageItem) -> bool:
    return any(part.type == "input_text" for part in item.content) and bool(text_of(item))
