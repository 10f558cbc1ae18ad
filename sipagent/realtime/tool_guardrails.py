"""Guardrails of a tool: functions that look at a call before the tool runs, and at its output after.

Whatever they decide, the call is answered and the session goes on: ``reject_content`` gives the model a
sentence instead of the output, ``raise_exception`` a fixed one, and tells whoever listens. One that raises
counts as a refusal, since a tool whose check is broken must not act.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypedDict, overload

from sipagent.realtime.run_context import TContext
from sipagent.realtime.tools import FunctionTool, ToolContext, ToolResult, run_tool
from sipagent.realtime.user_code import call_user_code, name_of

logger = logging.getLogger(__name__)

STOPPED_BEFORE = "The tool was not run: a guardrail stopped it."
STOPPED_AFTER = "The tool ran, but a guardrail withheld what it gave."


class AllowBehavior(TypedDict):
    """Go on."""

    type: Literal["allow"]


class RejectContentBehavior(TypedDict):
    """Tell the model ``message`` instead."""

    type: Literal["reject_content"]
    message: str


class RaiseExceptionBehavior(TypedDict):
    """Stop, and tell whoever listens to the session."""

    type: Literal["raise_exception"]


def _allow() -> AllowBehavior:
    return {"type": "allow"}


@dataclass(slots=True)
class ToolGuardrailFunctionOutput:
    """The verdict of a tool's guardrail; made with one of its three class methods."""

    output_info: Any = None
    behavior: AllowBehavior | RejectContentBehavior | RaiseExceptionBehavior = field(default_factory=_allow)

    @classmethod
    def allow(cls, output_info: Any = None) -> ToolGuardrailFunctionOutput:
        """Go on."""
        return cls(output_info=output_info)

    @classmethod
    def reject_content(cls, message: str, output_info: Any = None) -> ToolGuardrailFunctionOutput:
        """Tell the model ``message`` instead of running the tool, or instead of its output."""
        return cls(output_info=output_info, behavior={"type": "reject_content", "message": message})

    @classmethod
    def raise_exception(cls, output_info: Any = None) -> ToolGuardrailFunctionOutput:
        """Stop; the model hears a fixed sentence, and the session tells of an error."""
        return cls(output_info=output_info, behavior={"type": "raise_exception"})


@dataclass(slots=True, kw_only=True)
class ToolInputGuardrailData:
    """What is about to run; ``context`` holds tool, call id and arguments."""

    context: ToolContext[Any]
    agent: Any


@dataclass(slots=True, kw_only=True)
class ToolOutputGuardrailData(ToolInputGuardrailData):
    """What has run, and gave ``output``."""

    output: Any


ToolInputGuardrailFunction = Callable[
    [ToolInputGuardrailData], ToolGuardrailFunctionOutput | Awaitable[ToolGuardrailFunctionOutput]
]
ToolOutputGuardrailFunction = Callable[
    [ToolOutputGuardrailData], ToolGuardrailFunctionOutput | Awaitable[ToolGuardrailFunctionOutput]
]


