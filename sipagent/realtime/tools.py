"""Function tools: Python functions that the model may call during a conversation.

A tool that fails, times out, is unknown or is given arguments that do not fit never ends a session: its
failure becomes an answer the model can hear about (`run_tool`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import pydantic

from sipagent.errors import ModelBehaviorError, ToolTimeoutError, UserError
from sipagent.realtime.run_context import RunContextWrapper, TContext
from sipagent.realtime.threads import run_in_thread
from sipagent.realtime.tool_schema import FunctionSchema, function_schema

if TYPE_CHECKING:  # they look at what is made here
    from sipagent.realtime.tool_guardrails import ToolInputGuardrail, ToolOutputGuardrail

logger = logging.getLogger(__name__)

TOOL_FAILED = "An error occurred while running the tool. Please try again."
"""What the model hears of a failure; the exception itself is for the log, it may hold secrets."""


@dataclass(slots=True, kw_only=True)
class ToolContext(RunContextWrapper[TContext]):
    """What a tool is given: the user's context and usage, and which call of the model it answers."""

    tool_name: str
    tool_call_id: str
    tool_arguments: str
    """JSON, as the model wrote it."""


ToolErrorFunction = Callable[[RunContextWrapper[Any], Exception], str | Awaitable[str]]
"""Writes what the model hears when a tool raised."""

ToolEnabled = bool | Callable[[RunContextWrapper[Any], Any], bool | Awaitable[bool]]
"""Whether a tool is offered; a callable is given the context and the agent."""

ToolApproval = bool | Callable[[RunContextWrapper[Any], dict[str, Any], str], bool | Awaitable[bool]]
"""Whether a call waits for `RealtimeSession.approve_tool_call`; a callable is given the context, the
arguments and the call id. It is not asked, and the call waits, when the arguments are no JSON object."""


DocstringStyle = Literal["google", "numpy", "sphinx"]
"""How docstrings describe parameters; all three are understood without being named."""

TimeoutBehavior = Literal["error_as_result", "raise_exception"]
"""What the Agents SDK does of a deadline that passed. Here the model is told both times: a call goes on."""


def default_tool_error_function(context: RunContextWrapper[Any], error: Exception) -> str:
    """A fixed sentence, or the numbers of a deadline that passed; never the text of the exception."""
    if isinstance(error, ToolTimeoutError):
        return f"Tool '{error.tool_name}' timed out after {error.timeout_s:g} seconds."
    if isinstance(error, ModelBehaviorError):
        return str(error)
    return TOOL_FAILED


@dataclass(slots=True)
class FunctionTool:
    """A tool as the model and the session see it.

    ``on_invoke_tool`` gets the context and the model's arguments as JSON text, and returns what the model
    is told: a str as it is, anything else as JSON where possible, else as ``str()`` writes it.

    Raises `UserError` for an empty name, a deadline that is not above 0, and guardrails or approvals that are
    none.
    """

    name: str
    description: str
    params_json_schema: dict[str, Any]
    on_invoke_tool: Callable[[ToolContext[Any], str], Awaitable[Any]]
    strict_json_schema: bool = True
    is_enabled: ToolEnabled = True
    timeout_s: float | None = None
    """Seconds after which the tool is cancelled and the model told so; None waits for ever."""
    failure_error_function: ToolErrorFunction | None = default_tool_error_function
    """None means the fixed sentence of the default, since no failure may end a call."""
    starts_response: bool = True
    """False: nothing is said after this tool; no response is asked for once its output is sent."""
    needs_approval: ToolApproval = False
    tool_input_guardrails: Sequence[ToolInputGuardrail[Any]] | None = None
    """Asked in their order before the tool runs."""
    tool_output_guardrails: Sequence[ToolOutputGuardrail[Any]] | None = None
    """Asked in their order before the model hears what the tool gave."""

    def __post_init__(self) -> None:
        if not self.name:
            raise UserError("a tool needs a name")
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise UserError(f"tool {self.name!r}: timeout_s must be above 0, not {self.timeout_s}")
        for guardrails in (self.tool_input_guardrails, self.tool_output_guardrails):
            if guardrails is not None and (
                not isinstance(guardrails, list | tuple)
                or not all(callable(getattr(each, "run", None)) for each in guardrails)
            ):
                raise UserError(f"tool {self.name!r}: its guardrails must be a list of tool guardrails")
        if not (isinstance(self.needs_approval, bool) or callable(self.needs_approval)):
            raise UserError(f"tool {self.name!r}: needs_approval must be a bool or a callable")

    async def enabled(self, context: RunContextWrapper[Any], agent: Any) -> bool:
        """Whether the tool is offered to the model now. Raises what ``is_enabled`` raises. Cancel-safe."""
        if isinstance(self.is_enabled, bool):
            return self.is_enabled
        answer = self.is_enabled(context, agent)
        return await answer if inspect.isawaitable(answer) else answer


