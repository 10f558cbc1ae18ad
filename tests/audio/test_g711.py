from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.g711 import (
    PCMU_SILENCE,
    decode_pcmu,
    encode_pcmu,
    pcma_to_pcmu,
    pcmu_to_pcma,
    rms_pcmu,
)


def expected_from_pcmu(code: int) -> int:
    """ITU-T G.711, written out."""
    code = ~code & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def expected_from_pcma(code: int) -> int:
    """ITU-T G.711, written out."""
    code ^= 0x55
    segment, step = (code & 0x70) >> 4, code & 0x0F
    magnitude = (step << 4) + 8 if segment == 0 else ((step << 4) + 0x108) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


def test_every_mu_law_code_decodes_as_the_standard_says() -> None:
    decoded = struct.unpack("=256h", decode_pcmu(bytes(range(256))))
    assert list(decoded) == [expected_from_pcmu(code) for code in range(256)]


def test_every_a_law_code_is_told_as_the_mu_law_code_of_its_level() -> None:
    levels = struct.pack("=256h", *(expected_from_pcma(code) for code in range(256)))
    assert pcma_to_pcmu(bytes(range(256))) == encode_pcmu(levels)


def test_every_mu_law_code_is_told_as_the_a_law_code_nearest_to_its_level() -> None:
    for code, told in enumerate(pcmu_to_pcma(bytes(range(256)))):
        level = expected_from_pcmu(code)
        # What lies beside a code lies half a step away at the most, and a step is a sixteenth of a segment.
        assert abs(expected_from_pcma(told) - level) <= 8 + abs(level) / 32, code


@given(st.binary())
def test_encoding_undoes_decoding(codes: bytes) -> None:
    # 0x7F is a second zero, which comes back as the first.
    assert encode_pcmu(decode_pcmu(codes)) == codes.replace(b"\x7f", b"\xff")


def test_silence_is_silent_and_a_full_signal_is_loud() -> None:
    assert rms_pcmu(b"") == 0
    assert rms_pcmu(bytes([PCMU_SILENCE]) * 160) == 0
    assert rms_pcmu(b"\x00\x80" * 80) == 32124


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        encode_pcmu(b"\x00\x01\x02")
