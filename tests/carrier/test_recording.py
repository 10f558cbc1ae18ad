"""The sound of a call as a file."""

from __future__ import annotations

import asyncio
import os
import stat
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from sipagent.calls.profile import Recording
from sipagent.calls.template import Template
from sipagent.carrier import recording as recording_file
from sipagent.carrier.recording import CallRecorder, KeptRecording, file_name
from sipagent.carrier.recording_tracks import HEADER_BYTES
from sipagent.identifiers import CallId
from tests.carrier.bridged import SPEECH_STARTED, audio_delta, bridged
from tests.carrier.pretended_stream import PretendedStream
from tests.realtime import messages
from tests.support.eventually import eventually
from tests.support.standstill import standstill_watched

CALL = CallId("twilio:CA0123:0")
CONSENT = "This call is recorded."


def how(folder: Path) -> Recording:
    return Recording(consent=Template(CONSENT), folder=folder, keep_days=30)


def sides(path: Path) -> tuple[bytes, bytes]:
    """Both sides of a file, which is whole as far as its header says."""
    data = path.read_bytes()
    size = struct.unpack("<I", data[54:58])[0]
    assert size <= len(data) - HEADER_BYTES
    stereo = data[HEADER_BYTES : HEADER_BYTES + size]
    return stereo[0::2], stereo[1::2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A call of which both sides were recorded until the caller had cut the agent off."""

    kept: list[KeptRecording]
    heard: bytes
    cut_at_s: float
    """From the beginning of the recording."""
    stood_still_s: float


async def recorded(folder: Path, agent_words: bytes, caller_words: bytes) -> Recorded:
    kept: list[KeptRecording] = []
    stream = PretendedStream()
    async with bridged(stream) as it, standstill_watched() as standstill:
        recorder = CallRecorder(
            CALL, how(folder), consent=CONSENT, formats=("g711_ulaw", "g711_ulaw"), kept=kept.append
        )
        it.bridge.record_to(recorder)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await it.peer.send(messages.response_created(), audio_delta(agent_words))
        await eventually(lambda: stream.heard)
        for number, at in enumerate(range(0, len(caller_words), 160)):
            stream.speak(caller_words[at : at + 160], timestamp_ms=1000 + number * 20)
            await asyncio.sleep(max(0.0, began + 0.02 * (number + 1) - loop.time()))
        await it.peer.send(SPEECH_STARTED)
        await it.peer.receive("input_audio_buffer.append")
        await eventually(lambda: stream.clears)
        heard = stream.heard
        cut_at_s = stream.clears[0] - began
        await asyncio.sleep(0.3)
        it.bridge.record_to(None)
        await recorder.finish()
    return Recorded(kept=kept, heard=heard, cut_at_s=cut_at_s, stood_still_s=standstill.longest_s)


async def test_a_call_is_recorded_as_the_caller_heard_it(tmp_path: Path) -> None:
    agent_words, caller_words = bytes(range(1, 121)) * 200, bytes(range(130, 250)) * 40
    for attempt in range(10):
        folder = tmp_path / f"new {attempt}" / "recordings"
        call = await recorded(folder, agent_words, caller_words)
        if call.stood_still_s < 0.05:
            break
    assert [each.seconds is None for each in call.kept] == [True, False]
    last = call.kept[-1]
    assert last.call_id == CALL
    assert last.consent == CONSENT
    assert last.keep_until - last.started_at == timedelta(days=30)
    assert last.path.is_absolute()
    assert last.path.parent == folder
    assert stat.S_IMODE(last.path.stat().st_mode) == 0o600
    left, right = sides(last.path)
    assert last.seconds == len(left) / 8000
    assert last.seconds == pytest.approx(call.cut_at_s + 0.3, abs=0.3)
    # Correlated by their own patterns: each byte says where in the speech it stands.
    assert caller_words in left, "without a gap"
    spoken = right.strip(b"\xff")
    assert agent_words.startswith(spoken)
    assert abs(len(spoken) - len(call.heard)) <= 40 * 8
    first = right.index(spoken) / 8000
    assert first < 0.5
    end = first + len(spoken) / 8000
    assert end == pytest.approx(call.cut_at_s, abs=0.06), "cut where the caller's buffer was emptied"


async def test_a_file_that_is_left_half_plays_up_to_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_file, "WRITE_EVERY_S", 0.05)
    monkeypatch.setattr(recording_file, "SETTLED_S", 0.1)
    kept: list[KeptRecording] = []
    recorder = CallRecorder(
        CALL, how(tmp_path), consent=CONSENT, formats=("g711_alaw", "g711_ulaw"), kept=kept.append
    )
    loop = asyncio.get_running_loop()
    recorder.caller_said(b"\x55" * 160, loop.time())
    await eventually(lambda: kept and len(sides(kept[0].path)[0]) > 800)
    left, right = sides(kept[0].path)
    assert len(left) == len(right)
    assert left.strip(b"\xff") == b"\x7f" * 0 or b"\xd5" not in left, "one law in the file"
    await recorder.finish()
    await recorder.finish()


async def test_a_disk_that_refuses_costs_the_recording_and_not_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    kept: list[KeptRecording] = []
    recorder = CallRecorder(
        CALL, how(blocked), consent=CONSENT, formats=("g711_ulaw", "g711_ulaw"), kept=kept.append
    )
    await recorder.finish()
    recorder.caller_said(bytes(160), asyncio.get_running_loop().time())
    recorder.agent_said(bytes(160), asyncio.get_running_loop().time())
    recorder.agent_cut(asyncio.get_running_loop().time())
    assert kept == []
    assert "not recorded" in caplog.text


async def test_a_disk_that_gets_full_ends_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording_file, "WRITE_EVERY_S", 0.02)
    monkeypatch.setattr(recording_file, "SETTLED_S", 0.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recording_file, "_append", full)
    kept: list[KeptRecording] = []
    recorder = CallRecorder(
        CALL, how(tmp_path), consent=CONSENT, formats=("g711_ulaw", "g711_ulaw"), kept=kept.append
    )
    await eventually(lambda: "ends early" in caplog.text)
    await recorder.finish()
    assert [each.seconds for each in kept] == [None]


async def test_what_a_full_disk_did_not_take_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_file, "WRITE_EVERY_S", 0.02)
    monkeypatch.setattr(recording_file, "SETTLED_S", 0.0)
    whole = recording_file._append

    def full(file: BinaryIO, *written: object) -> None:
        disk = os.open("/dev/full", os.O_RDWR)
        os.dup2(disk, file.fileno())
        os.close(disk)
        whole(file, *written)  # type: ignore[arg-type]

    monkeypatch.setattr(recording_file, "_append", full)
    recorder = CallRecorder(CALL, how(tmp_path), consent=CONSENT, formats=("g711_ulaw", "g711_ulaw"))
    await asyncio.wait([recorder._writing])
    assert recorder._writing.exception() is None


async def test_a_disk_that_hangs_costs_the_recording_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording_file, "WRITE_EVERY_S", 0.02)
    monkeypatch.setattr(recording_file, "SETTLED_S", 0.0)
    monkeypatch.setattr(recording_file, "DISK_WITHIN_S", 0.2)
    free, whole = threading.Event(), recording_file._append

    def hang(file: BinaryIO, *written: object) -> None:
        free.wait(60)
        whole(file, *written)  # type: ignore[arg-type]

    monkeypatch.setattr(recording_file, "_append", hang)
    kept: list[KeptRecording] = []
    with ThreadPoolExecutor(1) as disk:
        recorder = CallRecorder(
            CALL,
            how(tmp_path),
            consent=CONSENT,
            formats=("g711_ulaw", "g711_ulaw"),
            kept=kept.append,
            disk=disk,
        )
        try:
            async with asyncio.timeout(20):
                await eventually(lambda: "did not answer" in caplog.text)
                recorder.caller_said(bytes(160), asyncio.get_running_loop().time())
                assert recorder._caller.end == 0, "nothing piles up behind a disk that hangs"
                await recorder.finish()
                await asyncio.to_thread(str)
        finally:
            free.set()
    assert [each.seconds for each in kept] == [None]


async def test_what_was_held_up_is_written_where_it_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_file, "WRITE_EVERY_S", 0.05)
    monkeypatch.setattr(recording_file, "SETTLED_S", 0.1)
    kept: list[KeptRecording] = []
    recorder = CallRecorder(
        CALL, how(tmp_path), consent=CONSENT, formats=("g711_ulaw", "g711_ulaw"), kept=kept.append
    )
    began = asyncio.get_running_loop().time()
    recorder.agent_said(b"\x02" * 160, began)
    recorder.caller_said(b"\x01" * 160, began)
    await eventually(lambda: kept and len(sides(kept[0].path)[0]) > 1600)
    recorder.caller_said(b"\x03" * 160, began + 0.02)
    recorder.caller_said(b"\x04" * 160, began + 0.1)
    await recorder.finish()
    left, right = sides(kept[0].path)
    assert right.strip(b"\xff") == b"\x02" * 160
    said = left.rstrip(b"\xff")
    assert (said.lstrip(b"\xff")[:320], said[-160:]) == (b"\x01" * 160 + b"\x03" * 160, b"\x04" * 160)
    assert len(said) == pytest.approx(0.12 * 8000, abs=16)


async def test_a_call_without_end_is_recorded_for_as_long_as_calls_may_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_file, "WRITE_EVERY_S", 0.02)
    monkeypatch.setattr(recording_file, "SETTLED_S", 0.0)
    monkeypatch.setattr(recording_file, "LONGEST_S", 1)
    kept: list[KeptRecording] = []
    recorder = CallRecorder(
        CALL, how(tmp_path), consent=CONSENT, formats=("g711_ulaw", "g711_ulaw"), kept=kept.append
    )
    await eventually(lambda: len(kept) == 2)
    assert kept[-1].seconds == 1.0
    for _ in range(10):
        recorder.caller_said(bytes(160), asyncio.get_running_loop().time())
    assert recorder._caller.end == 0, "nothing is kept for nobody"
    await recorder.finish()


@pytest.mark.parametrize(
    "call_id", ["twilio:CA1:0", "../../etc/passwd", "v3:a/b\\c\x00d", "x" * 500, "", "…", "CON", ".hidden"]
)
def test_file_names_are_safe_and_each_calls_own(call_id: str) -> None:
    at = datetime(2026, 11, 21, 9, 30, 5, tzinfo=UTC)
    name = file_name(CallId(call_id), at)
    assert name.startswith("20261121T093005Z_")
    assert name.endswith(".wav")
    assert len(name) < 130
    assert all(character.isascii() and (character.isalnum() or character in "-_.") for character in name)
    assert ".." not in name
    assert name != file_name(CallId(call_id + "x"), at)
