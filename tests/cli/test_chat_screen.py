from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator

import pytest
from rich.console import Console

from sipagent.cli.chat_screen import JsonScreen, TextScreen, printable, shortened
from sipagent.cli.lines import Lines

AGENT = {"name": "front-desk", "model": "gpt-realtime-2.1", "tools": (), "handoffs": ()}


@pytest.fixture
def keyboard() -> Iterator[tuple[Lines, int]]:
    reader, writer = os.pipe()
    yield Lines(reader), writer
    os.close(reader)
    os.close(writer)


def text_screen(lines: Lines, *, terminal: bool) -> tuple[TextScreen, io.StringIO]:
    out = io.StringIO()
    console = Console(
        file=out,
        force_terminal=terminal,
        no_color=True,
        highlight=False,
        markup=False,
        soft_wrap=True,
        width=200,
    )
    return TextScreen(console, lines, asks=terminal), out


def plain(out: io.StringIO) -> str:
    """What was shown, without the codes for dim and bold."""
    shown = out.getvalue()
    for code in ("\x1b[2m", "\x1b[0m"):
        shown = shown.replace(code, "")
    return shown


def test_in_a_pipe_lines_appear_whole_and_yours_too(keyboard: tuple[Lines, int]) -> None:
    screen, out = text_screen(keyboard[0], terminal=False)
    screen.opened(AGENT, "the simulator")
    screen.said("front-desk", "Good ")
    screen.line("front-desk", "Good morning.", interrupted=False)
    screen.prompt()
    screen.typed()
    screen.heard("Hello [bold]you[/bold]")
    screen.tool_started("find_slot", "{}")
    screen.tool_ended("find_slot", '{"day": 1}', "Tuesday", is_error=False, duration_ms=12.3)
    screen.line("front-desk", "Tues", interrupted=True)
    screen.settled("front-desk")
    screen.over("left", "You ended the conversation.", {})
    assert out.getvalue() == (
        "front-desk (gpt-realtime-2.1) at the simulator\n"
        "front-desk  Good morning.\n"
        "you         Hello [bold]you[/bold]\n"
        'tool        find_slot({"day": 1}) -> Tuesday (12 ms)\n'
        "front-desk  Tues  (interrupted)\n"
        "You ended the conversation.\n"
    )


def test_on_a_terminal_words_appear_as_they_come(keyboard: tuple[Lines, int]) -> None:
    screen, out = text_screen(keyboard[0], terminal=True)
    screen.said("front-desk", "Good ")
    assert plain(out) == "front-desk  Good "
    screen.said("front-desk", "morning.")
    screen.line("front-desk", "Good morning.", interrupted=False)
    screen.prompt()
    screen.typed()
    screen.heard("Hello")
    screen.said("front-desk", "One mo")
    screen.failed("something broke")
    screen.said("front-desk", "ment")
    screen.line("front-desk", "One moment", interrupted=True)
    assert plain(out) == (
        "front-desk  Good morning.\n"
        "you  "
        "front-desk  One mo\n"
        "error: something broke\n"
        "front-desk  ment  (interrupted)\n"
    )


def test_handoffs_guardrails_and_answers_to_commands(keyboard: tuple[Lines, int]) -> None:
    screen, out = text_screen(keyboard[0], terminal=False)
    screen.handed_off("front-desk", "billing")
    screen.guardrail_tripped("no_prices", "That is\nten euros")
    screen.show("usage", {}, [("input tokens", "3"), ("requests", "1")])
    screen.show("history", [], [])
    assert out.getvalue() == (
        "front-desk hands over to billing\n"
        "guardrail no_prices stops this: That is ten euros\n"
        "input tokens  3\n"
        "requests      1\n"
        "nothing yet\n"
    )


async def test_somebody_who_can_be_asked_again_is(keyboard: tuple[Lines, int]) -> None:
    lines, writer = keyboard
    screen, out = text_screen(lines, terminal=True)
    os.write(writer, b"perhaps\nYES\n")
    assert await screen.approve("send_invoice", '{"number": 7}') is True
    assert plain(out).count('May send_invoice({"number": 7}) run? [y/n] ') == 2


@pytest.mark.parametrize(("answer", "expected"), [(b"y\n", True), (b"n\n", False), (b"perhaps\n", False)])
async def test_in_a_pipe_the_next_line_is_the_answer(
    answer: bytes, expected: bool, keyboard: tuple[Lines, int], capsys: pytest.CaptureFixture[str]
) -> None:
    lines, writer = keyboard
    os.write(writer, answer)
    screen, out = text_screen(lines, terminal=False)
    assert await screen.approve("send", "{}") is expected
    assert out.getvalue() == f"May send({{}}) run? [y/n] {answer.decode()}"
    os.write(writer, answer)
    assert await JsonScreen(lines).approve("send", "{}") is expected
    assert json.loads(capsys.readouterr().out) == {
        "type": "approval_required",
        "name": "send",
        "arguments": "{}",
    }


async def test_nobody_is_no() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        for terminal in (True, False):
            screen, _ = text_screen(Lines(nothing), terminal=terminal)
            assert await screen.approve("send", "{}") is False
        assert await JsonScreen(Lines(nothing)).approve("send", "{}") is False
    finally:
        os.close(nothing)


def test_machines_get_an_object_a_line(
    keyboard: tuple[Lines, int], capsys: pytest.CaptureFixture[str]
) -> None:
    screen = JsonScreen(keyboard[0])
    screen.opened(AGENT, "the simulator")
    screen.prompt()
    screen.typed()
    screen.heard("Hello")
    screen.said("front-desk", "Hi")
    screen.line("front-desk", "Hi", interrupted=True)
    screen.tool_started("find", "{}")
    screen.tool_ended("find", "{}", "x" * 5000, is_error=True, duration_ms=1.23456)
    screen.handed_off("front-desk", "billing")
    screen.guardrail_tripped("no_prices", "ten")
    screen.failed("broke")
    screen.note("a note")
    screen.show("usage", {"requests": 1}, [("requests", "1")])
    screen.settled("billing")
    screen.over("left", "You ended the conversation.", {"requests": 1})
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["type"] for each in told] == [
        "opened", "you", "words", "line", "tool_started", "tool_ended", "handoff", "guardrail_tripped",
        "error", "note", "usage", "settled", "over",
    ]  # fmt: skip
    assert told[3] == {"type": "line", "agent": "front-desk", "text": "Hi", "interrupted": True}
    assert (len(told[5]["output"]), told[5]["is_error"], told[5]["duration_ms"]) == (5000, True, 1.235)
    assert told[10] == {"type": "usage", "usage": {"requests": 1}}


def test_what_could_steer_a_terminal_is_not_shown() -> None:
    assert printable("a\x1b[2Jb\rc\x07\u202ed\n\te") == "a�[2Jb�c��d\n\te"
    assert shortened("a \n b\x1b") == "a b�"
    assert shortened("x" * 700) == f"{'x' * 600}… (100 characters more)"
