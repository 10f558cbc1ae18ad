from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipagent.config.loader import MAXIMUM_FILE_BYTES, parse_document, read_document
from sipagent.config.schema import (
    AgentKeys,
    Configuration,
    CustomVoice,
    GreetingEntry,
    PythonTool,
    RetainedContext,
    SemanticVad,
)
from sipagent.errors import ConfigurationError, Problem

AGENT = "version: 1\nroutes: [{agent: a}]\nagents:\n  a:\n"
"""A file whose agent `a` is written below, indented by four; its first key stands in line 5."""


def configuration(text: str) -> Configuration:
    return parse_document(text, file="f.yaml").configuration


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationError) as caught:
        parse_document(text, file="f.yaml")
    return caught.value.problems


def test_every_key_of_an_agent_is_understood() -> None:
    agent = configuration(
        AGENT
        + """
    model: gpt-realtime-2.1-mini
    voice: {id: voice_1}
    speed: 1
    greeting: "  Hello.  "
    instructions_file: front-desk.md
    tools:
      - hang_up
      - {python: "tools:lookup", name: look, description: Looks., timeout: 1500ms}
    transfer: {billing: {to: "sip:billing@example.com", description: invoices}}
    audio_format: negotiated
    truncation: {retention_ratio: 0.8, token_limit: 8000}
    transcription: {model: gpt-transcribe, languages: [en, de], keywords: [Harbor]}
    turn_detection: {type: semantic_vad, eagerness: low}
    noise_reduction: near_field
    max_output_tokens: 1024
    reasoning: low
    tool_choice: look
"""
    ).agents["a"]
    assert agent.voice == CustomVoice(id="voice_1")
    assert agent.greeting == GreetingEntry(text="Hello.")
    hang_up, look = agent.tools
    assert hang_up == "hang_up"
    assert isinstance(look, PythonTool)
    assert (str(look.python), look.name, look.timeout_s) == ("tools:lookup", "look", 1.5)
    assert agent.transfer["billing"].to == ["sip:billing@example.com"]
    assert agent.truncation == RetainedContext(retention_ratio=0.8, token_limit=8000)
    assert agent.transcription is not None
    assert agent.transcription.languages == ["en", "de"]
    assert agent.turn_detection == SemanticVad(type="semantic_vad", eagerness="low")
    assert agent.noise_reduction is not None
    assert agent.noise_reduction.type == "near_field"
    assert agent.reasoning is not None
    assert agent.reasoning.effort == "low"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("", "https://api.openai.com/v1"),
        ("openai: {}", "https://api.openai.com/v1"),
        ("openai: {region: eu}", "https://eu.api.openai.com/v1"),
        ("openai: {azure: harbor}", "https://harbor.openai.azure.com/openai/v1"),
        ("openai: {azure: 'https://harbor.openai.azure.com/'}", "https://harbor.openai.azure.com/openai/v1"),
        ("openai: {base_url: 'https://gate.example/v1/'}", "https://gate.example/v1"),
    ],
)
def test_where_the_api_is(written: str, address: str) -> None:
    assert configuration(AGENT + f"    speed: 1\n{written}\n").openai.address == address


@pytest.mark.parametrize(
    ("written", "column", "message", "remedy"),
    [
        ("openai: {region: uk}", 18, "`openai.region` is 'uk', which is no choice", "us, eu"),
        ("openai: {regoin: eu}", 10, "`regoin` is no key of `openai`", "Did you mean `region`?"),
        ("openai: {azure: a.b.c}", 17, "'a.b.c' is no resource of Azure", "https://NAME.openai.azure.com"),
        ("openai: {base_url: api.openai.com}", 20, "is no base URL", "https://api.openai.com/v1"),
        ("openai: {region: }", 17, "`openai.region` is empty", "remove the key"),
        ("openai: {azure: }", 16, "`openai.azure` is empty", "remove the key"),
        ("openai: {base_url: }", 19, "`openai.base_url` is empty", "remove the key"),
        ("openai: eu", 9, "`openai` must be a mapping, not text", "indented below"),
        (
            "openai: {region: eu, azure: harbor}",
            9,
            "`openai`: `region` and `azure` stand side by side.",
            "Keep one",
        ),
    ],
)
def test_a_mistake_in_where_the_api_is(written: str, column: int, message: str, remedy: str) -> None:
    problems = problems_of(AGENT + f"    speed: 1\n{written}\n")
    assert len(problems) == 1, problems
    assert problems[0].line == 6
    assert message in problems[0].message
    assert remedy in problems[0].remedy
    assert problems[0].column == column


