"""The agent that leads a conversation: its name, its instructions, its tools."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NotRequired, TypedDict

from sipagent.realtime.guardrails import InputGuardrail, OutputGuardrail
from sipagent.realtime.handoffs import Handoff, realtime_handoff
from sipagent.realtime.hosted_mcp import HostedMCPTool
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

    Raises `TypeError` when ``name``, ``tools``, ``instructions`` or ``handoffs`` have another type than
    stated.
    """

    name: str
    handoff_description: str | None = None
    """For other agents: what this one is for."""
    # A list; as a sequence, a list of functions alone is one of these to a type checker too.
    tools: Sequence[FunctionTool | HostedMCPTool] = field(default_factory=list)
    """A list of what is called here and what the API calls itself."""
    instructions: str | Instructions | None = None
    prompt: Prompt | None = None
    handoffs: list[RealtimeAgent[Any] | Handoff[Any, Any]] = field(default_factory=list)
    """Agents that this one may hand the conversation to, as they are or made with `realtime_handoff`."""
    output_guardrails: list[OutputGuardrail[TContext]] = field(default_factory=list)
    """Look at what this agent says, beside those of the run configuration."""
    input_guardrails: list[InputGuardrail[TContext]] = field(default_factory=list)
    """Look at what the caller says while this agent leads, beside those of the run configuration."""
    hooks: RealtimeAgentHooks[TContext] | None = None
    """Called for what happens while this agent leads."""

    def __post_init__(self) -> None:
        # Checked here because a mistake would otherwise surface in the middle of a phone call.
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a str, not {type(self.name).__name__}")
        if not isinstance(self.tools, list):
            raise TypeError(f"tools must be a list, not {type(self.tools).__name__}")
        if not isinstance(self.handoffs, list):
            raise TypeError(f"handoffs must be a list, not {type(self.handoffs).__name__}")
        for each in self.handoffs:
            if not isinstance(each, RealtimeAgent | Handoff):
                raise TypeError(f"handoffs must be agents or handoffs, not {type(each).__name__}")
        for name, kind in (("output_guardrails", OutputGuardrail), ("input_guardrails", InputGuardrail)):
            given = getattr(self, name)
            if not isinstance(given, list) or not all(isinstance(each, kind) for each in given):
                raise TypeError(f"{name} must be a list of {kind.__name__}, not {given!r}")
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
        Cancel-safe: cancelling cancels the callable.
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
        """The function tools enabled now, in order. Raises what ``is_enabled`` raises. Cancel-safe."""
        functions = [tool for tool in self.tools if not isinstance(tool, HostedMCPTool)]
        return [tool for tool in functions if await tool.enabled(context, self)]

    async def get_hosted_tools(self, context: RunContextWrapper[TContext]) -> list[HostedMCPTool]:
        """The hosted tools that are enabled now, in order. Raises what ``is_enabled`` raises. Cancel-safe."""
        hosted = [tool for tool in self.tools if isinstance(tool, HostedMCPTool)]
        return [tool for tool in hosted if await tool.enabled(context, self)]

    async def get_all_handoffs(self, context: RunContextWrapper[TContext]) -> list[Handoff[Any, Any]]:
        """The handoffs that are enabled now, in order. Raises what ``is_enabled`` raises. Cancel-safe."""
        ways = [each if isinstance(each, Handoff) else realtime_handoff(each) for each in self.handoffs]
        return [each for each in ways if await each.enabled(context, self)]


class RealtimeAgentHooks(Generic[TContext]):
    """What one agent's user wants to be told; override what is of interest.

    Hooks are called in order and one at a time, beside the conversation: nothing waits for them. One that
    raises is logged.
    """

    async def on_start(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any]) -> None:
        """``agent`` began a turn."""

    async def on_end(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], output: Any
    ) -> None:
        """``agent`` ended the turn that it began; ``output`` is the text of what it said, as far as known."""

    async def on_handoff(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], source: RealtimeAgent[Any]
    ) -> None:
        """``agent``, which these hooks belong to, took over from ``source``."""

    async def on_tool_start(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: FunctionTool
    ) -> None:
        """A tool of ``agent`` starts to run; ``context`` is its `ToolContext`."""

    async def on_tool_end(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: FunctionTool, result: Any
    ) -> None:
        """A tool of ``agent`` has run; ``result`` is what it returned, or the sentence for its failure."""
