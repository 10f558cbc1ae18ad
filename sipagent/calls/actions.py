"""The tools by which an agent acts on the telephone call itself: hang up, transfer.

They are made once for each agent; what belongs to one call reaches them through the tool's context, a
`CallContext`. Functions that operators write get the same context.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sipagent.calls.context import call_of
from sipagent.calls.profile import CallTool, TransferTarget
from sipagent.realtime import FunctionTool, ToolContext

LONGEST_CONFIRM_S = 30.0
"""Stands for the time that every call gives, where a target has none of its own."""
BRIEFED_S = 90.0
"""How long somebody who was called first may listen, and decide."""
LONGEST_BRIEFING = 500
"""In characters: half a minute of speech."""
BESIDE_CONFIRM_S = 60.0
"""What else one address may take."""


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
        await call_of(context).controls.finish_speaking()
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
        return await call_of(context).controls.transfer(target, _briefing(arguments))

    properties: dict[str, Any] = {
        "target": {"type": "string", "enum": sorted(by_name), "description": "Whom to connect to."}
    }
    if any(target.way == "warm" for target in targets):
        properties["briefing"] = {
            "type": "string",
            "maxLength": LONGEST_BRIEFING,
            "description": "For whoever takes the call, who hears it first: who calls and what they need, in "
            "one or two sentences.",
        }
    listing = "; ".join(_described(target) for target in targets)
    return FunctionTool(
        name=CallTool.TRANSFER.value,
        description=(
            "Connect the caller to somebody else, after telling them so. "
            f"Never promise a transfer without using this. Targets: {listing}."
        ),
        params_json_schema={
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
        on_invoke_tool=transfer,
        timeout_s=max(_longest_transfer_s(target) for target in targets) if targets else None,
    )


def _described(target: TransferTarget) -> str:
    about = [words for words in (target.label, target.description) if words]
    return f"{target.name} ({': '.join(about)})" if about else target.name


def _longest_transfer_s(target: TransferTarget) -> float:
    """Beyond the sum of a transfer's own bounds: words that are waited for, a REFER with its retries, and the
    wait for its proof, for each address."""
    confirm_s = LONGEST_CONFIRM_S if target.confirm_s is None else target.confirm_s
    briefed_s = BRIEFED_S if target.way == "warm" else 0.0
    return max(120.0, len(target.uris) * (BESIDE_CONFIRM_S + confirm_s + briefed_s))


def _briefing(arguments: str) -> str:
    try:
        text = json.loads(arguments).get("briefing", "")
    except (ValueError, AttributeError):
        return ""
    return " ".join(text.split())[:LONGEST_BRIEFING] if isinstance(text, str) else ""


def _chosen_target(arguments: str, by_name: dict[str, TransferTarget]) -> TransferTarget | None:
    try:
        name = json.loads(arguments)["target"]
    except (ValueError, LookupError, TypeError):
        return None
    return by_name.get(name) if isinstance(name, str) else None
