from __future__ import annotations

from pathlib import Path

from sipagent.config import load_configuration
from sipagent.realtime import HostedMCPTool
from tests.config.test_compile_mcp import written


def test_a_hosted_server_is_a_tool(tmp_path: Path) -> None:
    entry = "hosted: {server_label: parts, server_url: 'https://parts.example/mcp', allowed_tools: [find]}"
    loaded = load_configuration(written(tmp_path, entry))
    [tool] = loaded.door.profiles["a"].agent.tools
    assert isinstance(tool, HostedMCPTool)
    assert tool.tool_config["allowed_tools"] == ["find"]
    assert loaded.mcp_servers == ()
