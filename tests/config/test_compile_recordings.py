"""What is recorded, as the file says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipagent.errors import ConfigurationError
from tests.config.carriers import BASE, TWILIO, WHOLE, load_text

CARRIERS = f"carriers:\n  public_url: https://phone.example.com\n{TWILIO}"
TWO = """\
version: 1
agents:
  desk: {instructions: Hi., tools: [send_to_agent], handoffs: [sales]}
  sales: {instructions: Hi., description: prices, recording: We record.}
"""


def test_nothing_is_recorded_unless_it_is_written(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, f"{BASE}{CARRIERS}recordings: {{folder: kept}}\n")
    assert loaded.door.profiles["desk"].recording is None


def test_a_consent_line_is_inherited_and_can_be_switched_off(tmp_path: Path) -> None:
    profiles = load_text(tmp_path, WHOLE).door.profiles
    recording = profiles["desk"].recording
    assert recording is not None
    assert recording.consent.render({}) == "This call is recorded."
    assert recording.folder == tmp_path / "kept"
    assert recording.keep_days == 90
    assert profiles["night"].recording is None


def test_a_consent_line_may_name_what_is_known_of_a_call(tmp_path: Path) -> None:
    text = WHOLE.replace("recording: This call is recorded.", 'recording: {consent: "{{street}} records."}')
    loaded = load_text(tmp_path, f"variables: {{street: Main Street}}\n{text}")
    recording = loaded.door.profiles["desk"].recording
    assert recording is not None
    assert recording.consent.names == {"street"}


@pytest.mark.parametrize(
    ("routes", "right"),
    [
        ("[{agent: sales}]", True),
        ("[{agent: desk}]", True),
        ("[{agent: sales, answer: sip}]", False),
        ("[{agent: desk, answer: sip}]", False),
        ("[{agent: desk, answer: [sip, stream]}]", True),
        ("[{agent: desk, answer: sip, to: '+15550100000'}, {agent: desk}]", True),
        ("[{agent: desk, when_full: {agent: sales}}]", True),
    ],
)
def test_an_agent_that_never_could_record_is_a_mistake(tmp_path: Path, routes: str, right: bool) -> None:
    sip = "  sip: {project: proj_demo}\n  answer: stream\n"
    text = f"{TWO}routes: {routes}\n{CARRIERS}{sip}recordings: {{folder: kept}}\n"
    if right:
        assert load_text(tmp_path, text).door.profiles["sales"].recording is not None
    else:
        with pytest.raises(ConfigurationError, match="there is nothing to record"):
            load_text(tmp_path, text)


def test_an_asterisk_always_brings_its_audio(tmp_path: Path) -> None:
    text = f"""{TWO}routes: [{{agent: sales}}]
carriers:
  sip: {{project: proj_demo}}
  asterisk: {{token: "${{ASTERISK_TOKEN}}"}}
recordings: {{folder: /var/lib/sipagent/kept}}
"""
    recording = load_text(tmp_path, text).door.profiles["sales"].recording
    assert recording is not None
    assert recording.folder == Path("/var/lib/sipagent/kept")
    assert recording.keep_days == 30
