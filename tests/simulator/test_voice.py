from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from sipagent.audio.g711 import rms_pcmu
from sipagent.errors import SimulatorError
from sipagent.simulator.voice import Voice, shorten_pauses
from sipagent.simulator.wav import StereoRecording, stereo_wav
from tests.support.eventually import eventually

DEMO_LINES = {
    "agent": [
        "Harbor Dental, good morning. How can I help?",
        "Our next free slot is Tuesday at ten fifteen. Shall I book it for you?",
        "You are booked for Tuesday at ten fifteen. Thank you for calling, goodbye!",
    ],
    "caller": [
        "Hello, I would like an appointment. When is your next free slot?",
        "Yes please, that is perfect. Thank you, goodbye.",
    ],
}


def longest_pause_ms(ulaw: bytes) -> int:
    longest = pause = 0
    for start in range(0, len(ulaw), 160):
        pause = pause + 20 if rms_pcmu(ulaw[start : start + 160]) < 150 else 0
        longest = max(longest, pause)
    return longest


def program(folder: Path, body: str) -> str:
    """A pretended `espeak-ng`; ``target`` is where it is to write."""
    path = folder / "espeak-ng"
    path.write_text(
        f"#!{sys.executable}\nimport os, sys, time\ntext = sys.stdin.read()\n"
        f"target = sys.argv[sys.argv.index('-w') + 1]\n{body}\n"
    )
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Half a second of sound, a pause of a second, half a second of sound."""
    spoken = b"\x10\x90" * 2000 + b"\xff" * 8000 + b"\x10\x90" * 2000
    path = tmp_path / "recorded.wav"
    path.write_bytes(stereo_wav(StereoRecording(left=spoken, right=spoken)))
    return path


@pytest.mark.parametrize("line", [line for lines in DEMO_LINES.values() for line in lines])
async def test_the_demonstration_is_spoken_by_shipped_prompts(line: str) -> None:
    prompt = await Voice("prompts").speak(line)
    assert prompt != await Voice("tones").speak(line)
    assert 2.0 < len(prompt) / 8000 < 6.0
    assert rms_pcmu(prompt) > 1000
    assert longest_pause_ms(prompt) <= 240
    assert await Voice("prompts").speak(f"  {line.upper().replace(' ', '  ')} ") == prompt, "only words count"


async def test_prompts_fall_back_to_tones() -> None:
    assert await Voice("prompts").speak("Something new") == await Voice("tones").speak("Something new")


async def test_tones_are_always_the_same_and_differ_by_line_and_speaker() -> None:
    line = await Voice("tones").speak("When is your next free slot?")
    assert line == await Voice("tones").speak("When is your next free slot?")
    assert line != await Voice("tones").speak("Where is your next free slot?")
    assert line != await Voice("tones", speaker="caller").speak("When is your next free slot?")


@pytest.mark.parametrize("length", [1, 10, 60, 140, 900])
async def test_tones_last_as_long_as_speech_and_pause_shortly(length: int) -> None:
    spoken = await Voice("tones").speak("a" * length)
    assert len(spoken) / 8 == min(10_000, max(300, 65 * length))
    assert rms_pcmu(spoken) > 1000
    assert longest_pause_ms(spoken) <= 240


@pytest.mark.parametrize("mode", ["tones", "prompts"])
async def test_blank_text_is_no_sound(mode: str) -> None:
    assert await Voice("tones" if mode == "tones" else "prompts").speak("  \n ") == b""


async def test_a_program_speaks_and_its_pauses_are_shortened(tmp_path: Path, recorded: Path) -> None:
    said = tmp_path / "said"
    body = (
        f"open({str(said)!r}, 'a').write(text + '|')\nimport shutil; shutil.copy({str(recorded)!r}, target)"
    )
    voice = Voice("command", program=program(tmp_path, body))
    spoken = await voice.speak("--help me,\n please")
    assert len(spoken) == 8000 + 240 * 8
    assert await voice.speak("--help me, please") == spoken
    assert said.read_text() == "--help me, please|", "the second time from memory"


async def test_programs_run_one_at_a_time(tmp_path: Path, recorded: Path) -> None:
    log = tmp_path / "log"
    body = (
        f"log = open({str(log)!r}, 'a', buffering=1)\nlog.write('[')\ntime.sleep(0.05)\n"
        f"import shutil; shutil.copy({str(recorded)!r}, target)\nlog.write(']')"
    )
    voice = Voice("command", program=program(tmp_path, body))
    await asyncio.gather(*(voice.speak(f"line {number}") for number in range(3)))
    assert log.read_text() == "[][][]"


@pytest.mark.parametrize("body", ["sys.exit(3)", "pass", "open(target, 'w').write('no sound')"])
async def test_a_program_that_fails_is_an_error_or_replaced_by_tones(tmp_path: Path, body: str) -> None:
    path = program(tmp_path, body)
    with pytest.raises(SimulatorError):
        await Voice("command", program=path).speak("Hello there")
    assert await Voice("auto", program=path).speak("Hello there") == await Voice("tones").speak("Hello there")


async def test_a_program_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.simulator.voice._PROGRAM_DEADLINE_S", 0.2)
    with pytest.raises(SimulatorError, match="did not finish within 0.2 s"):
        await Voice("command", program=program(tmp_path, "time.sleep(60)")).speak("Hello")


async def test_cancelling_kills_the_program(tmp_path: Path) -> None:
    alive = tmp_path / "pid"
    voice = Voice(
        "command",
        program=program(tmp_path, f"open({str(alive)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"),
    )
    speaking = asyncio.ensure_future(voice.speak("Hello"))
    await eventually(lambda: alive.exists() and alive.read_text())
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    pid = int(alive.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SimulatorError, match="install espeak-ng or flite"):
        Voice("command")
    Voice("auto")


def test_pauses_are_shortened_inside_and_removed_at_the_ends() -> None:
    loud, quiet = b"\x10\x90" * 80, b"\xff" * 160
    spoken = quiet * 10 + loud * 3 + quiet * 50 + loud * 2 + quiet * 5 + loud + quiet * 20
    assert shorten_pauses(spoken) == loud * 3 + quiet * 12 + loud * 2 + quiet * 5 + loud
    assert shorten_pauses(spoken, max_pause_ms=40) == loud * 3 + quiet * 2 + loud * 2 + quiet * 2 + loud
    assert shorten_pauses(quiet * 4) == b""
    assert shorten_pauses(b"") == b""
