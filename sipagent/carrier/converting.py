"""From what a carrier speaks to what a session speaks, and back. Pure.

A session of a telephone call always speaks G.711, the law that the carrier speaks, so that nothing is touched
on the way; only linear audio is converted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, assert_never

from sipagent.audio.g711 import SAMPLE_RATE_HZ, decode_pcmu, encode_pcmu
from sipagent.audio.pcm import SAMPLE_BYTES
from sipagent.audio.resample import Resampler
from sipagent.carrier.stream import StreamFormat

SessionFormat = Literal["g711_ulaw", "g711_alaw"]
Convert = Callable[[bytes], bytes]
"""Converts a stream piece by piece; keeps what it needs in between."""


def session_format(spoken: StreamFormat) -> SessionFormat:
    """What a session speaks with a carrier that speaks ``spoken``."""
    match spoken.encoding:
        case "g711_alaw":
            return "g711_alaw"
        case "g711_ulaw" | "pcm16":
            return "g711_ulaw"
        case never:
            assert_never(never)


def to_session(spoken: StreamFormat) -> Convert | None:
    """From the carrier's format to the session's; None where they are the same."""
    if spoken.encoding != "pcm16":
        return None
    resampler = Resampler(from_hz=spoken.rate_hz, to_hz=SAMPLE_RATE_HZ)
    rest = b""

    def convert(pcm: bytes) -> bytes:
        nonlocal rest
        pcm = rest + pcm
        whole = len(pcm) - len(pcm) % SAMPLE_BYTES
        rest = pcm[whole:]
        return encode_pcmu(resampler.feed(pcm[:whole]))

    return convert


def from_session(spoken: StreamFormat) -> Convert | None:
    """From the session's format to the carrier's; None where they are the same."""
    if spoken.encoding != "pcm16":
        return None
    resampler = Resampler(from_hz=SAMPLE_RATE_HZ, to_hz=spoken.rate_hz)

    def convert(ulaw: bytes) -> bytes:
        return resampler.feed(decode_pcmu(ulaw))

    return convert
