from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.g711 import encode_pcmu
from sipagent.simulator.vad import EnergyVad, SpeechStarted, SpeechStopped
from sipagent.simulator.voice import Voice


def tone(ms: int, *, peak: int = 8000, hz: int = 300) -> bytes:
    count = ms * 8
    values = (round(peak * math.sin(2 * math.pi * hz * n / 8000)) for n in range(count))
    return encode_pcmu(struct.pack(f"={count}h", *values))


def noise(ms: int, *, level: int) -> bytes:
    dice = random.Random(1)
    return encode_pcmu(struct.pack(f"={ms * 8}h", *(round(dice.gauss(0, level)) for _ in range(ms * 8))))


def silence(ms: int) -> bytes:
    return b"\xff" * (ms * 8)


def events(vad: EnergyVad, ulaw: bytes, *, frame: int = 160) -> list[SpeechStarted | SpeechStopped]:
    return [event for start in range(0, len(ulaw), frame) if (event := vad.feed(ulaw[start : start + frame]))]


def test_a_word_between_silences_is_one_turn() -> None:
    found = events(EnergyVad(), silence(1000) + tone(800) + silence(1000))
    assert found == [SpeechStarted(audio_start_ms=700), SpeechStopped(audio_end_ms=2300)]


def kinds(found: list[SpeechStarted | SpeechStopped]) -> list[str]:
    return [type(event).__name__ for event in found]


@pytest.mark.parametrize("silence_ms", [200, 500, 900])
def test_the_configured_silence_ends_a_turn(silence_ms: int) -> None:
    vad = EnergyVad(silence_duration_ms=silence_ms, prefix_padding_ms=0)
    found = events(vad, silence(100) + tone(400) + silence(1500))
    assert found == [SpeechStarted(audio_start_ms=100), SpeechStopped(audio_end_ms=500 + silence_ms)]


def test_a_pause_shorter_than_that_does_not() -> None:
    found = events(EnergyVad(), tone(400) + silence(440) + tone(400) + silence(600))
    assert found == [SpeechStarted(audio_start_ms=0), SpeechStopped(audio_end_ms=1740)]


def test_a_click_is_no_speech() -> None:
    assert events(EnergyVad(), silence(500) + tone(40) + silence(500) + tone(20) + silence(500)) == []


def test_silence_alone_is_nothing_however_long() -> None:
    vad = EnergyVad()
    assert events(vad, silence(20_000)) == []
    assert not vad.speaking


def test_the_padding_never_reaches_before_the_beginning() -> None:
    assert events(EnergyVad(prefix_padding_ms=300), tone(200))[0] == SpeechStarted(audio_start_ms=0)


def test_a_higher_threshold_wants_louder_speech() -> None:
    soft = silence(200) + tone(500, peak=500) + silence(700)
    assert events(EnergyVad(threshold=0.2), soft) != []
    assert events(EnergyVad(threshold=0.9), soft) == []


def test_a_steady_noise_is_learned_and_speech_above_it_still_found() -> None:
    vad = EnergyVad()
    events(vad, noise(3000, level=500))
    assert events(vad, noise(2000, level=500)) == [], "by now the noise is known"
    assert not vad.speaking
    found = events(vad, tone(600, peak=9000) + noise(1000, level=500))
    assert kinds(found) == ["SpeechStarted", "SpeechStopped"]


def test_a_soft_noise_is_never_speech() -> None:
    assert events(EnergyVad(), noise(10_000, level=60)) == []


def test_a_loud_tone_stays_speech_for_ever() -> None:
    assert events(EnergyVad(), tone(20_000)) == [SpeechStarted(audio_start_ms=0)]


async def test_every_line_of_every_voice_is_one_turn() -> None:
    lines = [
        "Hello, I would like an appointment. When is your next free slot?",
        "Yes.",
        "One two three. Four!",
    ]
    for mode in ("tones", "prompts"):
        for line in lines:
            spoken = await Voice("tones" if mode == "tones" else "prompts").speak(line)
            found = events(EnergyVad(silence_duration_ms=350), silence(300) + spoken + silence(1000))
            assert kinds(found) == ["SpeechStarted", "SpeechStopped"], (mode, line)


@given(cuts=st.lists(st.sampled_from([80, 160, 240]), min_size=1, max_size=8))
def test_other_frame_lengths_find_the_same_turn(cuts: list[int]) -> None:
    vad = EnergyVad(prefix_padding_ms=0)
    ulaw = silence(400) + tone(600) + silence(900)
    found = list(irregular(vad, ulaw, cuts))
    assert kinds(found) == ["SpeechStarted", "SpeechStopped"]
    assert isinstance(found[0], SpeechStarted)
    assert found[0].audio_start_ms == pytest.approx(400, abs=30)
    assert isinstance(found[1], SpeechStopped)
    assert found[1].audio_end_ms == pytest.approx(1500, abs=60)


def irregular(vad: EnergyVad, ulaw: bytes, cuts: list[int]) -> Iterator[SpeechStarted | SpeechStopped]:
    start = index = 0
    while start < len(ulaw):
        size = cuts[index % len(cuts)]
        if event := vad.feed(ulaw[start : start + size]):
            yield event
        start += size
        index += 1


@given(st.lists(st.binary(max_size=200), max_size=60))
def test_starts_and_stops_alternate_whatever_comes(frames: list[bytes]) -> None:
    vad = EnergyVad(silence_duration_ms=40)
    speaking = False
    for frame in frames:
        event = vad.feed(frame)
        if event is not None:
            assert isinstance(event, SpeechStopped if speaking else SpeechStarted)
            speaking = not speaking
        assert vad.speaking is speaking
    assert vad.feed(b"") is None
