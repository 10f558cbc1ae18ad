"""Tools of MCP servers that the API calls by itself; a call hears of them, and may be asked to approve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sipagent.calls.context import CallContext
from sipagent.calls.tools.ledger import work_key
from sipagent.realtime import HostedMCPTool
from sipagent.realtime.hosted_mcp import MCPToolApprovalFunctionResult, MCPToolApprovalRequest

Approval = Literal["never", "always"]


def make_hosted_tool(
    server_label: str,
    server_url: str,
    *,
    allowed_tools: Sequence[str] | None = None,
    headers: Mapping[str, str] | None = None,
    require_approval: Approval = "never",
    description: str | None = None,
) -> HostedMCPTool:
    """A server whose tools the API calls itself.

    With ``require_approval``, a call is refused until the caller was asked and has said something in reply;
    a call with other arguments is asked about anew. Raises `UserError` for what the API cannot accept.
    """
    config: dict[str, Any] = {
        "type": "mcp",
        "server_label": server_label,
        "server_url": server_url,
        "require_approval": require_approval,
    }
    if allowed_tools is not None:
        config["allowed_tools"] = list(allowed_tools)
    if headers:
        config["headers"] = dict(headers)
    if description:
        config["server_description"] = description
    return HostedMCPTool(
        tool_config=config,
        on_approval_request=_ask_the_caller if require_approval == "always" else None,
        name=server_label,
    )


async def _ask_the_caller(request: MCPToolApprovalRequest) -> MCPToolApprovalFunctionResult:
    call = request.ctx_wrapper.context
    if not isinstance(call, CallContext):
        return {"approve": False, "reason": "Nobody is there to approve it."}
    data = request.data
    name = f"{data.server_label} {data.name}"
    match call.tools.questions.consider(name, work_key(name, data.arguments), data.id):
        case "confirmed":
            return {"approve": True}
        case "ask" | "wait":
            what = json.dumps(data.name, ensure_ascii=False)
            return {
                "approve": False,
                "reason": (
                    f"Nothing has been done yet. Tell the caller what {what} would do, and ask whether you "
                    "shall. Only if they agree, call it again with the same arguments."
                ),
            }