@dataclass(slots=True, eq=False)
class ToolInputGuardrail(Generic[TContext]):
    """Looks at a call before the tool runs. A plain function runs in a thread."""

    guardrail_function: ToolInputGuardrailFunction
    name: str | None = None

    def get_name(self) -> str:
        """The name given, or that of the function."""
        return self.name or name_of(self.guardrail_function)

    async def run(self, data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        """Ask the guardrail. Raises what it raises, and `TypeError` when it gives no verdict. Cancel-safe."""
        return _verdict(await call_user_code(self.guardrail_function, data))


@dataclass(slots=True, eq=False)
class ToolOutputGuardrail(Generic[TContext]):
    """Looks at what a tool gave. A plain function runs in a thread."""

    guardrail_function: ToolOutputGuardrailFunction
    name: str | None = None

    def get_name(self) -> str:
        """The name given, or that of the function."""
        return self.name or name_of(self.guardrail_function)

    async def run(self, data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
        """Ask the guardrail. Raises what it raises, and `TypeError` when it gives no verdict. Cancel-safe."""
        return _verdict(await call_user_code(self.guardrail_function, data))


@overload
def tool_input_guardrail(func: ToolInputGuardrailFunction) -> ToolInputGuardrail[Any]: ...


@overload
def tool_input_guardrail(
    *, name: str | None = None
) -> Callable[[ToolInputGuardrailFunction], ToolInputGuardrail[Any]]: ...


def tool_input_guardrail(
    func: ToolInputGuardrailFunction | None = None, *, name: str | None = None
) -> ToolInputGuardrail[Any] | Callable[[ToolInputGuardrailFunction], ToolInputGuardrail[Any]]:
    """Make a tool's input guardrail of a function, with or without parentheses."""

    def make(function: ToolInputGuardrailFunction) -> ToolInputGuardrail[Any]:
        return ToolInputGuardrail(guardrail_function=function, name=name)

    return make if func is None else make(func)


@overload
def tool_output_guardrail(func: ToolOutputGuardrailFunction) -> ToolOutputGuardrail[Any]: ...


@overload
def tool_output_guardrail(
    *, name: str | None = None
) -> Callable[[ToolOutputGuardrailFunction], ToolOutputGuardrail[Any]]: ...


def tool_output_guardrail(
    func: ToolOutputGuardrailFunction | None = None, *, name: str | None = None
) -> ToolOutputGuardrail[Any] | Callable[[ToolOutputGuardrailFunction], ToolOutputGuardrail[Any]]:
    """Make a tool's output guardrail of a function, with or without parentheses."""

    def make(function: ToolOutputGuardrailFunction) -> ToolOutputGuardrail[Any]:
        return ToolOutputGuardrail(guardrail_function=function, name=name)

    return make if func is None else make(func)


def _verdict(given: Any) -> ToolGuardrailFunctionOutput:
    if not isinstance(given, ToolGuardrailFunctionOutput):
        raise TypeError(f"a tool guardrail gives a ToolGuardrailFunctionOutput, not {type(given).__name__}")
    if given.behavior["type"] not in ("allow", "reject_content", "raise_exception"):
        raise TypeError(f"a tool guardrail cannot want {given.behavior['type']!r}")
    return given


# Running --------------------------------------------------------------------------------------------


async def run_guarded_tool(
    tool: FunctionTool, context: ToolContext[Any], arguments_json: str, *, agent: Any = None
) -> ToolResult:
    """`run_tool`, between the guardrails of ``tool``; raises nothing of its own. Cancel-safe.

    The guardrails have no part in the tool's deadline. What a tool says of its failure passes the output
    guardrails too.
    """
    if (refused := await check_tool_input(tool, context, agent=agent)) is not None:
        return refused
    result = await run_tool(tool, context, arguments_json, agent=agent)
    if not tool.tool_output_guardrails:
        return result
    data = ToolOutputGuardrailData(context=context, agent=agent, output=result.output)
    return await _refusal(tool, tool.tool_output_guardrails, data, STOPPED_AFTER) or result


async def check_tool_input(
    tool: FunctionTool, context: ToolContext[Any], *, agent: Any = None
) -> ToolResult | None:
    """The answer to give instead of running ``tool``; None when its guardrails let it run. Cancel-safe."""
    if not tool.tool_input_guardrails:
        return None
    data = ToolInputGuardrailData(context=context, agent=agent)
    return await _refusal(tool, tool.tool_input_guardrails, data, STOPPED_BEFORE)


async def _refusal(
    tool: FunctionTool,
    guardrails: Sequence[ToolInputGuardrail[Any]] | Sequence[ToolOutputGuardrail[Any]],
    data: Any,
    stopped: str,
) -> ToolResult | None:
    for guardrail in guardrails:
        try:
            verdict = await guardrail.run(data)
            behavior = verdict.behavior
            match behavior["type"]:
                case "allow":
                    continue
                case "reject_content":
                    message = str(behavior["message"])
                    return ToolResult(output=message, text=message, is_error=True)
                case "raise_exception":
                    name = guardrail.get_name()
                    logger.warning("guardrail %s stopped tool %s", name, tool.name)
                    return ToolResult(
                        output=stopped, text=stopped, is_error=True, error=_alarm(tool, name, verdict)
                    )
        except Exception as error:
            # Code that users wrote; a failure becomes an answer.
            # The type alone: an exception's text may hold what the caller said.
            logger.warning("a guardrail of tool %s failed: %s", tool.name, type(error).__name__)
            logger.debug("a guardrail of tool %s failed", tool.name, exc_info=error)
            return ToolResult(output=stopped, text=stopped, is_error=True)
    return None


def _alarm(tool: FunctionTool, guardrail: str, verdict: ToolGuardrailFunctionOutput) -> dict[str, Any]:
    return {
        "type": "tool_guardrail_tripped",
        "message": f"Guardrail {guardrail!r} stopped a call of tool {tool.name!r}.",
        "tool": tool.name,
        "guardrail": guardrail,
        "output_info": verdict.output_info,
    }
