"""A configuration made again from the store."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sipagent.config import load_configuration, load_stored
from sipagent.errors import ConfigurationError, UserError
from tests.config.carriers import WHOLE, load_text

CONFIGURATION = """version: 1
agents:
  desk:
    greeting: {greeting}
    instructions_file: prompt.md
    tools:
      - python: stored_shop:ask
routes:
  - {{agent: desk}}
"""
TOOLS = 'def ask() -> str:\n    """Ask."""\n    return "asked"\n'


def written(folder: Path, *, greeting: str, prompt: str) -> Path:
    (folder / "prompt.md").write_text(prompt)
    (folder / "stored_shop.py").write_text(TOOLS)
    file = folder / "sipagent.yaml"
    file.write_text(CONFIGURATION.format(greeting=greeting))
    return file


def test_a_configuration_comes_back_as_it_was_though_its_files_have_changed(tmp_path: Path) -> None:
    earlier = load_configuration(written(tmp_path, greeting="Good day.", prompt="Be kind.\n"))
    text = earlier.text
    file = written(tmp_path, greeting="Hello.", prompt="Be brief.\n")
    present = load_configuration(file)
    module = sys.modules["stored_shop"]
    door = load_stored(text, file, fingerprint=earlier.fingerprint)
    assert door.fingerprint == earlier.fingerprint != present.fingerprint
    greeting = door.profiles["desk"].greeting
    assert greeting is not None
    assert greeting.text.text == "Good day."
    assert door.profiles["desk"].agent.instructions == earlier.door.profiles["desk"].agent.instructions
    assert sys.modules["stored_shop"] is module, "the present configuration is not touched"


def test_a_text_that_is_cut_off_is_not_used(tmp_path: Path) -> None:
    file = written(tmp_path, greeting="Good day.", prompt="Be kind.\n")
    loaded = load_configuration(file)
    with pytest.raises(UserError, match="not whole"):
        load_stored(loaded.text[:-3], file, fingerprint=loaded.fingerprint)


def test_keys_that_are_gone_by_now_keep_no_call_from_being_taken_over(tmp_path: Path) -> None:
    admin = 'admin: {tokens: [{name: dana, token: "${ASTERISK_TOKEN}", role: read}]}\n'
    loaded = load_text(tmp_path, WHOLE + admin)
    file = tmp_path / "sipagent.yaml"
    with pytest.raises(ConfigurationError, match="TWILIO_AUTH_TOKEN is not set"):
        load_configuration(file, {})
    door = load_stored(loaded.text, file, fingerprint=loaded.fingerprint)
    recording = door.profiles["desk"].recording
    assert recording is not None
    assert recording.folder == tmp_path / "kept"
    assert door.profiles["desk"].transfer_targets[0].way == "warm"
