"""What whoever watches a chat is told, as plain values: see `sipagent.calls.chat`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from sipagent.identifiers import ItemId
from sipagent.realtime import (
    AssistantMessageItem,
    RealtimeItem,
    RealtimeMcpApprovalRequestItem,
    RealtimeMcpApprovalResponseItem,
    RealtimeMcpCallItem,
    RealtimeMcpListToolsItem,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserMessageItem,
)
from sipagent.realtime.items import text_of
from sipagent.realtime.session_events import RealtimeResponseEnded

_SPEAKERS: Mapping[str, Literal["you", "agent", "system"]] = {
    "user": "you",
    "assistant": "agent",
    "system": "system",
}


class ChatView(Protocol):
    """Sees what happens in a chat. Methods that do not wait return quickly; none raises."""

    def said(self, agent: str, words: str) -> None:
        """``agent`` writes a few more words of a line."""

    def line(self, agent: str, text: str, *, interrupted: bool) -> None:
        """A line of ``agent`` is over, and reads ``text``; its words were told before, as they came."""

    def tool_started(self, name: str, arguments: str) -> None:
        """A tool starts to run; ``arguments`` as the model wrote them, JSON."""

    def tool_ended(
        self, name: str, arguments: str, output: str, *, is_error: bool, duration_ms: float
    ) -> None:
        """A tool has run; ``output`` is what the model was told."""

    def handed_off(self, from_agent: str, to_agent: str) -> None:
        """``to_agent`` leads from now on."""

    def guardrail_tripped(self, guardrail: str, words: str) -> None:
        """A guardrail stopped the answer after, or because of, ``words``."""

    def failed(self, message: str) -> None:
        """Something went wrong, in one sentence; the conversation goes on."""

    async def approve(self, name: str, arguments: str) -> bool:
        """Whether a tool that needs an approval may run. Cancelled when the chat ends meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLine:
    """One entry of the conversation so far."""

    speaker: Literal["you", "agent", "tool", "system"]
    text: str
    interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAgent:
    """Who leads a chat."""

    name: str
    model: str
    tools: tuple[str, ...]
    handoffs: tuple[str, ...]
    """The agents that it may hand the conversation to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatEnd:
    """Why a chat is over: the agent used its tool to hang up, or the connection has ended."""

    cause: Literal["hung_up", "disconnected"]
    detail: str


class AgentLines:
    """The lines of the agent that are being written, each told to its end once."""

    def __init__(self, view: ChatView) -> None:
        self._view = view
        self._open: dict[ItemId, tuple[str, str]] = {}
        """Agent and words of each line that is not over."""
        self._told: set[ItemId] = set()

    def grow(self, item_id: ItemId, agent: str, words: str) -> None:
        """A few more words; whoever began the line keeps it."""
        agent, known = self._open.get(item_id, (agent, ""))
        self._open[item_id] = (agent, known + words)
        self._view.said(agent, words)

    def read(self, item_id: ItemId, agent: str, text: str, *, final: bool) -> None:
        """The line reads ``text`` now."""
        if item_id in self._told:
            return
        agent, _ = self._open.get(item_id, (agent, ""))
        if final:
            self._tell(item_id, agent, text, interrupted=False)
        else:
            self._open[item_id] = (agent, text)

    def finish(self, *, interrupted: bool) -> None:
        """Nothing is added to any line."""
        for item_id, (agent, text) in tuple(self._open.items()):
            self._tell(item_id, agent, text.strip(), interrupted=interrupted)

    def _tell(self, item_id: ItemId, agent: str, text: str, *, interrupted: bool) -> None:
        self._told.add(item_id)
        self._open.pop(item_id, None)
        self._view.line(agent, text, interrupted=interrupted)


def as_line(item: RealtimeItem) -> ChatLine:
    """An item of the history as people read it."""
    match item:
        case RealtimeToolCallItem():
            output = "not finished" if item.output is None else item.output
            return ChatLine(speaker="tool", text=f"{item.name}({item.arguments}) → {output}")
        case RealtimeMcpCallItem():
            error = None if item.error is None else item.error.message
            came = item.output or error or ("not finished" if item.status == "in_progress" else "nothing")
            return ChatLine(speaker="tool", text=f"{_hosted(item)} → {came}")
        case RealtimeMcpListToolsItem():
            names = ", ".join(tool.name for tool in item.tools) or "none"
            return ChatLine(speaker="tool", text=f"{item.server_label} offers: {names}")
        case RealtimeMcpApprovalRequestItem():
            return ChatLine(speaker="tool", text=f"{_hosted(item)} asks for approval")
        case RealtimeMcpApprovalResponseItem():
            reason = f": {item.reason}" if item.reason else ""
            return ChatLine(speaker="tool", text=f"{'approved' if item.approve else 'refused'}{reason}")
        case SystemMessageItem() | UserMessageItem() | AssistantMessageItem():
            interrupted = item.role == "assistant" and (item.interrupted or item.status == "incomplete")
            return ChatLine(speaker=_SPEAKERS[item.role], text=text_of(item), interrupted=interrupted)


def _hosted(item: RealtimeMcpCallItem | RealtimeMcpApprovalRequestItem) -> str:
    return f"{item.server_label}.{item.name}({item.arguments})"


def problem_of(event: RealtimeResponseEnded) -> str | None:
    """What was wrong with an answer; None for a good one, and for one that was cut off."""
    match event.status:
        case "failed":
            return f"The answer failed: {event.error_message or event.reason or 'no reason was given'}"
        case "incomplete":
            return f"The answer is incomplete: {event.reason or 'no reason was given'}"
        case "completed" | "cancelled" | "unknown":
            return None


def sentence(error: object) -> str:
    """What a server's error object, or an exception, says."""
    if isinstance(error, Mapping):
        return str(error.get("message") or error.get("code") or error.get("type") or "unknown error")
    return f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