# Running --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """How one run of a tool went."""

    output: Any
    """What the tool returned, or the sentence that stands for its failure."""
    text: str
    """What the model is told."""
    is_error: bool
    error: Mapping[str, Any] | None = None
    """What whoever listens is told besides, as the ``error`` of `RealtimeError`."""


async def run_tool(
    tool: FunctionTool, context: ToolContext[Any], arguments_json: str, *, agent: Any = None
) -> ToolResult:
    """Run ``tool`` under its deadline and turn every failure into an answer; raises nothing of its own.

    Whether the tool is enabled for ``agent`` is asked once more: it may have changed since it was offered.
    Cancel-safe: cancelling cancels the tool. A tool in a thread cannot be stopped; its result is dropped.
    """
    deadline = asyncio.timeout(tool.timeout_s)
    try:
        async with deadline:
            if not await tool.enabled(context, agent):
                raise ModelBehaviorError(f"Tool '{tool.name}' is not available now.")
            output = await tool.on_invoke_tool(context, arguments_json)
        return ToolResult(output=output, text=output_text(output), is_error=False)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled us: something that the tool waited for was cancelled, which is its failure.
        failure: Exception = RuntimeError(f"cancelled from within: {error!r}")
    except SystemExit as error:
        # It would end the process, and every other call with it.
        failure = RuntimeError(f"the tool raised {error!r}")
    except Exception as error:  # noqa: BLE001 - code that users wrote; a failure becomes an answer
        failure = error
    if deadline.expired() and tool.timeout_s is not None:
        # Whatever the tool made of its cancellation.
        failure = ToolTimeoutError(tool_name=tool.name, timeout_s=tool.timeout_s)
    text = await _failure_text(tool, context, failure)
    return ToolResult(output=text, text=text, is_error=True)


