from __future__ import annotations

import json
from pathlib import Path

import pytest

from sipagent.cli import main
from sipagent.config import published_schema


def test_the_schema_is_printed_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == published_schema()
    assert main(["schema", "--write"]) == 0
    assert capsys.readouterr().out == "Wrote sipagent.schema.json\n"
    assert json.loads((tmp_path / "sipagent.schema.json").read_text()) == published_schema()
    (tmp_path / "other.json").write_text("old")
    assert main(["schema", "--write", "other.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "file": "other.json"}
    assert json.loads((tmp_path / "other.json").read_text()) == published_schema()


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--write", str(tmp_path)]) == 1
    assert "cannot be written" in capsys.readouterr().err
