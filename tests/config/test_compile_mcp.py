"""Local MCP servers of the file: what is started, and what an agent has of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sipagent.calls.tools.mcp_spec import McpTools
from sipagent.config import compile_mcp, load_configuration
from sipagent.errors import ConfigurationError

FILE = """\
version: 1
agents:
  a:
    instructions: Hi.
    tools:
      - mcp: {%s}
routes: [{agent: a}]
"""
TWO_AGENTS = """\
version: 1
defaults:
  tools:
    - mcp: {command: [stock], allowed_tools: [find]}
agents:
  a: {instructions: Hi.}
  b: {instructions: Hi.}
  c:
    instructions: Hi.
    tool_choice: %s
    tools:
      - mcp: {command: [stock], allowed_tools: [order], confirm: "Order {article}?", side_effects: true}
routes: [{agent: a}]
"""


def written(folder: Path, entry: str) -> Path:
    file = folder / "sipagent.yaml"
    file.write_text(FILE % entry, encoding="utf-8")
    return file


def tools_of(folder: Path, entry: str, variables: dict[str, str] | None = None) -> McpTools:
    [tools] = load_configuration(written(folder, entry), variables or {}).door.profiles["a"].mcp_tools
    return tools


def problems(folder: Path, entry: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        load_configuration(written(folder, entry), {})
    return [f"{each.line}:{each.column} {each.message}" for each in refused.value.problems]


def test_a_program_is_started_in_the_folder_of_the_file(tmp_path: Path) -> None:
    entry = "command: [python, -m, shop.stock], env: {TOKEN: '${STOCK}'}, start_timeout: 3s"
    spec = tools_of(tmp_path, entry, {"STOCK": "s3cret"}).server
    assert spec.command == (sys.executable, "-m", "shop.stock")
    assert (spec.folder, spec.env, spec.start_timeout_s) == (
        str(tmp_path.resolve()),
        {"TOKEN": "s3cret"},
        3.0,
    )
    assert "s3cret" not in repr(spec)


def test_a_server_over_http(tmp_path: Path) -> None:
    entry = "url: '${STOCK}/mcp', headers: {Authorization: 'Bearer ${STOCK_TOKEN}'}, name: stock"
    variables = {"STOCK": "http://127.0.0.1:9", "STOCK_TOKEN": "s3cret"}
    spec = tools_of(tmp_path, entry, variables).server
    assert (spec.name, spec.url, spec.folder) == ("stock", "http://127.0.0.1:9/mcp", None)
    assert spec.headers == {"Authorization": "Bearer s3cret"}


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("command: [stock-server, --all]", "stock-server"),
        ("command: [/opt/stock/run.sh]", "run"),
        ("command: [python, -m, stock]", "stock"),
        ("command: [python3, tools/stock.py, stdio]", "stock"),
        ("command: [npx, -y, '@shop/stock']", "stock"),
        ("command: [uv, run, stock]", "stock"),
        ("command: [python]", "python"),
        ("url: 'https://stock.example:8443/mcp'", "stock.example"),
        ("command: [python, -m, stock], name: shelf", "shelf"),
    ],
)
def test_a_server_has_a_name_that_people_recognise(tmp_path: Path, entry: str, name: str) -> None:
    assert tools_of(tmp_path, entry).server.name == name


def test_what_an_agent_has_of_it(tmp_path: Path) -> None:
    entry = "command: [stock], timeout: 4s, filler: One moment., patience: 1s, allowed_tools: [find]"
    tools = tools_of(tmp_path, entry)
    assert (tools.allowed, tools.timeout_s, tools.side_effects) == (("find",), 4.0, None)
    assert tools.manners is not None
    assert tools.manners.filler is not None
    assert (tools.manners.filler.text, tools.manners.patience_s) == ("One moment.", 1.0)
    assert tools.place == ("agents", "a", "tools", 0, "mcp")
    plain = tools_of(tmp_path, "command: [stock], side_effects: true")
    assert (plain.allowed, plain.timeout_s, plain.manners, plain.side_effects) == (None, 20.0, None, True)


def test_agents_share_a_server_each_in_its_own_way(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    file.write_text(TWO_AGENTS % "order", encoding="utf-8")
    loaded = load_configuration(file)
    a, b, c = (loaded.door.profiles[name].mcp_tools for name in "abc")
    assert a == b
    assert (a[0].server, a[0].allowed, c[0].allowed) == (c[0].server, ("find",), ("order",))
    assert loaded.mcp_servers == (a[0].server,)


def test_a_tool_that_cannot_be_among_them_cannot_be_chosen(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    file.write_text(TWO_AGENTS % "find", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="`find` is no tool of c"):
        load_configuration(file)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("url: 'https://x.example/{{caller}}'", "6:20 This is the same for all calls"),
        ("command: [x], env: {A: '{{caller}}'}", "6:38 This is the same for all calls"),
        ("command: [x], filler: 'I ask {{nobody}}.'", "6:44 There is no variable `nobody`"),
        ("command: [x, '${NOWHERE}']", "6:28 The variable NOWHERE is not set"),
        ("url: 'https://x.example/', headers: {Host: a}", "6:14 The header Host is set by us"),
    ],
)
def test_mistakes_have_their_place(tmp_path: Path, entry: str, message: str) -> None:
    [problem] = problems(tmp_path, entry)
    assert problem.startswith(message)


def test_without_the_package_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile_mcp, "find_spec", lambda name: None)
    [problem] = problems(tmp_path, "command: [stock]")
    assert problem.startswith("6:15 Servers that are asked from here need the package mcp")