@pytest.mark.parametrize("off", ["false", "~", ""])
@pytest.mark.parametrize("key", ["transcription", "noise_reduction", "reasoning"])
def test_what_can_be_switched_off(key: str, off: str) -> None:
    agent = configuration(AGENT + f"    {key}: {off}\n").agents["a"]
    assert getattr(agent, key) is None
    assert key in agent.model_fields_set


@pytest.mark.parametrize(
    ("line", "column", "message", "remedy"),
    [
        ("modle: x", 5, "`modle` is no key of `agents.a`", "Did you mean `model`?"),
        ("zzz: x", 5, "`zzz` is no key of `agents.a`", "Known here: model, voice, speed"),
        ("voice: 3", 12, "`agents.a.voice` must be text, not a number", "in quotes"),
        ("voice: {id: x, name: y}", 20, "`name` is no key of `agents.a.voice`", "Known here: id"),
        ("voice: {}", 5, "`agents.a.voice` lacks the key `id`", "Add `id:`"),
        ("greeting: ''", 15, "`agents.a.greeting` is empty", "some text"),
        ("tools: [{python: ''}]", 22, "does not name a Python function", "with a colon"),
        ("speed: 2", 12, "`agents.a.speed` is 2", "at most 1.5"),
        ("speed: fast", 12, "`agents.a.speed` must be a number, not text", "Write digits without quotes."),
        ("model:", 11, "`agents.a.model` is empty", "or remove the key"),
        ("tools: hang_up", 12, "`agents.a.tools` must be a list, not text", "dash"),
        ("tools: [hangup]", 13, "`agents.a.tools[1]`: There is no tool `hangup`.", "Did you mean `hang_up`?"),
        ("tools: [[hang_up]]", 13, "`agents.a.tools[1]`: a list is no tool.", "hang_up, transfer"),
        ("tools: [{pyton: 'a:b'}]", 14, "`pyton` is no key of `agents.a.tools[1]`", "Did you mean `python`?"),
        ("tools: [{python: 'a.b'}]", 22, "does not name a Python function", "with a colon"),
        ("tools: [{python: 'a:b', timeout: 10}]", 38, "10 has no unit", "10s"),
        ("tools: [{python: 'a:b', name: 'a b'}]", 35, "'a b' cannot be a name", "letters"),
        ("transfer: {x: {to: 'tel:1', description: d}}", 24, "no number to transfer to", "tel:+1555"),
        ("transfer: {x: {to: 'sip:a@b.example'}}", 16, "lacks the key `description`", "Add `description:`"),
        (
            "transfer: {'a b': {to: 'sip:a@b.example', description: d}}",
            16,
            "'a b' cannot be a name",
            "letters",
        ),
        ("audio_format: g711", 19, "is 'g711', which is no choice", "Did you mean `g711_"),
        ("truncation: {retention_ratio: 8}", 35, "`agents.a.truncation.retention_ratio` is 8", "at most 1"),
        ("truncation: automatic", 17, "which is no choice", "Did you mean `auto`?"),
        ("transcription: off", 20, "YAML reads `off` as false", "Write false if"),
        ("transcription: true", 20, "must be a mapping, not true or false", "indented below"),
        ("turn_detection: {type: server_vat}", 28, "is 'server_vat', which is no choice", "`server_vad`"),
        ("turn_detection: {threshold: 0.4}", 5, "lacks the key `type`", "server_vad"),
        (
            "turn_detection: {type: server_vad, threshold: .nan}",
            51,
            "is nan, which is no number to count with",
            "digits",
        ),
        (
            "turn_detection: {type: server_vad, eagerness: low}",
            40,
            "`eagerness` is no key",
            "Known here: type",
        ),
        ("noise_reduction: loud", 22, "is 'loud', which is no choice", "near_field, far_field"),
        ("max_output_tokens: 9000", 24, "9000 is no limit", "1 to 4096, or inf"),
    ],
)
def test_a_mistake_has_a_line_a_column_and_a_remedy(
    line: str, column: int, message: str, remedy: str
) -> None:
    problems = problems_of(AGENT + f"    {line}\n")
    first = problems[0]
    assert (first.file, first.line, first.column) == ("f.yaml", 5, column), problems
    assert message in first.message
    assert remedy in first.remedy


