"""A telephone call for tools that are tried without one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sipagent.calls import CallContext, CallControls, TransferTarget
from sipagent.identifiers import CallId
from sipagent.realtime import ToolContext


@dataclass
class Controls:
    """Notes what tools ask for, in order."""

    asked: list[str] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    updates: list[Mapping[str, Any]] = field(default_factory=list)
    agent_is_busy: bool = False
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    """Until it is set, `finish_speaking` waits while the agent is busy."""

    async def finish_speaking(self) -> None:
        self.asked.append("finish speaking")
        if self.agent_is_busy:
            await self.silent.wait()

    async def transfer(self, target: TransferTarget, briefing: str = "") -> str:
        self.asked.append(target.uris[0])
        return "it did not go through"

    async def speak(self, words: str) -> None:
        self.asked.append(f"speak: {words}")

    async def interrupt(self) -> None:
        self.asked.append("interrupt")

    async def tell(self, text: str) -> None:
        self.asked.append(f"tell: {text}")

    async def update_session(self, changes: Mapping[str, Any]) -> None:
        self.updates.append(changes)

    def note(self, kind: str, **data: Any) -> None:
        self.notes.append((kind, data))


def call(controls: CallControls | None = None, **fields: Any) -> CallContext:
    """A call's context."""
    about: dict[str, Any] = {
        "call_id": CallId("rtc_1"),
        "caller": "+15550100123",
        "dialled": "+15550100001",
        "sip_headers": (),
        "controls": controls or Controls(),
        **fields,
    }
    return CallContext(**about)


def tool_context(
    context: CallContext, name: str, arguments: str, tool_call_id: str = "call_1"
) -> ToolContext[Any]:
    """What a tool is given."""
    return ToolContext(context=context, tool_name=name, tool_call_id=tool_call_id, tool_arguments=arguments)
