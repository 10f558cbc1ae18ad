"""Tool calls that wait until somebody says yes or no.

Each one that needs it is announced once and then waits without a deadline; only its own task waits, so the
conversation and every other tool go on meanwhile. It is decided once: what comes later, or names a call that
nobody knows, changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from sipagent.identifiers import ToolCallId
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.tools import FunctionTool, ToolContext, ToolResult
from sipagent.realtime.user_code import call_user_code

logger = logging.getLogger(__name__)

NOT_APPROVED = "Tool execution was not approved."
"""What the model hears of a rejection that gives no words of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolErrorFormatterArgs:
    """What a tool error formatter is given."""

    kind: Literal["approval_rejected"]
    tool_type: Literal["function"]
    tool_name: str
    call_id: str
    default_message: str
    run_context: RunContextWrapper[Any]


ToolErrorFormatter = Callable[[ToolErrorFormatterArgs], str | None | Awaitable[str | None]]
"""Writes what the model hears of a rejected call; None leaves the default. A plain one runs in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was said about a call."""

    approved: bool
    rejection_message: str | None = None


class Approvals:
    """The calls of one session that wait, and what was decided for good."""

    def __init__(self, formatter: ToolErrorFormatter | None = None) -> None:
        self._formatter = formatter
        self._waiting: dict[ToolCallId, tuple[FunctionTool, asyncio.Future[Decision]]] = {}
        self._for_good: list[tuple[FunctionTool, Decision]] = []
        """Tools by identity: another agent's tool of the same name was never talked about."""

    def decide(self, call_id: str, decision: Decision, *, always: bool) -> None:
        """Let a call go, one way or the other; ``always`` decides every later call of its tool too.

        Nothing happens when no such call waits.
        """
        tool, future = self._waiting.pop(ToolCallId(call_id), (None, None))
        if tool is None or future is None:
            return
        if always and self._decided(tool) is None:
            self._for_good.append((tool, decision))
        if not future.done():
            future.set_result(decision)

    async def refusal(
        self, tool: FunctionTool, context: ToolContext[Any], announce: Callable[[], Awaitable[None]]
    ) -> ToolResult | None:
        """The answer to give instead of running ``tool``; None when it may run.

        ``announce`` is called when the call waits for a decision. Cancel-safe: a call whose task is
        cancelled waits no more.
        """
        if tool.needs_approval is False or not await _needs_approval(tool, context):
            return None
        decision = self._decided(tool)
        if decision is None:
            decision = await self._wait(tool, ToolCallId(context.tool_call_id), announce)
        if decision.approved:
            return None
        text = decision.rejection_message
        if text is None:
            text = await self._rejection_text(tool, context)
        return ToolResult(output=text, text=text, is_error=True)

    async def _wait(
        self, tool: FunctionTool, call_id: ToolCallId, announce: Callable[[], Awaitable[None]]
    ) -> Decision:
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        # Before it is announced: whoever hears of it may decide at once.
        self._waiting[call_id] = (tool, future)
        try:
            await announce()
            return await future
        finally:
            self._waiting.pop(call_id, None)

    def _decided(self, tool: FunctionTool) -> Decision | None:
        return next((decision for known, decision in self._for_good if known is tool), None)

    async def _rejection_text(self, tool: FunctionTool, context: ToolContext[Any]) -> str:
        if self._formatter is None:
            return NOT_APPROVED
        about = ToolErrorFormatterArgs(
            kind="approval_rejected",
            tool_type="function",
            tool_name=tool.name,
            call_id=context.tool_call_id,
            default_message=NOT_APPROVED,
            run_context=context,
        )
        try:
            text = await call_user_code(self._formatter, about)
        except Exception as error:  # noqa: BLE001 - code that users wrote
            logger.warning("the tool error formatter failed: %s", type(error).__name__)
            return NOT_APPROVED
        return text if isinstance(text, str) else NOT_APPROVED


async def _needs_approval(tool: FunctionTool, context: ToolContext[Any]) -> bool:
    """Whether this call needs one. Where that cannot be found out, it does."""
    wanted = tool.needs_approval
    if isinstance(wanted, bool):
        return wanted
    try:
        arguments = json.loads(context.tool_arguments or "{}")
        if not isinstance(arguments, dict):
            raise TypeError("the arguments are no JSON object")
        return bool(await call_user_code(wanted, context, arguments, context.tool_call_id))
    except Exception as error:  # noqa: BLE001 - what the model wrote, and code that users wrote
        logger.warning("tool %s needs approval: it could not be asked (%s)", tool.name, type(error).__name__)
        return True
