from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sipagent.cli import main
from sipagent.config import environment_text

NAMES = {"sipagent.yaml", ".env.example", "sipagent.schema.json"}


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)


def test_what_is_written_can_be_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    shown = capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == NAMES
    assert shown.startswith("Wrote sipagent.yaml\nWrote .env.example\nWrote sipagent.schema.json\n\nNext:\n")
    assert "  sipagent check " in shown
    assert main(["check"]) == 0
    assert "is right" in capsys.readouterr().out
    assert json.loads((tmp_path / "sipagent.schema.json").read_text())["title"] == "sipagent configuration"


def test_every_command_that_comes_next_exists_and_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    steps = [
        line.split("  ")[1].split() for line in capsys.readouterr().out.splitlines() if "sipagent " in line
    ]
    for step in steps:
        assert main([*step[1:], "--help"]) == 0
    assert main(["explain"]) == 0
    assert main(["route", "--to", "+15550100000"]) == 0


def test_nothing_is_ever_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sipagent.yaml").write_text("mine", encoding="utf-8")
    assert main(["init", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["kept"] == ["sipagent.yaml"]
    assert set(answer["written"]) == NAMES - {"sipagent.yaml"}
    assert (tmp_path / "sipagent.yaml").read_text() == "mine"
    assert main(["init"]) == 0
    assert "Kept  sipagent.yaml, which was there already" in capsys.readouterr().out


def test_a_folder_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "calls"]) == 0
    assert {path.name for path in (tmp_path / "calls").iterdir()} == NAMES
    assert "  cd calls" in capsys.readouterr().out


def test_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "calls").write_text("a file")
    assert main(["init", "calls"]) == 1
    assert "sipagent: calls cannot be written" in capsys.readouterr().err


def test_the_variables_are_those_of_the_repository() -> None:
    shipped = Path(__file__).parents[2] / ".env.example"
    assert shipped.read_text(encoding="utf-8") == environment_text()
