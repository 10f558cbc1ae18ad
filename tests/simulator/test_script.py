"""Scripts: what can be written, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipagent.errors import ScriptError, SimulatorError
from sipagent.simulator.faults import Fault
from sipagent.simulator.script import (
    Step,
    ToolUse,
    default_script,
    load_script,
    parse_script,
    shipped_script,
)

EVERYTHING = r"""
voice: tones
greeting: Good morning.
turns:
  - Just words.
  - say: One moment.
    delay_ms: 20
    call:
      - hang_up
      - tool: next_free_slot
        with: {treatment: checkup, days: [1, 2]}
        then: {say: "It is {output}."}
        even_if_missing: true
otherwise: {say: "Pardon?"}
reactions:
  - {said: '\bbye\b', say: Goodbye!, call: hang_up}
  - {digits: "12#", say: You pressed it.}
caller:
  lines: [Hello., Bye.]
delay_ms: 10
pace: 3.5
transcription: {delay_ms: [0, 500], fails: true}
vad: {threshold: 0.3, prefix_padding_ms: 100, silence_duration_ms: 400}
faults: [socket_dropped, "accept_slow=2, webhook_late"]
announces_session: false
announces_truncation: true
"""


def test_everything_that_can_be_written_is_read() -> None:
    script = parse_script(EVERYTHING, name="x.yaml")
    assert script.voice == "tones"
    assert script.greeting == Step(say="Good morning.")
    assert script.turns[0] == Step(say="Just words.")
    assert script.turns[1] == Step(
        say="One moment.",
        delay_ms=20,
        calls=(
            ToolUse(name="hang_up"),
            ToolUse(
                name="next_free_slot",
                arguments={"treatment": "checkup", "days": [1, 2]},
                then=Step(say="It is {output}."),
                even_if_missing=True,
            ),
        ),
    )
    assert script.otherwise == Step(say="Pardon?")
    said, digits = script.reactions
    assert said.said is not None
    assert said.said.search("OK, BYE then")
    assert said.step == Step(say="Goodbye!", calls=(ToolUse(name="hang_up"),))
    assert (digits.said, digits.digits) == (None, "12#")
    assert script.caller_lines == ("Hello.", "Bye.")
    assert (script.delay_ms, script.pace) == (10, 3.5)
    assert list(script.transcription.delays_ms) == [0, 500]
    assert script.transcription.fails
    assert script.vad == {"threshold": 0.3, "prefix_padding_ms": 100, "silence_duration_ms": 400}
    assert script.faults.seconds(Fault.ACCEPT_SLOW) == 2
    assert Fault.SOCKET_DROPPED in script.faults
    assert Fault.WEBHOOK_LATE in script.faults
    assert not script.announces_session
    assert script.announces_truncation


def test_every_mistake_is_found_at_once_with_its_place_and_remedy() -> None:
    text = """\
voice: loud
greting: Hello.
turns:
  - {delay_ms: 1}
  - say: ""
  - 5: x
  - {call: {with: {a: 1}}, say: x}
  - {call: {tool: x, with: {day: 2024-01-01}}}
otherwise: [1]
reactions:
  - {said: "(", say: x}
  - {say: x}
  - {said: a, digits: "1", say: x}
  - {digits: "1x", say: x}
  - word
  - {said: a, say: null, call: {then: x, even_if_missing: maybe, with: 5}}
  - {said: a, say: b, call: [[x]]}
caller: {lines: nobody}
delay_ms: yes
pace: 0
vad: {threshold: 2}
faults: nonsense
announces_session: 1
voice: tones
"""
    with pytest.raises(ScriptError) as caught:
        parse_script(text, name="bad.yaml")
    places = [(problem.line, problem.column) for problem in caught.value.problems]
    assert places == sorted(places)
    assert {line for line, _ in places} == {1, 2, 4, 5, 6, 7, 8, 9, *range(11, 25)}
    for problem in caught.value.problems:
        assert problem.file == "bad.yaml"
        assert problem.remedy
    described = str(caught.value)
    assert "bad.yaml:2:1: Unknown key 'greting'. Did you mean 'greeting'?" in described
    assert "'voice' is here twice" in described


@pytest.mark.parametrize("text", ["", "a: [", "\x00", "greeting: *nobody"])
def test_what_is_no_script_at_all(text: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script(text, name="bad.yaml")
    assert caught.value.problems[0].line >= 1


def test_files_are_read_and_their_absence_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("greeting: Grüß Gott.\n", encoding="utf-8")
    assert load_script(path).greeting.say == "Grüß Gott."
    with pytest.raises(ScriptError, match="cannot be read"):
        load_script(tmp_path / "other.yaml")
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ScriptError, match="cannot be read"):
        load_script(path)


def test_the_shipped_scripts_are_good() -> None:
    assert default_script().greeting.say
    demo = shipped_script("demo")
    assert demo.greeting.say == "Harbor Dental, good morning. How can I help?"
    assert [call.name for step in demo.turns for call in step.calls] == ["next_free_slot", "hang_up"]
    assert len(demo.caller_lines) == 2
    chat = shipped_script("chat")
    called = {call.name for reaction in chat.reactions for call in reaction.step.calls}
    assert called == {"next_free_slot", "hang_up", "transfer"}
    with pytest.raises(SimulatorError, match="nowhere"):
        shipped_script("nowhere")
