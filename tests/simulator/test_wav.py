from __future__ import annotations

import io
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.g711 import decode_pcmu
from sipagent.audio.pcm import interleave_stereo
from sipagent.errors import SimulatorError
from sipagent.simulator.wav import (
    StereoRecording,
    read_stereo_wav,
    read_wav_as_pcmu,
    stereo_wav,
    write_stereo_wav,
)

# 0x7F, the second zero, comes back as the first.
audio = st.binary(max_size=400).map(lambda data: data.replace(b"\x7f", b"\xff"))


def wav(pcm: bytes, *, width: int = 2, channels: int = 1, rate_hz: int = 8000) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as writer:
        writer.setsampwidth(width)
        writer.setnchannels(channels)
        writer.setframerate(rate_hz)
        writer.writeframes(pcm)
    return target.getvalue()


@given(audio, audio)
def test_both_sides_come_back_and_the_shorter_is_filled_up(left: bytes, right: bytes) -> None:
    found = read_stereo_wav(stereo_wav(StereoRecording(left=left, right=right)))
    length = max(len(left), len(right))
    assert found == StereoRecording(left=left.ljust(length, b"\xff"), right=right.ljust(length, b"\xff"))


def test_other_programs_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "call.wav"
    write_stereo_wav(path, StereoRecording(left=b"\x10" * 800, right=b"\xff" * 800))
    with wave.open(str(path)) as reader:
        assert reader.getparams()[:4] == (2, 2, 8000, 800)
        assert reader.readframes(1) == decode_pcmu(b"\x10") + b"\x00\x00"


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SimulatorError, match="could not be written"):
        write_stereo_wav(tmp_path / "file" / "call.wav", StereoRecording(left=b"", right=b""))


def test_mono_and_stereo_of_any_rate_become_telephone_sound() -> None:
    speech = b"\x10\x90" * 400
    pcm = decode_pcmu(speech)
    assert read_wav_as_pcmu(wav(pcm)) == speech
    assert read_wav_as_pcmu(wav(interleave_stereo(pcm, pcm), channels=2)) == speech
    assert len(read_wav_as_pcmu(wav(pcm, rate_hz=16000))) == pytest.approx(400, abs=2)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "no WAV"),
        (b"RIFF", "no WAV"),
        (b"hello, this is text", "no WAV"),
        (wav(b"\x00" * 8, width=1), "8 bit"),
        (wav(b"\x00" * 24, channels=3), "3 channels"),
    ],
)
def test_what_is_no_such_wav_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(SimulatorError, match=complaint):
        read_wav_as_pcmu(data)


def test_a_mono_file_has_no_two_sides() -> None:
    with pytest.raises(SimulatorError, match="1 channels at 8000 Hz"):
        read_stereo_wav(wav(b"\x00\x00"))
    with pytest.raises(SimulatorError, match="2 channels at 16000 Hz"):
        read_stereo_wav(wav(b"\x00" * 4, channels=2, rate_hz=16000))