@pytest.mark.parametrize(
    ("text", "line", "message", "remedy"),
    [
        ("version: 2\nagents: {a: {}}\nroutes: [{agent: a}]", 1, "`version` is 2", "Write 1."),
        ("version: '1'\nagents: {a: {}}\nroutes: [{agent: a}]", 1, "`version` is '1'", "Write 1."),
        ("agents: {a: {}}\nroutes: [{agent: a}]", 1, "lacks the key `version`", "Add `version: 1`"),
        ("version: 1\nagents: {}\nroutes: [{agent: a}]", 2, "`agents` is empty", "at least one"),
        ("version: 1\nagents: {a: {}}\nroutes: []", 3, "`routes` is empty", "at least one"),
        (
            "version: 1\nagents: {a: {}}\nroutes: [{to: '1234567', agent: a}]",
            3,
            "international form",
            "+15550100000",
        ),
        (
            "version: 1\nagents: {a: {}}\nroutes: [{to: +15550100000, agent: a}]",
            3,
            "drops the plus",
            "quotes",
        ),
        ("- a\n", 1, "The file must be a mapping, not a list", "version: 1"),
    ],
)
def test_a_mistake_outside_of_agents(text: str, line: int, message: str, remedy: str) -> None:
    problems = problems_of(text)
    assert len(problems) == 1, problems
    assert problems[0].line == line
    assert message in problems[0].message
    assert remedy in problems[0].remedy


def test_every_mistake_is_found_at_once_in_file_order() -> None:
    problems = problems_of(
        "version: 3\ndefaults: {voyce: x}\nagents:\n  a: {speed: 9}\n  a: {}\n"
        "routes:\n  - {to: 09:00, agent: a}\nextra: 1\n"
    )
    assert [problem.line for problem in problems] == [1, 2, 4, 5, 7, 8]


def test_a_misspelt_key_is_not_reported_as_missing_too() -> None:
    assert len(problems_of(AGENT + "    tools: [{pyton: 'a:b'}]\n")) == 1
    assert len(problems_of(AGENT + "    turn_detection: {type: server_vad, thres: 1}\n")) == 1
    assert len(problems_of(AGENT + "    voice: {zzz: voice_1}\n")) == 2


def test_a_trap_is_reported_once_and_not_again_as_a_wrong_type() -> None:
    assert len(problems_of(AGENT + "    speed: no\n")) == 1


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    file.write_text("\ufeff" + AGENT + "    greeting: Grüß Gott\n", encoding="utf-8")
    assert read_document(file).configuration.agents["a"].greeting == GreetingEntry(text="Grüß Gott")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"version: 1\ngreeting: Gr\xfc\xdf\n")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAXIMUM_FILE_BYTES + 1))
    for file, said in (
        (tmp_path / "missing.yaml", ":1:1: This file does not exist."),
        (tmp_path, ":1:1: This file cannot be read"),
        (latin, ":2:13: This byte is not UTF-8."),
        (large, f":1:1: The file has {MAXIMUM_FILE_BYTES + 1} bytes"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            read_document(file)
        assert f"{file}{said}" in str(caught.value)


words = st.sampled_from(
    [
        *AgentKeys.model_fields,
        "version",
        "openai",
        "region",
        "azure",
        "base_url",
        "agents",
        "routes",
        "defaults",
        "to",
        "agent",
        "python",
        "type",
        "id",
        "x",
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@given(agent=st.dictionaries(words, values, max_size=6), rest=st.dictionaries(words, values, max_size=3))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_is_written_is_understood_or_explained(agent: object, rest: dict[str, object]) -> None:
    text = yaml.safe_dump({"version": 1, "agents": {"a": agent}, "routes": [{"agent": "a"}], **rest})
    try:
        parse_document(text, file="f.yaml")
    except ConfigurationError as error:
        lines = text.count("\n") + 1
        for problem in error.problems:
            assert 1 <= problem.line <= lines
            assert problem.message
            assert problem.remedy
