from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sipagent.cli import main
from tests.cli.process import finished
from tests.support.practice import API_KEY, practice

RIGHT = "version: 1\nagents:\n  desk: {instructions: You answer the phone.}\nroutes:\n  - {agent: desk}\n"


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)


def test_an_empty_folder_lacks_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "  FAIL There is no sipagent.yaml.\n       → `sipagent init` writes one" in shown
    assert "  FAIL OPENAI_API_KEY is not set.\n" in shown
    assert shown.endswith("3 things to mend before calls are answered.\n")
    assert "https://platform.openai.com" not in shown, "pages are for those who go live"
    assert "\x1b" not in shown, "no colour where no terminal is"
    assert not [line for line in shown.splitlines() if line != line.rstrip()]


def test_live_names_the_page_of_each_missing_piece(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--live"]) == 1
    shown = capsys.readouterr().out
    assert "       ↗ API keys: https://platform.openai.com/api-keys\n" in shown
    assert "https://platform.openai.com/settings/project/webhooks" in shown
    assert "Settings → Project → General" in shown


async def test_a_whole_installation_as_json(tmp_path: Path) -> None:
    (tmp_path / "sipagent.yaml").write_text(RIGHT, encoding="utf-8")
    async with practice() as desk:
        variables = {
            "OPENAI_API_KEY": API_KEY,
            "OPENAI_WEBHOOK_SECRET": desk.simulator.webhook_secret,
            "OPENAI_BASE_URL": desk.simulator.base_url,
            "SIPAGENT_DATABASE_URL": f"sqlite:///{tmp_path}/calls.db",
        }
        words = ("--webhook-url", desk.service.webhook_url, "--project", "proj_AbC123", "--trunk", "telnyx")
        code, out, err = await finished("doctor", "--json", *words, variables=variables, cwd=str(tmp_path))
    answer = json.loads(out)
    assert (code, err, answer["ok"]) == (0, "", True)
    assert not [each for each in answer["findings"] if each["verdict"] in ("warn", "fail")]
    assert {each["area"] for each in answer["findings"]} == {
        "machine", "configuration", "account", "api", "webhook", "database", "trunk", "carriers"
    }  # fmt: skip
    assert "The service there knows our signing secret." in out
    assert not [
        secret for name, secret in variables.items() if "KEY" in name or "SECRET" in name if secret in out
    ]
