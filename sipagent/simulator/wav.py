"""WAV files: reading what speech programs write, writing what a call sounded like."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from pathlib import Path

from sipagent.audio.g711 import PCMU_SILENCE, SAMPLE_RATE_HZ, decode_pcmu, encode_pcmu
from sipagent.audio.pcm import interleave_stereo, mix_to_mono, split_stereo
from sipagent.audio.resample import pcm_to_pcmu
from sipagent.errors import SimulatorError


@dataclass(frozen=True, slots=True, kw_only=True)
class StereoRecording:
    """Two directions of a call as mu-law, both beginning at the same moment."""

    left: bytes
    right: bytes


def read_wav_as_pcmu(data: bytes) -> bytes:
    """The sound of a 16-bit WAV of any rate, mixed to mono, as telephone mu-law.

    Raises `SimulatorError` when ``data`` is something else.
    """
    pcm, channels, rate_hz = _read(data)
    return pcm_to_pcmu(mix_to_mono(pcm) if channels == 2 else pcm, from_hz=rate_hz)


def stereo_wav(recording: StereoRecording) -> bytes:
    """An 8 kHz, 16-bit stereo WAV; the shorter side is filled up with silence."""
    length = max(len(recording.left), len(recording.right))
    left, right = (
        decode_pcmu(side.ljust(length, bytes([PCMU_SILENCE]))) for side in (recording.left, recording.right)
    )
    target = io.BytesIO()
    with wave.open(target, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes(interleave_stereo(left, right))
    return target.getvalue()


def read_stereo_wav(data: bytes) -> StereoRecording:
    """Both sides of an 8 kHz stereo WAV as `stereo_wav` writes it.

    Raises `SimulatorError` when it has another shape.
    """
    pcm, channels, rate_hz = _read(data)
    if channels != 2 or rate_hz != SAMPLE_RATE_HZ:
        raise SimulatorError(
            f"a WAV of {channels} channels at {rate_hz} Hz: 2 at {SAMPLE_RATE_HZ} Hz are read"
        )
    left, right = split_stereo(pcm)
    return StereoRecording(left=encode_pcmu(left), right=encode_pcmu(right))


def write_stereo_wav(path: Path, recording: StereoRecording) -> None:
    """Write the call to ``path``, folders included; blocks for the disk.

    Raises `SimulatorError` when the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stereo_wav(recording))
    except OSError as error:
        raise SimulatorError(f"the recording could not be written to {path}: {error.strerror}") from error


def _read(data: bytes) -> tuple[bytes, int, int]:
    """PCM, channels and rate in Hz."""
    try:
        with wave.open(io.BytesIO(data)) as reader:
            width, channels, rate_hz = reader.getsampwidth(), reader.getnchannels(), reader.getframerate()
            pcm = reader.readframes(reader.getnframes())
    except (wave.Error, EOFError) as error:
        raise SimulatorError(f"this is no WAV file: {error}") from error
    if width != 2 or channels not in (1, 2):
        raise SimulatorError(f"a WAV of {8 * width} bit, {channels} channels: 16 bit, mono or stereo is read")
    return pcm[: len(pcm) - len(pcm) % (2 * channels)], channels, rate_hz
