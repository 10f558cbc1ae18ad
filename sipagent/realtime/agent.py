"""The agent that leads a conversation: its name, its instructions, its tools."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NotRequired, TypedDict

from sipagent.realtime.guardrails import InputGuardrail, OutputGuardrail
from sipagent.realtime.run_context import RunContextWrapper, TContext
from sipagent.realtime.tools import FunctionTool


class Prompt(TypedDict):
    """A prompt stored at OpenAI, named instead of written out (session field ``prompt``)."""

    id: str
    version: NotRequired[str]
    variables: NotRequired[dict[str, Any]]


Instructions = Callable[[RunContextWrapper[Any], "RealtimeAgent[Any]"], str | Awaitable[str]]
"""A function, or an object with ``__call__``, sync or async, that writes the instructions."""


@dataclass(slots=True)
class RealtimeAgent(Generic[TContext]):
    """Who speaks, as plain data. Model, voice and audio settings belong to the session, not to the agent.

    Raises `TypeError` when ``name``, ``tools`` or ``instructions`` have another type than stated.
    """

    name: str
    handoff_description: str | None = None
    """For other agents: what this one is for."""
    tools: list[FunctionTool] = field(default_factory=list)
    instructions: str | Instructions | None = None
    prompt: Prompt | None = None
    output_guardrails: list[OutputGuardrail[TContext]] = field(default_factory=list)
    """Look at what this agent says, beside those of the run configuration."""
    input_guardrails: list[InputGuardrail[TContext]] = field(default_factory=list)
    """Look at what the caller says while this agent leads, beside those of the run configuration."""

    def __post_init__(self) -> None:
        # Checked here because a mistake would otherwise surface in the middle of a phone call.
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a str, not {type(self.name).__name__}")
        if not isinstance(self.tools, list):
            raise TypeError(f"tools must be a list, not {type(self.tools).__name__}")
        if not (
            self.instructions is None or isinstance(self.instructions, str) or callable(self.instructions)
        ):
            raise TypeError(f"instructions must be a str, a callable or None, not {self.instructions!r}")

    def clone(self, **changes: Any) -> RealtimeAgent[TContext]:
        """A copy with ``changes``; lists that are not replaced are shared with this agent."""
        return dataclasses.replace(self, **changes)

    async def get_system_prompt(self, context: RunContextWrapper[TContext]) -> str | None:
        """The instructions; a callable is called once, and awaited where needed.

        Raises `TypeError` when the callable gives anything but a str, and whatever it raises itself.
        """
        if self.instructions is None or isinstance(self.instructions, str):
            return self.instructions
        written = self.instructions(context, self)
        if inspect.isawaitable(written):
            written = await written
        if not isinstance(written, str):
            raise TypeError(f"instructions of agent {self.name!r} gave {type(written).__name__}, not a str")
        return written

    async def get_all_tools(self, context: RunContextWrapper[TContext]) -> list[FunctionTool]:
        """The tools that are enabled now, in their order."""
        return [tool for tool in self.tools if await tool.enabled(context, self)]
