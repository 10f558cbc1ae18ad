from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest

from sipagent.audio.g711 import rms_pcmu
from sipagent.cli import main
from sipagent.simulator.phone import Phone
from sipagent.simulator.voice import Voice
from sipagent.simulator.wav import read_stereo_wav
from tests.cli.process import finished, running

pytestmark = [pytest.mark.journey, pytest.mark.timeout(240)]

CONVERSATION = [
    ("agent", "Harbor Dental, good morning. How can I help?"),
    ("caller", "Hello, I would like an appointment. When is your next free slot?"),
    ("agent", "Our next free slot is Tuesday at ten fifteen. Shall I book it for you?"),
    ("caller", "Yes please, that is perfect. Thank you, goodbye."),
    ("agent", "You are booked for Tuesday at ten fifteen. Thank you for calling, goodbye!"),
]
SPEECH_RMS = 300
"""Far above the noise of a silent line, far below any voice."""


def audible_seconds(ulaw: bytes) -> float:
    frames = [ulaw[start : start + 160] for start in range(0, len(ulaw), 160)]
    return sum(rms_pcmu(frame) > SPEECH_RMS for frame in frames) * 0.02


async def test_the_record_and_both_voices_are_there(tmp_path: Path) -> None:
    wav = tmp_path / "call.wav"
    words = ("demo", "--json", "--voice", "tones", "--wav", str(wav))
    code, out, err = await finished(*words, variables={"TMPDIR": str(tmp_path)}, timeout_s=100)
    assert code == 0, out + err
    answer = json.loads(out)
    assert answer["ok"] is True
    assert answer["wav"] == str(wav)
    call = answer["call"]
    assert (call["end_reason"], call["fault_owner"]) == ("agent_hung_up", "none")
    assert (call["caller"], call["dialled"], call["agent"]) == ("+15550100123", "+15550100000", "front-desk")
    assert [(line["role"], line["text"]) for line in call["transcript"]] == CONVERSATION
    assert not [line for line in call["transcript"] if line["interrupted"]]
    [slot] = [tool for tool in call["tools"] if tool["name"] == "next_free_slot"]
    assert (slot["output"], slot["is_error"]) == ("Tuesday at ten fifteen", False)
    assert {"webhook_to_accept", "webhook_to_first_word"} <= {row["name"] for row in call["latencies"]}
    recording = await asyncio.to_thread(lambda: read_stereo_wav(wav.read_bytes()))
    assert audible_seconds(recording.left) > 3, "the caller"
    assert audible_seconds(recording.right) > 5, "the agent"


async def test_it_is_told_as_it_goes_and_then_a_softphone_can_dial(tmp_path: Path) -> None:
    words = ("demo", "--hold", "--sip", "udp:127.0.0.1:0")
    async with running(*words, variables={"TMPDIR": str(tmp_path)}) as process:
        told = await read_until(process, "Ctrl-C stops.")
        live, record = told.split("\nCall rtc_", 1)
        for telling in (live, record):
            places = [telling.index(f"{role:<8}{text}") for role, text in CONVERSATION]
            assert places == sorted(places)
            assert 'next_free_slot({"treatment": "checkup"}) → Tuesday at ten fifteen' in telling
        assert "agent_hung_up (fault of: none)" in record
        assert re.search(r"webhook_to_first_word +\d", record)
        [wav] = re.findall(r"Recording  (\S+call\.wav)", record)
        assert len(await asyncio.to_thread(Path(wav).read_bytes)) > 100_000

        [target] = re.findall(r"Dial  (sip:\S+)", record)
        async with await Phone.open(voice=Voice("tones", speaker="caller")) as phone:
            call = await phone.dial(target)
            async with asyncio.timeout(30):
                assert await call.agent_finished()
            await call.hang_up()
        await read_until(process, "caller_hung_up")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def read_until(process: asyncio.subprocess.Process, mark: str) -> str:
    """What the process prints, up to and with the line that holds ``mark``."""
    assert process.stdout is not None
    seen = ""
    async with asyncio.timeout(100):
        while mark not in seen:
            line = (await process.stdout.readline()).decode()
            assert line, f"the process ended: {seen}"
            seen += line
    return seen


def test_encrypted_signalling_needs_a_certificate_that_no_demo_has(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--sip", "tls:127.0.0.1:0"]) == 1
    assert "sipagent simulator" in capsys.readouterr().err
