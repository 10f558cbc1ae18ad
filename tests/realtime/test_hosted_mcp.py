"""Tools that the API calls itself: what is accepted, and how it is written."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.realtime.realtime_tools_config_union import Mcp

from sipagent.errors import UserError
from sipagent.realtime import RunContextWrapper
from sipagent.realtime.hosted_mcp import (
    HostedMCPTool,
    MCPToolApprovalFunctionResult,
    MCPToolApprovalRequest,
    RealtimeHostedMcpTool,
    hosted_tool_payload,
    hosted_tool_payloads,
)

WHOLE: RealtimeHostedMcpTool = {
    "type": "mcp",
    "server_label": "docs",
    "server_url": "https://docs.example/mcp",
    "authorization": "token",
    "headers": {"X-Tenant": "harbor"},
    "allowed_tools": {"tool_names": ["search"], "read_only": True},
    "allowed_callers": ["direct"],
    "require_approval": {"always": {"tool_names": ["write"]}, "never": {"read_only": True}},
    "server_description": "The manuals.",
    "defer_loading": True,
}


def test_a_server_is_written_as_it_was_given() -> None:
    made = hosted_tool_payload(WHOLE)
    assert made == WHOLE
    assert Mcp.model_validate(made).model_dump(exclude_unset=True) == made


def test_a_tool_names_its_server() -> None:
    tool = HostedMCPTool(WHOLE)
    assert (tool.name, tool.server_label, tool.on_approval_request) == ("hosted_mcp", "docs", None)


def test_nothing_shows_a_token() -> None:
    assert "token" not in repr(HostedMCPTool(WHOLE))


def test_a_function_of_either_kind_may_approve() -> None:
    def at_once(request: MCPToolApprovalRequest) -> MCPToolApprovalFunctionResult:
        return {"approve": request.data.name == "search"}

    async def later(request: MCPToolApprovalRequest) -> MCPToolApprovalFunctionResult:
        return {"approve": False, "reason": "Not now."}

    assert HostedMCPTool(WHOLE, at_once).on_approval_request is at_once
    assert HostedMCPTool(WHOLE, on_approval_request=later).on_approval_request is later
    wrong: Any = "always"
    with pytest.raises(UserError, match="on_approval_request must be a function"):
        HostedMCPTool(WHOLE, wrong)


@pytest.mark.parametrize(("enabled", "expected"), [(True, True), (False, False), (lambda *_: True, True)])
async def test_whether_a_server_is_offered(enabled: Any, expected: bool) -> None:
    assert await HostedMCPTool(WHOLE, is_enabled=enabled).enabled(RunContextWrapper(None), None) is expected


def test_a_server_that_is_switched_off_is_not_offered() -> None:
    off = HostedMCPTool({"type": "mcp", "server_label": "off"}, is_enabled=False)
    assert hosted_tool_payloads([off, WHOLE]) == [WHOLE]


def test_a_label_alone_takes_up_an_earlier_definition() -> None:
    assert hosted_tool_payload({"type": "mcp", "server_label": "docs"}) == {
        "type": "mcp",
        "server_label": "docs",
    }


def test_a_kind_of_tool_that_is_new_passes_as_it_is() -> None:
    new = {"type": "telepathy", "range_m": 3}
    assert hosted_tool_payloads([new, new]) == [new, new]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ([], "as a mapping, not"),
        ({"server_label": "docs"}, "needs a type"),
        ({"type": 3}, "needs a type"),
        ({"type": "function", "name": "f"}, "made with function_tool"),
        ({"type": "mcp"}, "needs a server_label"),
        ({"type": "mcp", "server_label": ""}, "needs a server_label"),
        (
            {"type": "mcp", "server_label": "d", "server_url": "https://x", "connector_id": "y"},
            "server_url and connector_id stand side by side",
        ),
        (
            {"type": "mcp", "server_label": "d", "authorization": "s", "headers": {"authorization": "s"}},
            "authorization and a header Authorization",
        ),
    ],
)
def test_what_the_api_would_refuse_is_refused_at_once(config: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        HostedMCPTool(config)


def test_two_servers_of_one_label_are_refused() -> None:
    with pytest.raises(UserError, match="two MCP servers are labelled 'docs'"):
        hosted_tool_payloads([WHOLE, HostedMCPTool({"type": "mcp", "server_label": "docs"})])
