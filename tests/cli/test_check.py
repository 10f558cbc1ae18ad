from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from sipagent.cli import main
from sipagent.cli.example import example_configuration
from tests.calls.tools.test_mcp_servers import SHOP
from tests.config.carriers import API_KEY, ASTERISK_TOKEN, AUTH_TOKEN, VARIABLES, WHOLE


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_the_example_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(example_configuration())]) == 0
    shown = capsys.readouterr().out
    assert "is right" in shown
    assert "agent front-desk: next_free_slot, hang_up, transfer" in shown
    assert "route 1: calls to +15550100000: front-desk answers" in shown
    assert "\x1b" not in shown, "no colour where no terminal is"


def test_what_will_be_served_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", str(example_configuration())]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    [agent] = answer["agents"]
    assert agent["tools"] == ["next_free_slot", "hang_up", "transfer"]
    assert agent["transfer"] == ["billing"]
    assert agent["settings"]["voice"] == "marin"
    assert [(route["to"], route["agent"]) for route in answer["routes"]] == [
        (["+15550100000"], "front-desk"),
        ([], "front-desk"),
    ]
    assert answer["carriers"] is None
    assert answer["files"][0] == str(example_configuration())


def test_mistakes_are_lines_that_editors_understand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("version: 1\nagents:\n  a: {instructons: Hi.}\nroutes: [{agent: a}]\n", encoding="utf-8")
    assert main(["check", str(file)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"{file}:3:7: `instructons` is no key of `agents.a`. Did you mean `instructions`?\n"
    )
    assert main(["check", "--json", str(file)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert [(problem["line"], problem["column"]) for problem in answer["problems"]] == [(3, 7)]
    assert answer["problems"][0]["remedy"] == "Did you mean `instructions`?"


def test_without_a_name_it_is_the_file_in_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 1
    said = capsys.readouterr().err
    assert "sipagent.yaml:1:1: This file does not exist." in said
    assert "`sipagent init`" in said


def test_the_configuration_of_the_readme_is_right(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    [written] = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    shutil.copytree(example_configuration().parent / "harbor_dental", tmp_path / "harbor_dental")
    (tmp_path / "sipagent.yaml").write_text(written, encoding="utf-8")
    assert main(["check", str(tmp_path / "sipagent.yaml")]) == 0


def test_who_is_let_in_is_listed_without_their_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = "0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("DANA", token)
    file = tmp_path / "sipagent.yaml"
    file.write_text(
        "version: 1\nagents: {desk: {instructions: Hi.}}\nroutes: [{agent: desk}]\n"
        'admin: {tokens: [{name: dana, token: "${DANA}", role: operate}]}\n'
    )
    assert main(["check", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "admin: dana (operate)" in printed
    assert main(["check", "--json", str(file)]) == 0
    as_json = capsys.readouterr().out
    assert json.loads(as_json)["admin"] == [{"name": "dana", "role": "operate"}]
    assert token not in printed + as_json


MCP = """\
version: 1
agents:
  desk:
    instructions: Hi.
    tools:
      - hang_up
      - mcp: {{command: [python, shop.py, stdio], allowed_tools: [price, prize], start_timeout: 60s}}
{more}
routes: [{{agent: desk}}]
"""


def with_servers(folder: Path, more: str = "") -> Path:
    shutil.copy(SHOP, folder / "shop.py")
    file = folder / "sipagent.yaml"
    file.write_text(MCP.format(more=more), encoding="utf-8")
    return file


def test_the_servers_are_started_and_what_is_missing_is_said_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = with_servers(
        tmp_path, "      - mcp: {command: [python, -c, raise SystemExit('no shelf')], name: x}"
    )
    assert main(["check", str(file)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert first.startswith(f"{file}:7:14: The server shop has no tool `prize`. It has: broken, die, ")
    assert second.startswith(f"{file}:8:24: The MCP server x cannot be used: its program ended,")
    assert "it said: no shelf" in second


def test_servers_that_are_right_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = with_servers(tmp_path)
    file.write_text(file.read_text(encoding="utf-8").replace(", prize", ""), encoding="utf-8")
    assert main(["check", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "agent desk: price, hang_up\n" in shown
    assert "MCP server shop: price, stock, broken" in shown
    assert main(["check", "--json", str(file)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["agents"][0]["tools"] == ["price", "hang_up"]
    assert "stock" in answer["mcp_servers"]["shop"]


def test_offline_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = with_servers(tmp_path, "      - mcp: {command: [touch, started], name: x}")
    assert main(["check", "--offline", str(file)]) == 0
    assert "MCP server x: not asked\n" in capsys.readouterr().out
    assert not (tmp_path / "started").exists()


def test_what_carriers_must_be_told_is_listed_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "sipagent.yaml"
    file.write_text(WHOLE, encoding="utf-8")
    assert main(["check", str(file)]) == 0
    printed = capsys.readouterr().out
    lines = [line.strip() for line in printed.splitlines()]
    assert "https://phone.example.com/carriers/twilio/voice" in lines
    assert "to enter at Telnyx:" in lines
    assert "calls of carriers by route 2: “We are closed.”" in lines
    assert [
        line
        for line in lines
        if line.startswith("calls of carriers by other routes: OpenAI over SIP (15 s), else ")
    ]
    assert "recorded: desk, but nothing of calls that are answered over SIP" in lines
    assert main(["check", "--json", str(file)]) == 0
    as_json = capsys.readouterr().out
    carriers = json.loads(as_json)["carriers"]
    assert list(carriers["plans"]) == ["office", "route 2"]
    assert {each["carrier"] for each in carriers["enter"]} == {"twilio", "telnyx", "asterisk"}
    for secret in (AUTH_TOKEN, API_KEY, ASTERISK_TOKEN):
        assert secret not in printed + as_json
