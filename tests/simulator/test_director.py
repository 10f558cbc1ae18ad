"""What the pretended model does next, and why."""

from __future__ import annotations

import json

import pytest

from sipagent.identifiers import ToolCallId
from sipagent.simulator.director import Cue, Director, PlannedCall, exact_words
from sipagent.simulator.script import parse_script

TOOLS = frozenset({"find", "book"})


def director(text: str) -> Director:
    return Director(parse_script(text, name="test.yaml"))


def heard(*words: str) -> Cue:
    return Cue(heard=words, tools=TOOLS)


def test_turns_are_used_up_one_by_one_and_reactions_use_none() -> None:
    plan = director(
        """
greeting: Hello.
turns: [One., Two.]
otherwise: "Pardon, {caller}"
reactions: [{said: "^help", say: I help.}]
"""
    )
    assert plan.perform(Cue()).say == "Hello."
    assert plan.perform(heard("x")).say == "One."
    assert plan.perform(heard("Help me")).say == "I help."
    assert plan.perform(heard("y")).say == "Two."
    assert plan.perform(heard("and", "z")).say == "Pardon, and z"
    assert plan.perform(Cue()).say == "Pardon, and z", "asked again, with nothing new: no greeting"


def test_outputs_are_put_into_what_follows_the_call() -> None:
    plan = director(
        """
turns:
  - call:
      - {tool: find, with: {day: 2}, then: "{output.day}, that is {output.hours.x}{output}"}
      - {tool: book, then: {say: Booked., call: find, delay_ms: 9}}
      - find
"""
    )
    performance = plan.perform(heard("x"))
    assert performance.say is None
    assert [(call.name, call.arguments) for call in performance.calls] == [
        ("find", '{"day": 2}'),
        ("book", "{}"),
        ("find", "{}"),
    ]
    ids = [ToolCallId(name) for name in "abc"]
    for call_id, call in zip(ids, performance.calls, strict=True):
        plan.called(call_id, call)
    answer = plan.perform(Cue(outputs=((ids[1], "ok"),), tools=TOOLS))
    assert (answer.say, [call.name for call in answer.calls], answer.delay_ms) == ("Booked.", ["find"], 9)
    output = json.dumps({"day": "Tuesday"})
    answer = plan.perform(Cue(outputs=((ids[0], output),)))
    assert answer.say == 'Tuesday, that is .x}{"day": "Tuesday"}'.replace(".x}", "{output.hours.x}")
    assert plan.perform(Cue(outputs=((ids[2], '"ten"'),))).say == "ten"


def test_several_outputs_are_answered_at_once() -> None:
    plan = director("turns: [{call: [{tool: find, then: A.}, {tool: book, then: B.}, find, find]}]\n")
    calls = plan.perform(heard("x")).calls
    ids = [ToolCallId(name) for name in "abcd"]
    for call_id, call in zip(ids, calls, strict=True):
        plan.called(call_id, call)
    outputs = tuple((call_id, call_id) for call_id in ids)
    assert plan.perform(Cue(outputs=outputs)).say == "A. B. a; b; c; d"


def test_a_tool_that_is_not_offered_is_not_called_unless_the_model_is_confused() -> None:
    plan = director(
        "turns: [{call: lost}, {say: Yes., call: lost}, {call: {tool: lost, even_if_missing: true}}]\n"
    )
    first = plan.perform(heard("x"))
    assert (first.say, first.calls) == ("I see. Is there anything else?", ())
    second = plan.perform(heard("x"))
    assert (second.say, second.calls) == ("Yes.", ())
    assert plan.perform(heard("x")).calls == (PlannedCall(name="lost", arguments="{}", then=None),)


def test_keys_are_collected_until_something_is_meant_by_them() -> None:
    plan = director('reactions: [{digits: "1", say: One.}, {digits: "29#", say: Long.}]\n')
    assert [plan.pressed(digit) is not None for digit in "2291229#"] == [
        False, False, False, True, False, False, False, True,
    ]  # fmt: skip


def test_an_aside_leaves_the_script_where_it_is() -> None:
    plan = director("turns: [One.]\notherwise: Else.\n")
    assert plan.perform_aside(heard("x")).say == "Else."
    assert plan.perform_aside(Cue(instructions='Exactly "this"')).say == "this"
    assert plan.perform(heard("x")).say == "One."


def test_quoted_words_are_said_as_they_are_and_use_no_turn() -> None:
    plan = director("turns: [One.]\n")
    cue = Cue(heard=("x",), instructions='Say exactly these words: "{caller} and {output}"')
    assert plan.perform(cue).say == "{caller} and {output}"
    assert plan.perform(heard("x")).say == "One."


@pytest.mark.parametrize(
    ("instructions", "words"),
    [
        (None, None),
        ("Greet the caller.", None),
        ('Say "hello" exactly', None),
        ("Say exactly what you like.", None),
        ('Say exactly "  "', None),
        ('Say exactly "unfinished', None),
        ('Say EXACTLY these words and nothing else: "Hi \\"you\\"\\n\\u00e9" please', 'Hi "you"\n\u00e9'),
    ],
)
def test_exact_words_are_a_json_string_behind_the_word_exactly(
    instructions: str | None, words: str | None
) -> None:
    assert exact_words(instructions) == words
