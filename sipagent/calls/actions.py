"""The tools by which an agent acts on the telephone call itself: hang up, transfer.

They are made once for each agent; what belongs to one call reaches them through the tool's context, a
`CallContext`. Functions that operators write get the same context.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sipagent.calls.profile import CallTool, TransferTarget
from sipagent.identifiers import CallId
from sipagent.realtime import FunctionTool, ToolContext


class CallControls(Protocol):
    """What a tool may do with its call."""

    async def finish_speaking(self) -> None:
        """Return when what the agent has said was heard to its end, or after a bound. Cancel safe."""

    async def transfer(self, target: TransferTarget) -> str:
        """Send the caller to ``target``; returns only when that failed, with what to tell the agent.

        Raises nothing of its own; on success the call ends, and with it the task that waits here.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What tools and dynamic instructions know of the call they serve; ``ToolContext.context``."""

    call_id: CallId
    caller: str | None
    dialled: str | None
    sip_headers: tuple[tuple[str, str], ...]
    controls: CallControls
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the names of templates stand for in this call, those without a value left out; SIP headers in
    lower case: ``sip.x-customer``. Strangers may have chosen some of the values; all are on one line."""


def call_tools(tools: Sequence[CallTool], targets: Sequence[TransferTarget]) -> list[FunctionTool]:
    """The function tools for ``tools``; a transfer may go to ``targets`` and nowhere else."""
    made: list[FunctionTool] = []
    for tool in tools:
        match tool:
            case CallTool.HANG_UP:
                made.append(_hang_up_tool())
            case CallTool.TRANSFER:
                made.append(_transfer_tool(targets))
    return made


def _hang_up_tool() -> FunctionTool:
    async def hang_up(context: ToolContext[Any], arguments: str) -> str:
        await _controls(context).finish_speaking()
        return "The call ends now."

    return FunctionTool(
        name=CallTool.HANG_UP.value,
        description=(
            "End the telephone call. Say goodbye in the same turn, before using this; "
            "use it only when the caller needs nothing more."
        ),
        params_json_schema={
            "type": "object",
            "properties": {},
            "required": [],
            "additionalProperties": False,
        },
        on_invoke_tool=hang_up,
        starts_response=False,
    )


def _transfer_tool(targets: Sequence[TransferTarget]) -> FunctionTool:
    by_name = {target.name: target for target in targets}

    async def transfer(context: ToolContext[Any], arguments: str) -> str:
        target = _chosen_target(arguments, by_name)
        if target is None:
            return (
                "Nobody was called: there is no such target. Choose one of: "
                f"{', '.join(sorted(by_name))}. Tell the caller the truth."
            )
        return await _controls(context).transfer(target)

    listing = "; ".join(f"{target.name} ({target.description})" for target in targets)
    return FunctionTool(
        name=CallTool.TRANSFER.value,
        description=(
            "Connect the caller to somebody else, after telling them so. "
            f"Never promise a transfer without using this. Targets: {listing}."
        ),
        params_json_schema={
            "type": "object",
            "properties": {
                "target": {"type": "string", "enum": sorted(by_name), "description": "Whom to connect to."}
            },
            "required": ["target"],
            "additionalProperties": False,
        },
        on_invoke_tool=transfer,
        # The transfer has its own bounds, all well below this one.
        timeout_s=120.0,
    )


def _chosen_target(arguments: str, by_name: dict[str, TransferTarget]) -> TransferTarget | None:
    try:
        name = json.loads(arguments)["target"]
    except (ValueError, LookupError, TypeError):
        return None
    return by_name.get(name) if isinstance(name, str) else None


def _controls(context: ToolContext[Any]) -> CallControls:
    call = context.context
    assert isinstance(call, CallContext), "call tools run inside a telephone call only"
    return call.controls
