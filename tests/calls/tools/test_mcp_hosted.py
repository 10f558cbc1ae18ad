"""Tools of MCP servers that the API asks."""

from __future__ import annotations

from typing import Any

from sipagent.calls.tools.mcp_hosted import make_hosted_tool
from sipagent.realtime import RunContextWrapper
from sipagent.realtime.hosted_mcp import MCPApprovalRequestData, MCPToolApprovalRequest
from tests.calls.controls import call
from tests.calls.tools.using import caller_answers, question_put

SECRET = "s3cret-of-the-shop"


def test_a_hosted_server_is_written_as_the_api_does() -> None:
    tool = make_hosted_tool(
        "shop",
        "https://shop.test/mcp",
        allowed_tools=["price"],
        headers={"Authorization": SECRET},
        description="The shop.",
    )
    assert tool.tool_config == {
        "type": "mcp",
        "server_label": "shop",
        "server_url": "https://shop.test/mcp",
        "require_approval": "never",
        "allowed_tools": ["price"],
        "headers": {"Authorization": SECRET},
        "server_description": "The shop.",
    }
    assert tool.on_approval_request is None
    assert SECRET not in repr(tool)


async def test_a_hosted_tool_that_needs_approval_asks_the_caller() -> None:
    tool = make_hosted_tool("shop", "https://shop.test/mcp", require_approval="always")
    context = call()

    async def asked(number: int, arguments: str = '{"article": "tea"}') -> Any:
        assert tool.on_approval_request is not None
        data = MCPApprovalRequestData(
            id=f"item_{number}", server_label="shop", name="order", arguments=arguments
        )
        answer: Any = tool.on_approval_request(
            MCPToolApprovalRequest(ctx_wrapper=RunContextWrapper(context), data=data)
        )
        return await answer

    first = await asked(1)
    assert first["approve"] is False
    assert "Tell the caller what" in first["reason"]
    assert (await asked(2))["approve"] is False
    question_put(context)
    caller_answers(context)
    assert (await asked(3, '{"article": "cup"}'))["approve"] is False
    question_put(context)
    caller_answers(context)
    assert await asked(4, '{"article": "cup"}') == {"approve": True}
    assert (await asked(5, '{"article": "cup"}'))["approve"] is False
