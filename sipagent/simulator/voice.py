"""What simulated people sound like: shipped prompts, a speech program on PATH, or speech-like tones."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import shutil
import tempfile
import zlib
from collections import OrderedDict
from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeAlias

from sipagent.audio.g711 import FRAME_BYTES, SAMPLE_RATE_HZ, encode_pcmu, rms_pcmu
from sipagent.errors import SimulatorError
from sipagent.simulator.wav import read_wav_as_pcmu

VoiceMode: TypeAlias = Literal["auto", "tones", "prompts", "command"]
Speaker: TypeAlias = Literal["agent", "caller"]

_PROGRAMS = ("espeak-ng", "flite")
_PROGRAM_DEADLINE_S = 10.0
_MAX_TEXT = 2000
_CACHED_LINES = 128
_MAX_PAUSE_MS = 240
"""Longest pause inside a line: shorter than any VAD setting takes for the end of a turn."""
_QUIET_RMS = 150

_MS_PER_CHARACTER = 65
_SHORTEST_TONES_MS = 300
_LONGEST_TONES_MS = 10_000

logger = logging.getLogger(__name__)


class Voice:
    """Turns lines into telephone audio.

    ``mode``: ``tones`` always bursts of tones; ``prompts`` a shipped recording of exactly this line, else
    tones; ``command`` always the speech program; ``auto`` a prompt, else the program if one is on PATH, else
    tones. ``speaker`` chooses between two pitches. ``program`` is the name or path of an `espeak-ng` or
    `flite`; None looks for either on PATH.

    Raises `SimulatorError` when ``mode`` is ``command`` and there is no program.
    """

    def __init__(
        self, mode: VoiceMode = "auto", *, speaker: Speaker = "agent", program: str | None = None
    ) -> None:
        self._mode = mode
        self._speaker = speaker
        self._program = _find_program(program) if mode in ("auto", "command") else None
        if mode == "command" and self._program is None:
            raise SimulatorError(f"no speech program found: install {' or '.join(_PROGRAMS)}, or use tones")
        self._prompts = _Prompts() if mode in ("auto", "prompts") else None
        self._tones = _Tones(pitch_hz=180 if speaker == "agent" else 110)
        self._spoken: OrderedDict[str, bytes] = OrderedDict()
        self._turn = asyncio.Lock()

    async def speak(self, text: str) -> bytes:
        """``text`` as mu-law; nothing for blank text. No pause inside exceeds a quarter of a second.

        Programs run one at a time and are killed after ten seconds. In mode ``auto`` their failure means
        tones; in mode ``command`` it raises `SimulatorError`. Safe to cancel: the program is killed.
        """
        text = " ".join(text.split())[:_MAX_TEXT]
        if not text:
            return b""
        if text in self._spoken:
            self._spoken.move_to_end(text)
            return self._spoken[text]
        ulaw = await self._produce(text)
        self._spoken[text] = ulaw
        if len(self._spoken) > _CACHED_LINES:
            self._spoken.popitem(last=False)
        return ulaw

    async def _produce(self, text: str) -> bytes:
        if self._prompts is not None and (prompt := self._prompts.find(text)) is not None:
            return prompt
        if self._program is not None:
            try:
                async with self._turn:
                    return shorten_pauses(await _run_program(self._program, text, self._speaker))
            except SimulatorError as error:
                if self._mode == "command":
                    raise
                logger.warning("The speech program failed, so tones speak instead: %s", error)
        return self._tones.speak(text)


def shorten_pauses(ulaw: bytes, *, max_pause_ms: int = _MAX_PAUSE_MS) -> bytes:
    """The same speech with no pause longer than ``max_pause_ms`` inside, and none at its ends."""
    frames = [ulaw[start : start + FRAME_BYTES] for start in range(0, len(ulaw), FRAME_BYTES)]
    kept: list[bytes] = []
    pause: list[bytes] = []
    for frame in frames:
        if rms_pcmu(frame) < _QUIET_RMS:
            pause.append(frame)
            continue
        if kept:
            kept.extend(pause[: max_pause_ms * SAMPLE_RATE_HZ // 1000 // FRAME_BYTES])
        pause.clear()
        kept.append(frame)
    return b"".join(kept)


# Shipped prompts.


class _Prompts:
    """Recordings in the package, found by the words they speak."""

    def __init__(self) -> None:
        self._folder = files("sipagent.simulator") / "prompts"
        index = json.loads((self._folder / "index.json").read_text(encoding="utf-8"))
        self._names: dict[str, str] = {_normalized(text): name for text, name in index.items()}

    def find(self, text: str) -> bytes | None:
        name = self._names.get(_normalized(text))
        return None if name is None else (self._folder / name).read_bytes()


def _normalized(text: str) -> str:
    """Only letters and digits count."""
    return " ".join("".join(char if char.isalnum() else " " for char in text.casefold()).split())


# Speech programs.


def _find_program(program: str | None) -> str | None:
    candidates = (program,) if program is not None else _PROGRAMS
    return next((path for name in candidates if (path := shutil.which(name)) is not None), None)


async def _run_program(program: str, text: str, speaker: Speaker) -> bytes:
    """Let an external program say ``text``; a separate process, since espeak-ng's licence is the GPL."""
    with tempfile.TemporaryDirectory(prefix="sipagent-voice-") as folder:
        target = Path(folder) / "line.wav"
        if "flite" in Path(program).name:
            arguments = ["-t", text, "-o", str(target)]
        else:
            variant = "en-us+f3" if speaker == "agent" else "en-us+m3"
            arguments = ["-v", variant, "-w", str(target), "--stdin"]
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise SimulatorError(f"{program} cannot be started: {error}") from error
        try:
            async with asyncio.timeout(_PROGRAM_DEADLINE_S):
                await process.communicate(text.encode())
        except TimeoutError as error:
            raise SimulatorError(f"{program} did not finish within {_PROGRAM_DEADLINE_S:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0 or not target.exists():
            raise SimulatorError(f"{program} ended with status {process.returncode} and no speech")
        return read_wav_as_pcmu(await asyncio.to_thread(target.read_bytes))


# Tones.


class _Tones:
    """Syllable-like bursts: the same line always sounds the same, two lines differ."""

    _LENGTHS_MS = (120, 140, 160, 180)
    _FORMANTS_HZ = ((700, 1200), (400, 2000), (500, 900), (300, 2200))
    _PEAK = 9000

    def __init__(self, *, pitch_hz: int) -> None:
        self._pitch_hz = pitch_hz
        self._syllables: tuple[bytes, ...] = ()

    def speak(self, text: str) -> bytes:
        if not self._syllables:
            self._syllables = tuple(
                self._syllable(length_ms, formants)
                for length_ms, formants in zip(self._LENGTHS_MS, self._FORMANTS_HZ, strict=True)
            )
        length_ms = min(_LONGEST_TONES_MS, max(_SHORTEST_TONES_MS, len(text) * _MS_PER_CHARACTER))
        wanted = length_ms * SAMPLE_RATE_HZ // 1000
        dice = random.Random(zlib.crc32(text.encode()))
        spoken = bytearray()
        while len(spoken) < wanted:
            spoken += dice.choice(self._syllables)
            spoken += b"\xff" * (dice.choice((30, 50, 50, 110)) * SAMPLE_RATE_HZ // 1000)
        return bytes(spoken[:wanted])

    def _syllable(self, length_ms: int, formants_hz: tuple[int, int]) -> bytes:
        count = length_ms * SAMPLE_RATE_HZ // 1000
        attack, release = SAMPLE_RATE_HZ // 60, SAMPLE_RATE_HZ // 25
        harmonics = [
            (number * self._pitch_hz, weight)
            for number in range(1, 3400 // self._pitch_hz)
            if (weight := _formant_weight(number * self._pitch_hz, formants_hz)) > 0.1
        ]
        total = sum(weight for _, weight in harmonics)
        samples = bytearray()
        for index in range(count):
            angle = 2 * math.pi * index / SAMPLE_RATE_HZ
            value = sum(weight * math.sin(angle * hz) for hz, weight in harmonics) / total
            envelope = min(1.0, index / attack, (count - index) / release)
            samples += round(value * envelope * self._PEAK * 1.8).to_bytes(2, "little", signed=True)
        return encode_pcmu(bytes(samples))


def _formant_weight(hz: int, formants_hz: tuple[int, int]) -> float:
    """How strongly a vocal tract with these two resonances lets ``hz`` through."""
    return sum(math.exp(-(((hz - formant) / 250) ** 2)) for formant in formants_hz) + (0.3 if hz < 400 else 0)
