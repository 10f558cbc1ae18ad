from __future__ import annotations

import json
from pathlib import Path

import pytest

from sipagent.cli import main
from tests.config.carriers import WHOLE

FILE = """\
version: 1
defaults:
  voice: marin
agents:
  desk:
    instructions: |
      You answer.
      Be brief.
  night: {instructions: You take messages., voice: cedar}
routes:
  - {agent: desk}
"""


@pytest.fixture(autouse=True)
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sipagent.yaml").write_text(FILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_what_the_file_says_of_an_agent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "desk", "--written"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Agent desk\n")
    lines = [line.split() for line in shown.splitlines()]
    assert ["voice", "sipagent.yaml:3", "marin"] in lines
    assert ["instructions", "sipagent.yaml:6", "You", "answer."] in lines
    assert ["Be", "brief."] in lines
    assert "default" not in shown
    assert "\x1b" not in shown


def test_every_agent_with_what_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--json"]) == 0
    agents = json.loads(capsys.readouterr().out)["agents"]
    assert list(agents) == ["desk", "night"]
    origins = {row["key"]: row["origin"] for row in agents["night"]}
    assert origins["voice"] == "sipagent.yaml:9"
    assert origins["model"] == "default"


def test_an_agent_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "dekk"]) == 1
    assert "has no agent" in capsys.readouterr().err


def test_carriers_are_explained_beside_the_agents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    assert "Carriers" not in capsys.readouterr().out
    (tmp_path / "sipagent.yaml").write_text(WHOLE, encoding="utf-8")
    assert main(["explain", "--written"]) == 0
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.partition("\nCarriers\n")[2].splitlines()]
    assert ["carriers.answer[2]", "sipagent.yaml:18", "stream"] in lines
    assert "default" not in shown
    assert main(["explain", "desk"]) == 0
    assert "Carriers" not in capsys.readouterr().out
    assert main(["explain", "--json"]) == 0
    carriers = {row["key"]: row["value"] for row in json.loads(capsys.readouterr().out)["carriers"]}
    assert carriers["carriers.twilio.account_sid"] == "${TWILIO_ACCOUNT_SID}"