def output_text(output: Any) -> str:
    """What the model is told of ``output``: text as it is, else JSON with non-ASCII kept, else ``str()``."""
    if isinstance(output, str):
        return output
    if isinstance(output, pydantic.BaseModel):
        return output.model_dump_json()
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        output = dataclasses.asdict(output)
    try:
        return json.dumps(output, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(output)


async def _failure_text(tool: FunctionTool, context: ToolContext[Any], error: Exception) -> str:
    # The type alone by default: an exception's text may hold what the caller said.
    logger.warning("tool %s failed: %s", tool.name, type(error).__name__)
    logger.debug("tool %s failed", tool.name, exc_info=error)
    if tool.failure_error_function is None:
        return default_tool_error_function(context, error)
    try:
        text = tool.failure_error_function(context, error)
        if inspect.isawaitable(text):
            text = await text
        return str(text)
    except Exception as second:  # noqa: BLE001 - code that users wrote
        logger.warning("the error function of tool %s failed: %s", tool.name, type(second).__name__)
        return TOOL_FAILED


# Making one from a function -------------------------------------------------------------------------

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


@overload
def function_tool(
    func: Callable[..., Any],
    *,
    name_override: str | None = None,
    description_override: str | None = None,
    docstring_style: DocstringStyle | None = None,
    use_docstring_info: bool = True,
    failure_error_function: ToolErrorFunction | None = default_tool_error_function,
    strict_mode: bool = True,
    is_enabled: ToolEnabled = True,
    timeout: float | None = None,
    timeout_s: float | None = None,
    timeout_behavior: TimeoutBehavior = "error_as_result",
    timeout_error_function: ToolErrorFunction | None = None,
    starts_response: bool = True,
    needs_approval: ToolApproval = False,
    tool_input_guardrails: Sequence[ToolInputGuardrail[Any]] | None = None,
    tool_output_guardrails: Sequence[ToolOutputGuardrail[Any]] | None = None,
) -> FunctionTool: ...


@overload
def function_tool(
    *,
    name_override: str | None = None,
    description_override: str | None = None,
    docstring_style: DocstringStyle | None = None,
    use_docstring_info: bool = True,
    failure_error_function: ToolErrorFunction | None = default_tool_error_function,
    strict_mode: bool = True,
    is_enabled: ToolEnabled = True,
    timeout: float | None = None,
    timeout_s: float | None = None,
    timeout_behavior: TimeoutBehavior = "error_as_result",
    timeout_error_function: ToolErrorFunction | None = None,
    starts_response: bool = True,
    needs_approval: ToolApproval = False,
    tool_input_guardrails: Sequence[ToolInputGuardrail[Any]] | None = None,
    tool_output_guardrails: Sequence[ToolOutputGuardrail[Any]] | None = None,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...


def function_tool(
    func: Callable[..., Any] | None = None,
    *,
    name_override: str | None = None,
    description_override: str | None = None,
    docstring_style: DocstringStyle | None = None,
    use_docstring_info: bool = True,
    failure_error_function: ToolErrorFunction | None = default_tool_error_function,
    strict_mode: bool = True,
    is_enabled: ToolEnabled = True,
    timeout: float | None = None,
    timeout_s: float | None = None,
    timeout_behavior: TimeoutBehavior = "error_as_result",
    timeout_error_function: ToolErrorFunction | None = None,
    starts_response: bool = True,
    needs_approval: ToolApproval = False,
    tool_input_guardrails: Sequence[ToolInputGuardrail[Any]] | None = None,
    tool_output_guardrails: Sequence[ToolOutputGuardrail[Any]] | None = None,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of a function, with or without parentheses.

    Name, description and JSON schema come from the signature and the docstring. A first parameter
    annotated `ToolContext` or `RunContextWrapper` receives the context and is not shown to the model. An
    ``async def`` runs on the event loop; a plain ``def`` runs in a thread of its own. ``timeout`` and
    ``timeout_s`` are the same deadline in seconds; ``timeout_error_function`` writes what the model hears
    when it passed, in place of ``failure_error_function``. ``docstring_style`` and ``timeout_behavior`` are
    taken and change nothing: see `DocstringStyle` and `TimeoutBehavior`.

    Raises `UserError` for a signature that cannot be described, or for two different deadlines.
    """
    if timeout is not None and timeout_s is not None and timeout != timeout_s:
        raise UserError(f"timeout={timeout} and timeout_s={timeout_s} contradict each other; give one")
    deadline_s = timeout if timeout is not None else timeout_s

    def make(function: Callable[..., Any]) -> FunctionTool:
        schema = function_schema(
            function,
            name=name_override,
            description=description_override,
            use_docstring_info=use_docstring_info,
            strict=strict_mode,
            context_types=(RunContextWrapper, ToolContext),
        )
        return FunctionTool(
            name=schema.name,
            description=schema.description,
            params_json_schema=schema.params_json_schema,
            on_invoke_tool=_invoker(function, schema),
            strict_json_schema=strict_mode,
            is_enabled=is_enabled,
            timeout_s=deadline_s,
            failure_error_function=_by_kind(failure_error_function, timeout_error_function),
            starts_response=starts_response,
            needs_approval=needs_approval,
            tool_input_guardrails=tool_input_guardrails,
            tool_output_guardrails=tool_output_guardrails,
        )

    return make if func is None else make(func)


def _by_kind(
    failed: ToolErrorFunction | None, timed_out: ToolErrorFunction | None
) -> ToolErrorFunction | None:
    if timed_out is None:
        return failed
    otherwise = failed or default_tool_error_function

    def say(context: RunContextWrapper[Any], error: Exception) -> str | Awaitable[str]:
        return (timed_out if isinstance(error, ToolTimeoutError) else otherwise)(context, error)

    return say


def _invoker(
    function: Callable[..., Any], schema: FunctionSchema
) -> Callable[[ToolContext[Any], str], Awaitable[Any]]:
    on_loop = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    )

    async def invoke(context: ToolContext[Any], arguments_json: str) -> Any:
        positional, named = schema.bind(arguments_json)
        if schema.takes_context:
            positional = [context, *positional]
        if on_loop:
            return await function(*positional, **named)
        result = await run_in_thread(function, *positional, **named)
        # A plain function may still hand back an awaitable, such as a partial of a coroutine function.
        return await result if inspect.isawaitable(result) else result

    return invoke
