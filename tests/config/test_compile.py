from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sipagent.calls.incoming import IncomingCall
from sipagent.calls.profile import CallTool, Greeting, TransferTarget
from sipagent.calls.routing import FrontDoor
from sipagent.calls.template import Template
from sipagent.config import load, load_base_url
from sipagent.errors import ConfigurationError, UserError
from sipagent.identifiers import CallId
from sipagent.realtime import FunctionTool

TOOLS = '''
def look(name: str) -> str:
    """Look it up."""
    return name
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (tmp_path / "compiled_tools.py").write_text(TOOLS, encoding="utf-8")
    return tmp_path


def compiled(folder: Path, text: str) -> FrontDoor:
    file = folder / "sipagent.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def refused(folder: Path, text: str) -> list[str]:
    """The problems without the folder's name in front."""
    with pytest.raises(ConfigurationError) as caught:
        compiled(folder, text)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def call(dialled: str | None) -> IncomingCall:
    return IncomingCall(
        call_id=CallId("rtc_1"),
        webhook_id="wh_1",
        caller=None,
        dialled=dialled,
        sip_call_id=None,
        sip_headers=(),
        media_security=None,
    )


FULL = """version: 1
defaults:
  model: gpt-realtime-2.1-mini
  voice: cedar
  greeting: Good morning.
  instructions: Be kind.
  tools: [hang_up]
agents:
  day:
    tools:
      - {python: "compiled_tools:look", timeout: 5s}
      - hang_up
      - transfer
    transfer:
      billing: {to: "tel:+15550100001", description: invoices}
    tool_choice: look
  night:
    greeting:
    instructions_file: night.md
    voice: {id: voice_7}
    audio_format: negotiated
    transcription: false
    noise_reduction: {type: far_field, strength: 0.5}
    turn_detection: {type: semantic_vad, eagerness: high}
    truncation: {retention_ratio: 0.8, token_limit: 8000}
    max_output_tokens: 500
    speed: 1.1
    reasoning: minimal
    tool_choice: none
routes:
  - {to: "+15550100000", agent: day}
  - {agent: night}
"""


def test_agents_inherit_what_they_do_not_write(folder: Path) -> None:
    (folder / "night.md").write_text("Say that we are closed.\n", encoding="utf-8")
    door = compiled(folder, FULL)
    day = door.profiles["day"]
    assert day.name == day.agent.name == "day"
    assert day.greeting == Greeting(text=Template("Good morning."))
    assert day.agent.instructions == "Be kind."
    (look,) = day.agent.tools
    assert isinstance(look, FunctionTool)
    assert (look.name, look.timeout_s) == ("look", 5)
    assert day.call_tools == (CallTool.HANG_UP, CallTool.TRANSFER)
    assert day.transfer_targets == (
        TransferTarget(name="billing", uris=("tel:+15550100001",), description="invoices"),
    )
    assert day.settings == {
        "model_name": "gpt-realtime-2.1-mini",
        "voice": "cedar",
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "gpt-transcribe"},
        "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 500},
        "truncation": "auto",
        "tool_choice": {"type": "function", "name": "look"},
    }
    night = door.profiles["night"]
    assert night.greeting is None
    assert night.agent.instructions == "Say that we are closed."
    assert night.agent.tools == []
    assert night.call_tools == (CallTool.HANG_UP,)
    assert night.transfer_targets == ()
    assert night.settings == {
        "model_name": "gpt-realtime-2.1-mini",
        "voice": {"id": "voice_7"},
        "input_audio_format": "negotiated",
        "output_audio_format": "negotiated",
        "input_audio_transcription": None,
        "turn_detection": {"type": "semantic_vad", "eagerness": "high"},
        "truncation": {
            "type": "retention_ratio",
            "retention_ratio": 0.8,
            "token_limits": {"post_instructions": 8000},
        },
        "speed": 1.1,
        "max_output_tokens": 500,
        "input_audio_noise_reduction": {"type": "far_field", "strength": 0.5},
        "reasoning": {"effort": "minimal"},
        "tool_choice": "none",
    }


def test_the_first_route_that_matches_answers(folder: Path) -> None:
    (folder / "night.md").write_text("Closed.", encoding="utf-8")
    door = compiled(folder, FULL)
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    outcomes = [door.decide(call(to), now).outcome for to in ("+15550100000", "+15550100009", None)]
    assert [getattr(outcome, "agent", None) for outcome in outcomes] == ["day", "night", "night"]


def test_without_defaults_an_agent_has_ours(folder: Path) -> None:
    door = compiled(folder, "version: 1\nagents: {a: {instructions: Hi.}}\nroutes: [{agent: a}]\n")
    settings = door.profiles["a"].settings
    assert settings["model_name"] == "gpt-realtime-2.1"
    assert settings["voice"] == "marin"
    assert settings["tool_choice"] == "auto"
    assert door.profiles["a"].call_tools == ()


def test_the_fingerprint_follows_every_text(folder: Path) -> None:
    (folder / "night.md").write_text("Closed.", encoding="utf-8")
    first = compiled(folder, FULL).fingerprint
    assert compiled(folder, FULL).fingerprint == first
    assert len(first) == 12
    assert compiled(folder, FULL + "# a comment\n").fingerprint != first
    (folder / "night.md").write_text("Open.", encoding="utf-8")
    assert compiled(folder, FULL).fingerprint != first


def test_what_does_not_fit_together_is_found_at_once(folder: Path) -> None:
    (folder / "empty.md").write_text(" \n", encoding="utf-8")
    (folder / "latin.md").write_bytes(b"Gr\xfc\xdf")
    problems = refused(
        folder,
        """version: 1
agents:
  silent: {}
  twice: {instructions: Hi., instructions_file: x.md}
  lost:
    instructions_file: lost.md
    tools: [hang_up, transfer]
  empty: {instructions_file: empty.md}
  latin: {instructions_file: latin.md}
  toolless:
    instructions: Hi.
    transfer: {billing: {to: "tel:+15550100001", description: invoices}}
    tool_choice: hang_op
  double:
    instructions: Hi.
    tools:
      - hang_up
      - {python: "compiled_tools:look", name: hang_up}
      - {python: "compiled_tools:lok"}
    tool_choice: hang_op
routes:
  - {agent: silnt}
  - {to: "+15550100000", agent: twice}
  - {agent: lost}
""",
    )
    expected = [
        ("sipagent.yaml:3:3: The agent `silent` has no instructions.", "Add `instructions: |`"),
        ("sipagent.yaml:4:30: `instructions` and `instructions_file` stand side by side.", "Keep one"),
        ("sipagent.yaml:6:24: ", "lost.md cannot be read: No such file or directory."),
        (
            "sipagent.yaml:7:22: `lost` has the tool transfer and nowhere to transfer to.",
            "at least one target",
        ),
        ("sipagent.yaml:8:30: ", "empty.md is empty."),
        ("sipagent.yaml:9:30: ", "latin.md is not UTF-8."),
        ("sipagent.yaml:12:5: `toolless` has targets to transfer to, but not the tool.", "- transfer"),
        ("sipagent.yaml:13:18: `hang_op` is no tool of toolless.", "Known here: auto, none, required."),
        ("sipagent.yaml:18:9: Two tools are called `hang_up`", "another `name:`"),
        ("sipagent.yaml:19:18: The module compiled_tools (", "Did you mean `look`?"),
        ("sipagent.yaml:20:18: `hang_op` is no tool of double.", "Did you mean `hang_up`?"),
        ("sipagent.yaml:22:13: There is no agent `silnt`.", "Did you mean `silent`?"),
        ("sipagent.yaml:23:5: This route can never match: route 1 takes its calls before it.", "move it up"),
        ("sipagent.yaml:24:5: This route can never match: route 1 takes its calls before it.", "move it up"),
    ]
    assert len(problems) == len(expected), "\n".join(problems)
    for problem, (beginning, part) in zip(problems, expected, strict=True):
        assert problem.startswith(beginning)
        assert part in problem


def test_a_mistake_in_the_defaults_is_reported_once(folder: Path) -> None:
    problems = refused(
        folder,
        "version: 1\ndefaults:\n  instructions: Hi.\n  tools: [{python: 'compiled_tools:lok'}]\n"
        "agents: {a: {}, b: {}}\nroutes: [{to: '+15550100000', agent: a}, {agent: b}]\n",
    )
    assert len(problems) == 1
    assert problems[0].startswith("sipagent.yaml:4:20: The module compiled_tools (")


def test_the_example_of_the_project_is_right() -> None:
    example = Path(__file__).parents[2] / "deploy" / "example" / "sipagent.yaml"
    door = load(example)
    desk = door.profiles["front-desk"]
    assert desk.greeting == Greeting(text=Template("Harbor Dental, good morning. How can I help?"))
    assert [tool.name for tool in desk.agent.tools] == ["next_free_slot"]
    assert desk.call_tools == (CallTool.HANG_UP, CallTool.TRANSFER)


def test_the_variable_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sipagent.yaml"
    file.write_text(
        "version: 1\nopenai: {region: eu}\nagents: {a: {instructions: Hi.}}\nroutes: [{agent: a}]\n",
        encoding="utf-8",
    )
    assert load_base_url(file, {}) == load_base_url(str(file), {}) == "https://eu.api.openai.com/v1"
    assert load_base_url(file, {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"}) == "http://127.0.0.1:9/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8/v1")
    assert load_base_url(file) == "http://127.0.0.1:8/v1"
    with pytest.raises(UserError, match="OPENAI_BASE_URL is 'nowhere'"):
        load_base_url(file, {"OPENAI_BASE_URL": "nowhere"})


def test_a_file_with_mistakes_says_no_address(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    file.write_text("version: 1\nopenai: {region: mars}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="'mars'"):
        load_base_url(file, {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
