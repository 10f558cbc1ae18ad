from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sipagent.cli import main
from sipagent.cli.example import example_configuration
from sipagent.guide import read_page
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from tests.support.ports import free_port

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240)]

SLOW = "pace: 1\ngreeting: Hello.\nturns: ['" + "word " * 400 + "']\notherwise: Yes.\n"


async def piped(
    words: tuple[str, ...], text: str, *, variables: Mapping[str, str] | None = None, cwd: Path | None = None
) -> tuple[int, str, str]:
    """Exit code, output and errors of ``sipagent chat WORDS`` with ``text`` as its input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sipagent", "chat", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(variables or {})},
        cwd=cwd,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(text.encode()), 90)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


# Pipes ----------------------------------------------------------------------------------------------


async def test_a_newcomer_without_key_or_configuration_talks_with_the_example(tmp_path: Path) -> None:
    text = "When are you free?\n\nyes please\n/history\n//slash\n/histroy\n"
    code, out, err = await piped(("--simulator",), text, cwd=tmp_path)
    assert (code, err) == (0, "")
    shown = re.sub(r"\(\d+ ms\)", "(N ms)", out).splitlines()
    assert shown[:7] == [
        "front-desk (gpt-realtime-2.1) at the simulator",
        "front-desk  Harbor Dental, good morning. How can I help?",
        "you         When are you free?",
        'tool        next_free_slot({"treatment": "checkup"}) -> Tuesday at ten fifteen (N ms)',
        "front-desk  Our next free slot is Tuesday at ten fifteen. Shall I book it for you?",
        "you         yes please",
        "front-desk  You are booked for Tuesday at ten fifteen. Is there anything else?",
    ]
    assert "you    When are you free?" in out, "the history"
    assert "you         /slash" in out
    assert "There is no command /histroy. Did you mean `/history`?" in out
    assert out.endswith("You ended the conversation.\n")
    assert "\x1b" not in out


async def test_the_agent_ends_it_by_hanging_up_although_more_was_to_come(tmp_path: Path) -> None:
    code, out, _ = await piped(("--simulator",), "Goodbye!\nAre you there?\n", cwd=tmp_path)
    assert code == 0
    assert "Are you there?" not in out
    assert out.endswith("The agent ended the conversation.\n")


async def test_machines_read_an_event_a_line(tmp_path: Path) -> None:
    words = ("--simulator", "--json", "--agent", "front-desk", "--config", str(example_configuration()))
    text = "When are you free?\n/usage\n/agent\n/help\n/quit\nnever read\n"
    code, out, err = await piped(words, text, cwd=tmp_path)
    assert (code, err) == (0, "")
    told = events(out)
    assert [each["type"] for each in told if each["type"] != "words"] == [
        "opened", "line", "settled",
        "you", "tool_started", "tool_ended", "line", "settled",
        "usage", "agent", "help", "note", "over",
    ]  # fmt: skip
    [tool] = [each for each in told if each["type"] == "tool_ended"]
    assert (tool["name"], tool["output"], tool["is_error"]) == (
        "next_free_slot",
        "Tuesday at ten fifteen",
        False,
    )
    words_of_all = "".join(each["words"] for each in told if each["type"] == "words")
    assert words_of_all == "".join(each["text"] for each in told if each["type"] == "line")
    assert told[-1]["cause"] == "left"
    assert told[-1]["usage"]["requests"] == 3
    page = read_page("chat")
    assert page is not None
    assert not [each["type"] for each in told if f"`{each['type']}`" not in page]


TOOLS = '''
from sipagent.realtime import function_tool


@function_tool(needs_approval=True)
def send_invoice(number: int) -> str:
    """Send an invoice."""
    return f"sent {number}"
'''
OWN = """
version: 1
agents:
  billing:
    instructions: Be exact.
    tools: [{python: "chat_test_tools:send_invoice"}]
  front-desk: {instructions: Be kind.}
routes: [{agent: billing}]
"""
OWN_SCRIPT = """
turns: [{call: {tool: send_invoice, with: {number: 7}, then: "Result: {output}"}}, "Anything else?"]
"""


@pytest.fixture
def practice(tmp_path: Path) -> Path:
    """A folder with a configuration of one's own, a tool that asks, and a script."""
    (tmp_path / "sipagent.yaml").write_text(OWN, encoding="utf-8")
    (tmp_path / "script.yaml").write_text(OWN_SCRIPT, encoding="utf-8")
    (tmp_path / "chat_test_tools.py").write_text(TOOLS, encoding="utf-8")
    return tmp_path


