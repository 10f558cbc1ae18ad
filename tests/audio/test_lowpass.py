"""What a lower rate cannot hold is taken out, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.lowpass import MOST_REACH, LowPass
from sipagent.audio.pcm import audioop
from tests.audio.test_resample import sine

RATES_HZ = [12000, 16000, 22050, 24000, 44100, 48000]


def part_left(hz: float, rate_hz: int) -> float:
    """How much of a tone comes through, once the filter is full of it."""
    tone = sine(hz, rate_hz=rate_hz)
    filtered = LowPass(rate_hz=rate_hz, kept_rate_hz=8000).feed(tone)
    assert len(filtered) == len(tone)
    return audioop.rms(filtered[4 * MOST_REACH :], 2) / audioop.rms(tone, 2)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_speech_stays_and_what_would_fold_goes(rate_hz: int) -> None:
    for hz in (200, 1000, 2000, 3000):
        assert part_left(hz, rate_hz) == pytest.approx(1.0, abs=0.06), hz
    for hz in (5000, 5500, rate_hz * 12 // 25):
        assert part_left(hz, rate_hz) < 0.05, hz


@given(cuts=st.lists(st.integers(1, 400), max_size=20))
def test_chunks_sound_like_the_whole(cuts: list[int]) -> None:
    whole = sine(700, rate_hz=16000, seconds=0.3)
    low_pass, pieces, start = LowPass(rate_hz=16000, kept_rate_hz=8000), bytearray(), 0
    for cut in cuts:
        pieces += low_pass.feed(whole[start : start + 2 * cut])
        start += 2 * cut
    pieces += low_pass.feed(whole[start:])
    assert bytes(pieces) == LowPass(rate_hz=16000, kept_rate_hz=8000).feed(whole)


def test_silence_and_the_loudest_sound_stay_what_they_are() -> None:
    low_pass = LowPass(rate_hz=16000, kept_rate_hz=8000)
    assert low_pass.feed(bytes(640)) == bytes(640)
    loud = b"\xff\x7f" * 1000
    assert abs(audioop.max(low_pass.feed(loud)[400:], 2) - 32767) <= 64
    assert low_pass.feed(b"") == b""


def test_impossible_rates_and_half_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        LowPass(rate_hz=0, kept_rate_hz=8000)
    with pytest.raises(ValueError, match="whole number"):
        LowPass(rate_hz=16000, kept_rate_hz=8000).feed(b"\x00")
