"""Hooks of a session: what its user wants to be told, whichever agent leads."""

from __future__ import annotations

from typing import Any, Generic

from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.run_context import RunContextWrapper, TContext
from sipagent.realtime.tools import FunctionTool


class RealtimeRunHooks(Generic[TContext]):
    """What the user of a session wants to be told, whichever agent leads; override what is of interest.

    Hooks are called in order and one at a time, beside the conversation: nothing waits for them. One that
    raises is logged.
    """

    async def on_agent_start(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any]) -> None:
        """``agent`` began a turn."""

    async def on_agent_end(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], output: Any
    ) -> None:
        """``agent`` ended the turn that it began; ``output`` is the text of what it said, as far as known."""

    async def on_handoff(
        self,
        context: RunContextWrapper[TContext],
        from_agent: RealtimeAgent[Any],
        to_agent: RealtimeAgent[Any],
    ) -> None:
        """``to_agent`` took over from ``from_agent``."""

    async def on_tool_start(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: FunctionTool
    ) -> None:
        """A tool of ``agent`` starts to run; ``context`` is its `ToolContext`."""

    async def on_tool_end(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: FunctionTool, result: Any
    ) -> None:
        """A tool of ``agent`` has run; ``result`` is what it returned, or the sentence for its failure."""
