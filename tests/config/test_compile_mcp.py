from __future__ import annotations

from pathlib import Path

import pytest

from sipagent.config import load_configuration
from sipagent.errors import ConfigurationError
from sipagent.realtime import HostedMCPTool

FILE = """\
version: 1
agents:
  a:
    instructions: Hi.
    tools:
      - mcp: {%s}
routes: [{agent: a}]
"""


def written(folder: Path, entry: str) -> Path:
    file = folder / "sipagent.yaml"
    file.write_text(FILE % entry, encoding="utf-8")
    return file


def test_a_hosted_server_is_a_tool(tmp_path: Path) -> None:
    entry = "hosted: {server_label: parts, server_url: 'https://parts.example/mcp', allowed_tools: [find]}"
    [tool] = load_configuration(written(tmp_path, entry)).door.profiles["a"].agent.tools
    assert isinstance(tool, HostedMCPTool)
    assert tool.tool_config["allowed_tools"] == ["find"]


@pytest.mark.parametrize("entry", ["command: [python, -m, stock]", "url: 'https://stock.example/mcp'"])
def test_a_server_that_would_never_be_asked_is_a_mistake(tmp_path: Path, entry: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_configuration(written(tmp_path, entry))
    [problem] = refused.value.problems
    assert (problem.line, "not offered by this version" in problem.message) == (6, True)
