from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from sipagent.config import load_configuration, starter_text
from tests.config.carriers import API_KEY, ASTERISK_TOKEN, AUTH_TOKEN, VARIABLES

SECRETS = {
    "CRM_TOKEN": "t",
    "HOOK_PATH": "h",
    "SHOP_KEY": "k",
    "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    "TELNYX_API_KEY": API_KEY,
    "ASTERISK_TOKEN": ASTERISK_TOKEN,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def test_the_starter_can_be_served_as_it_stands(folder: Path) -> None:
    file = folder / "sipagent.yaml"
    file.write_text(starter_text(), encoding="utf-8")
    loaded = load_configuration(file, {})
    assert sorted(loaded.door.profiles) == ["front-desk", "night"]
    assert starter_text().startswith("# yaml-language-server: $schema=./sipagent.schema.json\n")


def test_every_example_in_it_can_be_used(folder: Path) -> None:
    file = folder / "sipagent.yaml"
    whole, used = re.subn(r"^(\s*)#:", r"\1", starter_text(), flags=re.MULTILINE)
    assert used > 15
    file.write_text(whole, encoding="utf-8")
    (folder / "tools.py").write_text(
        "def next_free_slot(day: str) -> str:\n    return day\n", encoding="utf-8"
    )
    loaded = load_configuration(file, {**VARIABLES, "TELNYX_CONNECTION": "1494404757", **SECRETS})
    assert sorted(loaded.secrets) == sorted(SECRETS.values())
    assert len(loaded.door.routes) == 3
    assert len(loaded.door.lookups) == 1
    assert loaded.carriers is not None
    assert len(loaded.carriers.plan.steps) == 4
    assert loaded.door.profiles["front-desk"].recording is not None
    assert loaded.door.profiles["front-desk"].transfer_targets[0].way == "warm"
    tools = {tool.name for tool in loaded.door.profiles["front-desk"].agent.tools}
    assert {"next_free_slot", "customer_number", "order_status", "take_message"} <= tools