async def test_ones_own_agent_follows_ones_own_script_and_asks(practice: Path) -> None:
    words = ("--agent", "billing", "--simulator", "script.yaml")
    code, out, err = await piped(words, "Send it\ny\nThanks\n", cwd=practice)
    assert (code, err) == (0, "")
    assert 'May send_invoice({"number": 7}) run? [y/n] y\n' in out
    assert "billing  Result: sent 7\n" in out
    assert "billing  Anything else?\n" in out
    code, out, _ = await piped((*words, "--json"), "Send it\nno\n", cwd=practice)
    assert code == 0
    assert "approval_required" in [each["type"] for each in events(out)]
    assert "sent 7" not in out


# What can be wrong ----------------------------------------------------------------------------------


@pytest.fixture
def no_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield


@pytest.mark.usefixtures("no_input")
def test_without_a_key_it_is_said_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--config", str(example_configuration())]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sipagent: OPENAI_API_KEY is not set")
    assert "--simulator, which needs none" in captured.err


@pytest.mark.usefixtures("no_input")
def test_an_unknown_agent_is_answered_with_the_likely_one(
    practice: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(practice)
    assert main(["chat", "--simulator", "--agent", "front-dsk"]) == 1
    assert "Did you mean `front-desk`?" in capsys.readouterr().err
    assert main(["chat", "--simulator"]) == 1
    assert "name one with --agent (billing, front-desk)" in capsys.readouterr().err


@pytest.mark.usefixtures("no_input")
def test_what_goes_wrong_is_one_line_of_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sipagent.yaml").write_text("version: 2\n", encoding="utf-8")
    assert main(["chat", "--simulator", "--json", "--config", str(tmp_path / "sipagent.yaml")]) == 1
    captured = capsys.readouterr()
    [told] = events(captured.out)
    assert (told["type"], told["ok"], captured.err) == ("failed", False, "")
    assert "`version` is 2" in told["error"]
    assert "`version` is 2." in [problem["message"] for problem in told["problems"]]


@pytest.mark.usefixtures("no_input")
def test_a_script_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--simulator", "nowhere.yaml"]) == 1
    assert "nowhere.yaml:1:1: The script cannot be read" in capsys.readouterr().err


async def test_a_reader_who_has_read_enough_and_no_input_at_all_are_no_accidents(tmp_path: Path) -> None:
    for more in ("--json", "--agent=front-desk"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sipagent", "chat", "--simulator", more),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=(ends := os.pipe())[1],
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
        )
        for end in ends:
            os.close(end)
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode, err) == (1, b"")
    process = await asyncio.create_subprocess_shell(
        f"exec {sys.executable} -m sipagent chat --simulator <&-",
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert err.startswith(b"sipagent: there is nothing to read from")


@asynccontextmanager
async def real_api(script: str, **options: Any) -> AsyncIterator[dict[str, str]]:
    """A simulator elsewhere, which stands for the real address; what to set so that it is found."""
    plan = parse_script(script, name="test")
    async with Simulator(SimulatorOptions(script=plan, voice=SilentVoice(), **options)) as simulator:
        yield {"OPENAI_API_KEY": "the-right-key", "OPENAI_BASE_URL": simulator.base_url}


async def test_the_address_and_key_of_the_environment_are_used(tmp_path: Path) -> None:
    words = ("--config", str(example_configuration()))
    async with real_api("greeting: Hi.\notherwise: It is I.", api_key="the-right-key") as variables:
        code, out, err = await piped(words, "Who is it?\n", variables=variables, cwd=tmp_path)
        assert (code, err) == (0, "")
        assert f"at {variables['OPENAI_BASE_URL']}" in out
        assert "front-desk  It is I." in out
        wrong = {**variables, "OPENAI_API_KEY": "the-wrong-key"}
        code, out, err = await piped(words, "Who is it?\n", variables=wrong, cwd=tmp_path)
        assert (code, out) == (1, "")
        assert "does not take the key in OPENAI_API_KEY (401)" in err
        assert "the-wrong-key" not in err


async def test_nobody_at_the_address_is_a_sentence(tmp_path: Path) -> None:
    variables = {"OPENAI_API_KEY": "key", "OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}
    words = ("--config", str(example_configuration()))
    code, out, err = await piped(words, "", variables=variables, cwd=tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith(f"sipagent: no answer from {variables['OPENAI_BASE_URL']}")
    assert "Traceback" not in err


async def test_a_connection_that_breaks_is_exit_code_1(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(SLOW.replace("Hello.", "word " * 50) + "faults: socket_dropped\n", encoding="utf-8")
    words = ("--simulator", str(script), "--json", "--config", str(example_configuration()))
    code, out, err = await piped(words, "Hello\n", cwd=tmp_path)
    assert (code, err) == (1, "")
    assert [each["type"] for each in events(out)][-2:] == ["over", "failed"]
    assert events(out)[-2]["cause"] == "disconnected"


# A terminal -----------------------------------------------------------------------------------------


class Terminal:
    """``sipagent chat`` at a pseudo terminal."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self._descriptor = descriptor
        self._process = process
        self.shown = ""

    def press(self, keys: str) -> None:
        """Type ``keys``; ``\x03`` is Ctrl-C, ``\x04`` Ctrl-D."""
        os.write(self._descriptor, keys.encode())

    async def shows(self, mark: str, *, times: int = 1) -> None:
        """Return when ``mark`` has been shown so often."""
        async with asyncio.timeout(60):
            while self.shown.count(mark) < times:
                assert await self._read(), f"{mark!r} never came: {self.shown}"

    async def ended(self) -> int:
        """The exit code, with everything read."""
        async with asyncio.timeout(60):
            while await self._read():
                pass
            return await self._process.wait()

    async def _read(self) -> bool:
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._descriptor, readable.set)
        try:
            await readable.wait()
            piece = os.read(self._descriptor, 4096)
        except OSError:  # how Linux says that nobody has the other end any more
            return False
        finally:
            loop.remove_reader(self._descriptor)
        self.shown += piece.decode()
        return bool(piece)


@asynccontextmanager
async def at_terminal(*words: str, cwd: Path, **variables: str) -> AsyncIterator[Terminal]:
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.cli.at_terminal", "chat", *words),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        cwd=cwd,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "PYTHONPATH": ROOT, **variables},
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


ROOT = str(Path(__file__).parents[2])
PROMPT = "\x1b[36myou"


async def test_at_a_terminal_an_answer_can_be_cut_off(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(SLOW, encoding="utf-8")
    config = str(example_configuration())
    async with at_terminal("--simulator", str(script), "--config", config, cwd=tmp_path) as terminal:
        await terminal.shows(PROMPT)
        assert "Harbor Dental, good morning. How can I help?" in terminal.shown
        terminal.press("Tell me everything\n")
        await terminal.shows("word word")
        terminal.press("\x03")
        await terminal.shows("(interrupted)")
        await terminal.shows(PROMPT, times=2)
        assert terminal.shown.count("word") < 300
        terminal.press("And now?\n")
        await terminal.shows("Yes.")
        await terminal.shows(PROMPT, times=3)
        terminal.press("\x04")
        assert await terminal.ended() == 0
        assert "You ended the conversation." in terminal.shown


async def test_a_second_ctrl_c_ends_and_a_line_in_between_forgives_the_first(tmp_path: Path) -> None:
    async with at_terminal("--simulator", cwd=tmp_path) as terminal:
        await terminal.shows(PROMPT)
        terminal.press("\x03")
        await terminal.shows("Ctrl-C again ends, and so do Ctrl-D and /quit")
        terminal.press("when are you free?\n")
        await terminal.shows("Shall I book it for you?")
        assert "next_free_slot" in terminal.shown
        await terminal.shows(PROMPT, times=3)
        terminal.press("\x03")
        await terminal.shows("Ctrl-C again ends", times=2)
        terminal.press("\x03")
        assert await terminal.ended() == 130
        assert "Traceback" not in terminal.shown


async def test_at_a_terminal_approvals_are_asked_until_they_are_answered(practice: Path) -> None:
    words = ("--agent", "billing", "--simulator", "script.yaml")
    async with at_terminal(*words, cwd=practice) as terminal:
        await terminal.shows(PROMPT)
        terminal.press("send it\n")
        await terminal.shows("[y/n]")
        terminal.press("perhaps\n")
        await terminal.shows("[y/n]", times=2)
        terminal.press("y\n")
        await terminal.shows("Result: sent 7")
        await terminal.shows(PROMPT, times=2)
        terminal.press("/quit\n")
        assert await terminal.ended() == 0


async def test_ctrl_c_in_a_pipe_ends_like_at_a_terminal(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sipagent", "chat", "--simulator", "--json"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while b'"settled"' not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            assert b'"note"' in await process.stdout.readline()
            process.send_signal(signal.SIGINT)
            # Standard input stays open: its end would be an orderly one, and might be seen first.
            await process.stdout.read()
            assert await process.wait() == 130
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
