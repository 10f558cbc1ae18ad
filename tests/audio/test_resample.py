from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.g711 import decode_pcmu, rms_pcmu
from sipagent.audio.resample import Resampler, pcm_to_pcmu, resample


def sine(hz: float, *, rate_hz: int, seconds: float = 0.5, peak: int = 10_000) -> bytes:
    count = int(rate_hz * seconds)
    values = (round(peak * math.sin(2 * math.pi * hz * n / rate_hz)) for n in range(count))
    return struct.pack(f"={count}h", *values)


def crossings(pcm: bytes) -> int:
    values = struct.unpack(f"={len(pcm) // 2}h", pcm)
    return sum(1 for before, after in zip(values, values[1:], strict=False) if before < 0 <= after)


@pytest.mark.parametrize("from_hz", [8000, 16000, 22050, 24000, 48000])
def test_length_and_pitch_are_kept(from_hz: int) -> None:
    converted = resample(sine(440, rate_hz=from_hz), from_hz=from_hz, to_hz=8000)
    assert len(converted) == pytest.approx(8000, abs=4)
    assert crossings(converted) == pytest.approx(220, abs=2)


@pytest.mark.parametrize("from_hz", [16000, 24000, 48000])
def test_what_the_lower_rate_cannot_hold_does_not_come_back_as_something_else(from_hz: int) -> None:
    for hz in (5000, 6000, 7000):
        assert rms_pcmu(pcm_to_pcmu(sine(hz, rate_hz=from_hz), from_hz=from_hz)) < 7071 * 0.06, hz
    for hz in (300, 1000, 3000):
        heard = rms_pcmu(pcm_to_pcmu(sine(hz, rate_hz=from_hz), from_hz=from_hz))
        assert heard == pytest.approx(7071, rel=0.1), hz


@given(cuts=st.lists(st.integers(1, 400), max_size=20))
def test_chunks_sound_like_the_whole(cuts: list[int]) -> None:
    whole = sine(300, rate_hz=24000, seconds=0.2)
    resampler = Resampler(from_hz=24000, to_hz=8000)
    pieces = bytearray()
    start = 0
    for cut in cuts:
        pieces += resampler.feed(whole[start : start + 2 * cut])
        start += 2 * cut
    pieces += resampler.feed(whole[start:])
    assert bytes(pieces) == resample(whole, from_hz=24000, to_hz=8000)


def test_equal_rates_change_nothing() -> None:
    assert resample(b"\x01\x02\x03\x04", from_hz=8000, to_hz=8000) == b"\x01\x02\x03\x04"


def test_any_sound_becomes_telephone_sound() -> None:
    ulaw = pcm_to_pcmu(sine(400, rate_hz=24000), from_hz=24000)
    assert len(ulaw) == pytest.approx(4000, abs=2)
    assert rms_pcmu(ulaw) == pytest.approx(7071, rel=0.05)
    assert crossings(decode_pcmu(ulaw)) == pytest.approx(200, abs=2)


def test_impossible_rates_and_half_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        Resampler(from_hz=0, to_hz=8000)
    with pytest.raises(ValueError, match="positive"):
        Resampler(from_hz=8000, to_hz=-1)
    with pytest.raises(ValueError, match="whole number"):
        Resampler(from_hz=8000, to_hz=16000).feed(b"\x00")
