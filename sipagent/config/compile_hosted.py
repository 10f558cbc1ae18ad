"""Turns the MCP servers of the file into tools that the API calls itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from sipagent.calls.tools.mcp_hosted import make_hosted_tool
from sipagent.config.compiling import Compiling
from sipagent.config.schema import HostedMcp, McpTool
from sipagent.config.source import KeyPath
from sipagent.errors import UserError
from sipagent.realtime import HostedMCPTool

PLACE: Final = "https://mcp.invalid/"
"""Where a server is until its own place is put in, which need not be a URL."""


def compile_hosted(
    compiling: Compiling, path: KeyPath, entry: McpTool, hosted: HostedMcp
) -> HostedMCPTool | None:
    """The server ``hosted`` of ``entry`` at ``path``, whose tools the API calls; None after reporting what is
    wrong with it."""
    at = (*path, "hosted")
    before = len(compiling.problems)
    config: dict[str, Any] = {
        "type": "mcp",
        "server_label": hosted.server_label,
        "require_approval": hosted.require_approval,
    }
    if hosted.server_url is not None:
        config["server_url"] = compiling.secret((*at, "server_url"), hosted.server_url)
    if hosted.connector_id is not None:
        config["connector_id"] = hosted.connector_id
    if hosted.authorization is not None:
        config["authorization"] = compiling.sendables(at, {"authorization": hosted.authorization})[
            "authorization"
        ]
    if hosted.headers:
        config["headers"] = compiling.sendables((*at, "headers"), hosted.headers)
    allowed = hosted.allowed_tools if hosted.allowed_tools is not None else entry.allowed_tools
    if allowed is not None:
        config["allowed_tools"] = list(allowed)
    if len(compiling.problems) > before:
        return None
    try:
        tool = make_hosted_tool(hosted.server_label, PLACE, require_approval=hosted.require_approval)
        return replace(tool, tool_config=config, name=entry.name or hosted.server_label)
    except UserError as error:
        compiling.report(
            at, f"{str(error)[:1].upper()}{str(error)[1:]}.", "Compare it with the API's own documentation."
        )
        return None
