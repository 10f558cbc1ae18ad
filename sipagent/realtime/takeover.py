"""Taking over a session that another process has led: what is known of it, and what was found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sipagent.identifiers import ToolCallId
from sipagent.realtime.items import RealtimeItem


class SendPermission(Protocol):
    """Says whether this process may still send to the session, where another may have taken it over."""

    @property
    def held(self) -> bool:
        """Whether it may now. Asked before every command; never waits."""

    async def wait(self) -> None:
        """Return once it may; raises `NotOursError` when it never may again. Cancel-safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingToolCall:
    """A tool call whose output the server may not have been given."""

    tool_call_id: ToolCallId
    name: str
    arguments: str
    """JSON, as the model wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeTakeover:
    """What is known of a session that runs already, and that another process has led until now."""

    history: tuple[RealtimeItem, ...] = ()
    """The conversation as far as it is known, in its order. The server has it: it is told nothing."""
    pending: tuple[PendingToolCall, ...] = ()
    """Tool calls to run again, unless the server has their outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeoverOutcome:
    """What was found out about a session that was taken over."""

    is_empty: bool
    """Whether nothing was said yet: the conversation has no item, and no response runs that is known of."""
    rerun: frozenset[ToolCallId] = frozenset()
    """The tool calls that are run again."""
