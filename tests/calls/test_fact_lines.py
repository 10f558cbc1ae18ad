from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta, timezone
from typing import get_args

import pytest

from sipagent.calls.fact_lines import decode_line, encode_line, is_essential, line_is_essential
from sipagent.store import CallCheckpointed, Fact
from tests.store import facts

EVERY: tuple[Fact, ...] = (
    facts.opened(),
    facts.state(1, "accepting"),
    facts.line("item_1", 1.5, 'He said: "Füllung"\n\0 \x1b[31m'),
    facts.tool(output="Tuesday"),
    facts.response_tokens(),
    facts.transcription_seconds(),
    facts.latency("accept", 0, 12.25),
    facts.note(0),
    CallCheckpointed(call_id=facts.CALL, epoch=2, sequence=7, at=facts.at(1), data='{"phase":"attached"}'),
    facts.opened(line="stream", carrier="twilio", leg=facts.LEG),
    facts.report(call_id=facts.CALL, parent="CA2", data='{"cause":"Füllung"}'),
    facts.report(),
    facts.recording(),
    facts.recording(seconds=None),
    facts.deleted(),
    facts.ended(),
    facts.loaded(),
)


@pytest.mark.parametrize("fact", EVERY, ids=lambda fact: type(fact).__name__)
def test_a_fact_comes_back_as_it_was(fact: Fact) -> None:
    line = encode_line(fact)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_line(line) == fact


def test_a_moment_elsewhere_is_the_same_moment() -> None:
    fact = facts.state(1, "accepting")
    there = replace(fact, at=fact.at.astimezone(timezone(timedelta(hours=9))))
    assert decode_line(encode_line(there)) == fact


def test_what_no_file_takes_is_replaced() -> None:
    read = decode_line(encode_line(facts.line("item_1", 1, "a\ud83eb")))
    assert read == facts.line("item_1", 1, "a\ufffdb")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"v":2,"kind":"CallEnded","fact":{}}',
        b'{"v":1,"kind":"CallVanished","fact":{}}',
        b'{"v":1,"kind":"CallEnded","fact":{}}',
        b'{"v":1,"kind":"CallEnded"}',
        encode_line(facts.ended())[:-20],
        encode_line(facts.state(1, "accepting")).replace(b'"sequence":1', b'"sequence":"1"'),
        encode_line(facts.ended()) * 2,
    ],
)
def test_what_holds_no_fact_is_none(line: bytes) -> None:
    assert decode_line(line) is None


def test_fields_of_a_later_version_are_ignored_and_those_with_a_default_may_be_missing() -> None:
    line = json.loads(encode_line(facts.response_tokens()))
    del line["fact"]["output_audio_tokens"]
    line["fact"]["invented_later"] = 7
    assert decode_line(json.dumps(line).encode()) == replace(facts.response_tokens(), output_audio_tokens=0)


def test_beginnings_endings_and_configurations_are_essential() -> None:
    essential = {type(fact).__name__ for fact in EVERY if is_essential(fact)}
    assert essential == {"CallOpened", "CallEnded", "ConfigurationLoaded"}
    assert [line_is_essential(encode_line(fact)) for fact in EVERY] == [is_essential(fact) for fact in EVERY]
    assert not line_is_essential(b"no line\n")


def test_every_kind_of_fact_is_tested_here() -> None:
    assert {kind.__name__ for kind in get_args(Fact)} == {type(fact).__name__ for fact in EVERY}
